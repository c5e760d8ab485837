from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HostSpec(_message.Message):
    __slots__ = ("primary_mac", "primary_ip", "vpc_cidrs", "node_port_support", "external_snat", "randomize_snat", "exclude_snat_cidrs", "external_service_cidrs", "veth_prefix", "connmark", "eni_mtu", "configure_rp_filter", "ipv6", "pod_eni_strict", "disable_tcp_early_demux", "v4_egress", "v6_egress", "egress_ip")
    PRIMARY_MAC_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IP_FIELD_NUMBER: _ClassVar[int]
    VPC_CIDRS_FIELD_NUMBER: _ClassVar[int]
    NODE_PORT_SUPPORT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_SNAT_FIELD_NUMBER: _ClassVar[int]
    RANDOMIZE_SNAT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SNAT_CIDRS_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_SERVICE_CIDRS_FIELD_NUMBER: _ClassVar[int]
    VETH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    CONNMARK_FIELD_NUMBER: _ClassVar[int]
    ENI_MTU_FIELD_NUMBER: _ClassVar[int]
    CONFIGURE_RP_FILTER_FIELD_NUMBER: _ClassVar[int]
    IPV6_FIELD_NUMBER: _ClassVar[int]
    POD_ENI_STRICT_FIELD_NUMBER: _ClassVar[int]
    DISABLE_TCP_EARLY_DEMUX_FIELD_NUMBER: _ClassVar[int]
    V4_EGRESS_FIELD_NUMBER: _ClassVar[int]
    V6_EGRESS_FIELD_NUMBER: _ClassVar[int]
    EGRESS_IP_FIELD_NUMBER: _ClassVar[int]
    primary_mac: str
    primary_ip: str
    vpc_cidrs: _containers.RepeatedScalarFieldContainer[str]
    node_port_support: bool
    external_snat: bool
    randomize_snat: str
    exclude_snat_cidrs: _containers.RepeatedScalarFieldContainer[str]
    external_service_cidrs: _containers.RepeatedScalarFieldContainer[str]
    veth_prefix: str
    connmark: int
    eni_mtu: int
    configure_rp_filter: bool
    ipv6: bool
    pod_eni_strict: bool
    disable_tcp_early_demux: bool
    v4_egress: bool
    v6_egress: bool
    egress_ip: str
    def __init__(self, primary_mac: _Optional[str] = ..., primary_ip: _Optional[str] = ..., vpc_cidrs: _Optional[_Iterable[str]] = ..., node_port_support: _Optional[bool] = ..., external_snat: _Optional[bool] = ..., randomize_snat: _Optional[str] = ..., exclude_snat_cidrs: _Optional[_Iterable[str]] = ..., external_service_cidrs: _Optional[_Iterable[str]] = ..., veth_prefix: _Optional[str] = ..., connmark: _Optional[int] = ..., eni_mtu: _Optional[int] = ..., configure_rp_filter: _Optional[bool] = ..., ipv6: _Optional[bool] = ..., pod_eni_strict: _Optional[bool] = ..., disable_tcp_early_demux: _Optional[bool] = ..., v4_egress: _Optional[bool] = ..., v6_egress: _Optional[bool] = ..., egress_ip: _Optional[str] = ...) -> None: ...

class ApplyHostRequest(_message.Message):
    __slots__ = ("host",)
    HOST_FIELD_NUMBER: _ClassVar[int]
    host: HostSpec
    def __init__(self, host: _Optional[_Union[HostSpec, _Mapping]] = ...) -> None: ...

