from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PodInterface(_message.Message):
    __slots__ = ("network_name", "container_id", "ifname")
    NETWORK_NAME_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    IFNAME_FIELD_NUMBER: _ClassVar[int]
    network_name: str
    container_id: str
    ifname: str
    def __init__(self, network_name: _Optional[str] = ..., container_id: _Optional[str] = ..., ifname: _Optional[str] = ...) -> None: ...

class PodIdentity(_message.Message):
    __slots__ = ("namespace", "name", "uid", "infra_container_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    INFRA_CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    infra_container_id: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ..., infra_container_id: _Optional[str] = ...) -> None: ...

class PodNetConf(_message.Message):
    __slots__ = ("veth_prefix", "mtu", "sg_enforcing_mode")
    VETH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    SG_ENFORCING_MODE_FIELD_NUMBER: _ClassVar[int]
    veth_prefix: str
    mtu: int
    sg_enforcing_mode: str
    def __init__(self, veth_prefix: _Optional[str] = ..., mtu: _Optional[int] = ..., sg_enforcing_mode: _Optional[str] = ...) -> None: ...

class ResultInterface(_message.Message):
    __slots__ = ("name", "mac", "sandbox")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    name: str
    mac: str
    sandbox: str
    def __init__(self, name: _Optional[str] = ..., mac: _Optional[str] = ..., sandbox: _Optional[str] = ...) -> None: ...

class ResultIp(_message.Message):
    __slots__ = ("address", "gateway", "interface")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    address: str
    gateway: str
    interface: int
    def __init__(self, address: _Optional[str] = ..., gateway: _Optional[str] = ..., interface: _Optional[int] = ...) -> None: ...

class CniResult(_message.Message):
    __slots__ = ("interfaces", "ips")
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    IPS_FIELD_NUMBER: _ClassVar[int]
    interfaces: _containers.RepeatedCompositeFieldContainer[ResultInterface]
    ips: _containers.RepeatedCompositeFieldContainer[ResultIp]
    def __init__(self, interfaces: _Optional[_Iterable[_Union[ResultInterface, _Mapping]]] = ..., ips: _Optional[_Iterable[_Union[ResultIp, _Mapping]]] = ...) -> None: ...

class AddPodRequest(_message.Message):
    __slots__ = ("key", "pod", "netns", "conf", "plugin_version", "started_unix_ns", "multi_nic")
    KEY_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    MULTI_NIC_FIELD_NUMBER: _ClassVar[int]
    key: PodInterface
    pod: PodIdentity
    netns: str
    conf: PodNetConf
    plugin_version: str
    started_unix_ns: int
    multi_nic: bool
    def __init__(self, key: _Optional[_Union[PodInterface, _Mapping]] = ..., pod: _Optional[_Union[PodIdentity, _Mapping]] = ..., netns: _Optional[str] = ..., conf: _Optional[_Union[PodNetConf, _Mapping]] = ..., plugin_version: _Optional[str] = ..., started_unix_ns: _Optional[int] = ..., multi_nic: _Optional[bool] = ...) -> None: ...

class AddPodResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: CniResult
    def __init__(self, result: _Optional[_Union[CniResult, _Mapping]] = ...) -> None: ...

class DelPodRequest(_message.Message):
    __slots__ = ("key", "pod", "netns", "conf", "plugin_version", "started_unix_ns", "prev_result")
    KEY_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    PREV_RESULT_FIELD_NUMBER: _ClassVar[int]
    key: PodInterface
    pod: PodIdentity
    netns: str
    conf: PodNetConf
    plugin_version: str
    started_unix_ns: int
    prev_result: CniResult
    def __init__(self, key: _Optional[_Union[PodInterface, _Mapping]] = ..., pod: _Optional[_Union[PodIdentity, _Mapping]] = ..., netns: _Optional[str] = ..., conf: _Optional[_Union[PodNetConf, _Mapping]] = ..., plugin_version: _Optional[str] = ..., started_unix_ns: _Optional[int] = ..., prev_result: _Optional[_Union[CniResult, _Mapping]] = ...) -> None: ...

class DelPodResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckPodRequest(_message.Message):
    __slots__ = ("key", "pod", "netns", "conf", "plugin_version", "started_unix_ns", "prev_result")
    KEY_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    NETNS_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    PREV_RESULT_FIELD_NUMBER: _ClassVar[int]
    key: PodInterface
    pod: PodIdentity
    netns: str
    conf: PodNetConf
    plugin_version: str
    started_unix_ns: int
    prev_result: CniResult
    def __init__(self, key: _Optional[_Union[PodInterface, _Mapping]] = ..., pod: _Optional[_Union[PodIdentity, _Mapping]] = ..., netns: _Optional[str] = ..., conf: _Optional[_Union[PodNetConf, _Mapping]] = ..., plugin_version: _Optional[str] = ..., started_unix_ns: _Optional[int] = ..., prev_result: _Optional[_Union[CniResult, _Mapping]] = ...) -> None: ...

class CheckPodResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GcRequest(_message.Message):
    __slots__ = ("network_name", "valid_attachments", "plugin_version")
    NETWORK_NAME_FIELD_NUMBER: _ClassVar[int]
    VALID_ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    network_name: str
    valid_attachments: _containers.RepeatedCompositeFieldContainer[PodInterface]
    plugin_version: str
    def __init__(self, network_name: _Optional[str] = ..., valid_attachments: _Optional[_Iterable[_Union[PodInterface, _Mapping]]] = ..., plugin_version: _Optional[str] = ...) -> None: ...

class GcResponse(_message.Message):
    __slots__ = ("released",)
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    released: int
    def __init__(self, released: _Optional[int] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("plugin_version",)
    PLUGIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    plugin_version: str
    def __init__(self, plugin_version: _Optional[str] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AddressView(_message.Message):
    __slots__ = ("address", "state", "key", "pod", "since_unix_s")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    address: str
    state: str
    key: PodInterface
    pod: PodIdentity
    since_unix_s: float
    def __init__(self, address: _Optional[str] = ..., state: _Optional[str] = ..., key: _Optional[_Union[PodInterface, _Mapping]] = ..., pod: _Optional[_Union[PodIdentity, _Mapping]] = ..., since_unix_s: _Optional[float] = ...) -> None: ...

class CidrView(_message.Message):
    __slots__ = ("cidr", "is_prefix", "size", "addresses")
    CIDR_FIELD_NUMBER: _ClassVar[int]
    IS_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    cidr: str
    is_prefix: bool
    size: int
    addresses: _containers.RepeatedCompositeFieldContainer[AddressView]
    def __init__(self, cidr: _Optional[str] = ..., is_prefix: _Optional[bool] = ..., size: _Optional[int] = ..., addresses: _Optional[_Iterable[_Union[AddressView, _Mapping]]] = ...) -> None: ...

class EniView(_message.Message):
    __slots__ = ("eni_id", "mac", "device_number", "network_card", "subnet_id", "primary_ip", "is_primary", "is_trunk", "is_efa", "excluded", "route_table", "state", "cidrs", "branch_vlan")
    ENI_ID_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NETWORK_CARD_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IP_FIELD_NUMBER: _ClassVar[int]
    IS_PRIMARY_FIELD_NUMBER: _ClassVar[int]
    IS_TRUNK_FIELD_NUMBER: _ClassVar[int]
    IS_EFA_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TABLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CIDRS_FIELD_NUMBER: _ClassVar[int]
    BRANCH_VLAN_FIELD_NUMBER: _ClassVar[int]
    eni_id: str
    mac: str
    device_number: int
    network_card: int
    subnet_id: str
    primary_ip: str
    is_primary: bool
    is_trunk: bool
    is_efa: bool
    excluded: bool
    route_table: int
    state: str
    cidrs: _containers.RepeatedCompositeFieldContainer[CidrView]
    branch_vlan: int
    def __init__(self, eni_id: _Optional[str] = ..., mac: _Optional[str] = ..., device_number: _Optional[int] = ..., network_card: _Optional[int] = ..., subnet_id: _Optional[str] = ..., primary_ip: _Optional[str] = ..., is_primary: _Optional[bool] = ..., is_trunk: _Optional[bool] = ..., is_efa: _Optional[bool] = ..., excluded: _Optional[bool] = ..., route_table: _Optional[int] = ..., state: _Optional[str] = ..., cidrs: _Optional[_Iterable[_Union[CidrView, _Mapping]]] = ..., branch_vlan: _Optional[int] = ...) -> None: ...

class GrowthView(_message.Message):
    __slots__ = ("active", "since_unix_s", "last_reason", "last_message", "waiting_adds", "candidates", "add_reason", "add_message")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    LAST_REASON_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WAITING_ADDS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ADD_REASON_FIELD_NUMBER: _ClassVar[int]
    ADD_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    active: bool
    since_unix_s: float
    last_reason: str
    last_message: str
    waiting_adds: int
    candidates: _containers.RepeatedScalarFieldContainer[str]
    add_reason: str
    add_message: str
    def __init__(self, active: _Optional[bool] = ..., since_unix_s: _Optional[float] = ..., last_reason: _Optional[str] = ..., last_message: _Optional[str] = ..., waiting_adds: _Optional[int] = ..., candidates: _Optional[_Iterable[str]] = ..., add_reason: _Optional[str] = ..., add_message: _Optional[str] = ...) -> None: ...

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

class CardView(_message.Message):
    __slots__ = ("index", "total", "assigned", "cooling", "free", "quarantined", "deficit", "growth", "left_out_why")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    COOLING_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    DEFICIT_FIELD_NUMBER: _ClassVar[int]
    GROWTH_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_WHY_FIELD_NUMBER: _ClassVar[int]
    index: int
    total: int
    assigned: int
    cooling: int
    free: int
    quarantined: int
    deficit: int
    growth: GrowthView
    left_out_why: str
    def __init__(self, index: _Optional[int] = ..., total: _Optional[int] = ..., assigned: _Optional[int] = ..., cooling: _Optional[int] = ..., free: _Optional[int] = ..., quarantined: _Optional[int] = ..., deficit: _Optional[int] = ..., growth: _Optional[_Union[GrowthView, _Mapping]] = ..., left_out_why: _Optional[str] = ...) -> None: ...

class AddView(_message.Message):
    __slots__ = ("at_unix_s", "pod", "seconds", "reason", "trace_id")
    AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    at_unix_s: float
    pod: str
    seconds: float
    reason: str
    trace_id: str
    def __init__(self, at_unix_s: _Optional[float] = ..., pod: _Optional[str] = ..., seconds: _Optional[float] = ..., reason: _Optional[str] = ..., trace_id: _Optional[str] = ...) -> None: ...

class InspectResponse(_message.Message):
    __slots__ = ("node", "version", "enis", "total", "assigned", "cooling", "free", "quarantined", "deficit", "growth", "dependencies", "settings", "cards", "drift", "adds", "max_pods", "kubelet_pods", "pending_dels", "bad_settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DriftEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class BadSettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENIS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    COOLING_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    DEFICIT_FIELD_NUMBER: _ClassVar[int]
    GROWTH_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    ADDS_FIELD_NUMBER: _ClassVar[int]
    MAX_PODS_FIELD_NUMBER: _ClassVar[int]
    KUBELET_PODS_FIELD_NUMBER: _ClassVar[int]
    PENDING_DELS_FIELD_NUMBER: _ClassVar[int]
    BAD_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    enis: _containers.RepeatedCompositeFieldContainer[EniView]
    total: int
    assigned: int
    cooling: int
    free: int
    quarantined: int
    deficit: int
    growth: GrowthView
    dependencies: _containers.RepeatedCompositeFieldContainer[DependencyView]
    settings: _containers.ScalarMap[str, str]
    cards: _containers.RepeatedCompositeFieldContainer[CardView]
    drift: _containers.ScalarMap[str, int]
    adds: _containers.RepeatedCompositeFieldContainer[AddView]
    max_pods: int
    kubelet_pods: int
    pending_dels: int
    bad_settings: _containers.ScalarMap[str, str]
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ..., enis: _Optional[_Iterable[_Union[EniView, _Mapping]]] = ..., total: _Optional[int] = ..., assigned: _Optional[int] = ..., cooling: _Optional[int] = ..., free: _Optional[int] = ..., quarantined: _Optional[int] = ..., deficit: _Optional[int] = ..., growth: _Optional[_Union[GrowthView, _Mapping]] = ..., dependencies: _Optional[_Iterable[_Union[DependencyView, _Mapping]]] = ..., settings: _Optional[_Mapping[str, str]] = ..., cards: _Optional[_Iterable[_Union[CardView, _Mapping]]] = ..., drift: _Optional[_Mapping[str, int]] = ..., adds: _Optional[_Iterable[_Union[AddView, _Mapping]]] = ..., max_pods: _Optional[int] = ..., kubelet_pods: _Optional[int] = ..., pending_dels: _Optional[int] = ..., bad_settings: _Optional[_Mapping[str, str]] = ...) -> None: ...