class ApplyHostResponse(_message.Message):
    __slots__ = ("changes", "packet_filter_backend", "primary_link", "bad_settings")
    class BadSettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    PACKET_FILTER_BACKEND_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_LINK_FIELD_NUMBER: _ClassVar[int]
    BAD_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    changes: int
    packet_filter_backend: str
    primary_link: str
    bad_settings: _containers.ScalarMap[str, str]
    def __init__(self, changes: _Optional[int] = ..., packet_filter_backend: _Optional[str] = ..., primary_link: _Optional[str] = ..., bad_settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EniSpec(_message.Message):
    __slots__ = ("eni_id", "mac", "primary_ip", "subnet_cidr", "device_number", "network_card", "route_table", "mtu", "is_trunk", "ipv6")
    ENI_ID_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IP_FIELD_NUMBER: _ClassVar[int]
    SUBNET_CIDR_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NETWORK_CARD_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TABLE_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    IS_TRUNK_FIELD_NUMBER: _ClassVar[int]
    IPV6_FIELD_NUMBER: _ClassVar[int]
    eni_id: str
    mac: str
    primary_ip: str
    subnet_cidr: str
    device_number: int
    network_card: int
    route_table: int
    mtu: int
    is_trunk: bool
    ipv6: bool
    def __init__(self, eni_id: _Optional[str] = ..., mac: _Optional[str] = ..., primary_ip: _Optional[str] = ..., subnet_cidr: _Optional[str] = ..., device_number: _Optional[int] = ..., network_card: _Optional[int] = ..., route_table: _Optional[int] = ..., mtu: _Optional[int] = ..., is_trunk: _Optional[bool] = ..., ipv6: _Optional[bool] = ...) -> None: ...

class ApplyEniRequest(_message.Message):
    __slots__ = ("eni",)
    ENI_FIELD_NUMBER: _ClassVar[int]
    eni: EniSpec
    def __init__(self, eni: _Optional[_Union[EniSpec, _Mapping]] = ...) -> None: ...

class ApplyEniResponse(_message.Message):
    __slots__ = ("changes", "link_name", "link_index", "route_table")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    LINK_NAME_FIELD_NUMBER: _ClassVar[int]
    LINK_INDEX_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TABLE_FIELD_NUMBER: _ClassVar[int]
    changes: int
    link_name: str
    link_index: int
    route_table: int
    def __init__(self, changes: _Optional[int] = ..., link_name: _Optional[str] = ..., link_index: _Optional[int] = ..., route_table: _Optional[int] = ...) -> None: ...

class RemoveEniRequest(_message.Message):
    __slots__ = ("eni_id", "primary_ip", "route_table")
    ENI_ID_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IP_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TABLE_FIELD_NUMBER: _ClassVar[int]
    eni_id: str
    primary_ip: str
    route_table: int
    def __init__(self, eni_id: _Optional[str] = ..., primary_ip: _Optional[str] = ..., route_table: _Optional[int] = ...) -> None: ...

class RemoveEniResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: int
    def __init__(self, changes: _Optional[int] = ...) -> None: ...

class BranchSpec(_message.Message):
    __slots__ = ("vlan_id", "mac", "subnet_cidr", "gateway", "trunk_mac", "strict")
    VLAN_ID_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    SUBNET_CIDR_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    TRUNK_MAC_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    vlan_id: int
    mac: str
    subnet_cidr: str
    gateway: str
    trunk_mac: str
    strict: bool
    def __init__(self, vlan_id: _Optional[int] = ..., mac: _Optional[str] = ..., subnet_cidr: _Optional[str] = ..., gateway: _Optional[str] = ..., trunk_mac: _Optional[str] = ..., strict: _Optional[bool] = ...) -> None: ...

class EgressSpec(_message.Message):
    __slots__ = ("address", "host_veth", "host_mac", "mac")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HOST_VETH_FIELD_NUMBER: _ClassVar[int]
    HOST_MAC_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    address: str
    host_veth: str
    host_mac: str
    mac: str
    def __init__(self, address: _Optional[str] = ..., host_veth: _Optional[str] = ..., host_mac: _Optional[str] = ..., mac: _Optional[str] = ...) -> None: ...

class PodSpec(_message.Message):
    __slots__ = ("container_id", "ifname", "netns", "host_veth", "address", "route_table", "mtu", "index", "branch", "namespace", "name", "egress")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    IFNAME_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    HOST_VETH_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TABLE_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EGRESS_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    ifname: str
    netns: str
    host_veth: str
    address: str
    route_table: int
    mtu: int
    index: int
    branch: BranchSpec
    namespace: str
    name: str
    egress: EgressSpec
    def __init__(self, container_id: _Optional[str] = ..., ifname: _Optional[str] = ..., netns: _Optional[str] = ..., host_veth: _Optional[str] = ..., address: _Optional[str] = ..., route_table: _Optional[int] = ..., mtu: _Optional[int] = ..., index: _Optional[int] = ..., branch: _Optional[_Union[BranchSpec, _Mapping]] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., egress: _Optional[_Union[EgressSpec, _Mapping]] = ...) -> None: ...

class SetupPodRequest(_message.Message):
    __slots__ = ("pod",)
    POD_FIELD_NUMBER: _ClassVar[int]
    pod: PodSpec
    def __init__(self, pod: _Optional[_Union[PodSpec, _Mapping]] = ...) -> None: ...

class SetupPodResponse(_message.Message):
    __slots__ = ("changes", "host_mac", "host_index")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    HOST_MAC_FIELD_NUMBER: _ClassVar[int]
    HOST_INDEX_FIELD_NUMBER: _ClassVar[int]
    changes: int
    host_mac: str
    host_index: int
    def __init__(self, changes: _Optional[int] = ..., host_mac: _Optional[str] = ..., host_index: _Optional[int] = ...) -> None: ...

class TeardownPodRequest(_message.Message):
    __slots__ = ("pod",)
    POD_FIELD_NUMBER: _ClassVar[int]
    pod: PodSpec
    def __init__(self, pod: _Optional[_Union[PodSpec, _Mapping]] = ...) -> None: ...

class TeardownPodResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: int
    def __init__(self, changes: _Optional[int] = ...) -> None: ...

class CheckPodRequest(_message.Message):
    __slots__ = ("pod",)
    POD_FIELD_NUMBER: _ClassVar[int]
    pod: PodSpec
    def __init__(self, pod: _Optional[_Union[PodSpec, _Mapping]] = ...) -> None: ...

class CheckPodResponse(_message.Message):
    __slots__ = ("differences",)
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, differences: _Optional[_Iterable[str]] = ...) -> None: ...

class ApplyPodsRequest(_message.Message):
    __slots__ = ("pods",)
    PODS_FIELD_NUMBER: _ClassVar[int]
    pods: _containers.RepeatedCompositeFieldContainer[PodSpec]
    def __init__(self, pods: _Optional[_Iterable[_Union[PodSpec, _Mapping]]] = ...) -> None: ...

class ApplyPodsResponse(_message.Message):
    __slots__ = ("changes", "missing_links", "eni_ids")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MISSING_LINKS_FIELD_NUMBER: _ClassVar[int]
    ENI_IDS_FIELD_NUMBER: _ClassVar[int]
    changes: int
    missing_links: _containers.RepeatedScalarFieldContainer[str]
    eni_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changes: _Optional[int] = ..., missing_links: _Optional[_Iterable[str]] = ..., eni_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ObserveRequest(_message.Message):
    __slots__ = ("veth_prefix",)
    VETH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    veth_prefix: str
    def __init__(self, veth_prefix: _Optional[str] = ...) -> None: ...

class ObservedPod(_message.Message):
    __slots__ = ("host_veth", "address", "route_table", "link", "route", "to_rule", "from_rule")
    HOST_VETH_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TABLE_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    TO_RULE_FIELD_NUMBER: _ClassVar[int]
    FROM_RULE_FIELD_NUMBER: _ClassVar[int]
    host_veth: str
    address: str
    route_table: int
    link: bool
    route: bool
    to_rule: bool
    from_rule: bool
    def __init__(self, host_veth: _Optional[str] = ..., address: _Optional[str] = ..., route_table: _Optional[int] = ..., link: _Optional[bool] = ..., route: _Optional[bool] = ..., to_rule: _Optional[bool] = ..., from_rule: _Optional[bool] = ...) -> None: ...

class ObserveResponse(_message.Message):
    __slots__ = ("pods", "host_links", "egress_addresses")
    PODS_FIELD_NUMBER: _ClassVar[int]
    HOST_LINKS_FIELD_NUMBER: _ClassVar[int]
    EGRESS_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    pods: _containers.RepeatedCompositeFieldContainer[ObservedPod]
    host_links: _containers.RepeatedScalarFieldContainer[str]
    egress_addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pods: _Optional[_Iterable[_Union[ObservedPod, _Mapping]]] = ..., host_links: _Optional[_Iterable[str]] = ..., egress_addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchDriftRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DriftEvent(_message.Message):
    __slots__ = ("kind", "object", "action", "message", "unix_ns")
    KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    object: str
    action: str
    message: str
    unix_ns: int
    def __init__(self, kind: _Optional[str] = ..., object: _Optional[str] = ..., action: _Optional[str] = ..., message: _Optional[str] = ..., unix_ns: _Optional[int] = ...) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DependencyView(_message.Message):
    __slots__ = ("name", "ok", "reason", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    ok: bool
    reason: str
    message: str
    def __init__(self, name: _Optional[str] = ..., ok: _Optional[bool] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class InspectResponse(_message.Message):
    __slots__ = ("version", "packet_filter_backend", "packet_filter_problem", "pods", "enis", "dependencies", "settings", "bad_settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class BadSettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PACKET_FILTER_BACKEND_FIELD_NUMBER: _ClassVar[int]
    PACKET_FILTER_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    ENIS_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    BAD_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    version: str
    packet_filter_backend: str
    packet_filter_problem: str
    pods: int
    enis: int
    dependencies: _containers.RepeatedCompositeFieldContainer[DependencyView]
    settings: _containers.ScalarMap[str, str]
    bad_settings: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[str] = ..., packet_filter_backend: _Optional[str] = ..., packet_filter_problem: _Optional[str] = ..., pods: _Optional[int] = ..., enis: _Optional[int] = ..., dependencies: _Optional[_Iterable[_Union[DependencyView, _Mapping]]] = ..., settings: _Optional[_Mapping[str, str]] = ..., bad_settings: _Optional[_Mapping[str, str]] = ...) -> None: ...
