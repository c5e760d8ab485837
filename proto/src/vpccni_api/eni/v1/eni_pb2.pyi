from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InventorySource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INVENTORY_SOURCE_UNSPECIFIED: _ClassVar[InventorySource]
    IMDS: _ClassVar[InventorySource]
    EC2: _ClassVar[InventorySource]

class AddressMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADDRESS_MODE_UNSPECIFIED: _ClassVar[AddressMode]
    SECONDARY_IP: _ClassVar[AddressMode]
    PREFIX_IPV4: _ClassVar[AddressMode]
    PREFIX_IPV6: _ClassVar[AddressMode]
INVENTORY_SOURCE_UNSPECIFIED: InventorySource
IMDS: InventorySource
EC2: InventorySource
ADDRESS_MODE_UNSPECIFIED: AddressMode
SECONDARY_IP: AddressMode
PREFIX_IPV4: AddressMode
PREFIX_IPV6: AddressMode

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InstanceLimits(_message.Message):
    __slots__ = ("max_enis", "ipv4_per_eni", "ipv6_per_eni", "network_cards", "hypervisor", "bare_metal", "trunking_compatible", "source")
    MAX_ENIS_FIELD_NUMBER: _ClassVar[int]
    IPV4_PER_ENI_FIELD_NUMBER: _ClassVar[int]
    IPV6_PER_ENI_FIELD_NUMBER: _ClassVar[int]
    NETWORK_CARDS_FIELD_NUMBER: _ClassVar[int]
    HYPERVISOR_FIELD_NUMBER: _ClassVar[int]
    BARE_METAL_FIELD_NUMBER: _ClassVar[int]
    TRUNKING_COMPATIBLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    max_enis: int
    ipv4_per_eni: int
    ipv6_per_eni: int
    network_cards: _containers.RepeatedCompositeFieldContainer[NetworkCardLimits]
    hypervisor: str
    bare_metal: bool
    trunking_compatible: bool
    source: str
    def __init__(self, max_enis: _Optional[int] = ..., ipv4_per_eni: _Optional[int] = ..., ipv6_per_eni: _Optional[int] = ..., network_cards: _Optional[_Iterable[_Union[NetworkCardLimits, _Mapping]]] = ..., hypervisor: _Optional[str] = ..., bare_metal: _Optional[bool] = ..., trunking_compatible: _Optional[bool] = ..., source: _Optional[str] = ...) -> None: ...

class NetworkCardLimits(_message.Message):
    __slots__ = ("index", "max_enis")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MAX_ENIS_FIELD_NUMBER: _ClassVar[int]
    index: int
    max_enis: int
    def __init__(self, index: _Optional[int] = ..., max_enis: _Optional[int] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("instance_id", "instance_type", "region", "availability_zone", "vpc_id", "primary_mac", "primary_ip", "primary_ipv6", "primary_eni", "subnet_id", "vpc_ipv4_cidrs", "vpc_ipv6_cidrs", "security_groups", "limits", "bad_settings")
    class BadSettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_ZONE_FIELD_NUMBER: _ClassVar[int]
    VPC_ID_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_MAC_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IP_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IPV6_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_ENI_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    VPC_IPV4_CIDRS_FIELD_NUMBER: _ClassVar[int]
    VPC_IPV6_CIDRS_FIELD_NUMBER: _ClassVar[int]
    SECURITY_GROUPS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    BAD_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    instance_type: str
    region: str
    availability_zone: str
    vpc_id: str
    primary_mac: str
    primary_ip: str
    primary_ipv6: str
    primary_eni: str
    subnet_id: str
    vpc_ipv4_cidrs: _containers.RepeatedScalarFieldContainer[str]
    vpc_ipv6_cidrs: _containers.RepeatedScalarFieldContainer[str]
    security_groups: _containers.RepeatedScalarFieldContainer[str]
    limits: InstanceLimits
    bad_settings: _containers.ScalarMap[str, str]
    def __init__(self, instance_id: _Optional[str] = ..., instance_type: _Optional[str] = ..., region: _Optional[str] = ..., availability_zone: _Optional[str] = ..., vpc_id: _Optional[str] = ..., primary_mac: _Optional[str] = ..., primary_ip: _Optional[str] = ..., primary_ipv6: _Optional[str] = ..., primary_eni: _Optional[str] = ..., subnet_id: _Optional[str] = ..., vpc_ipv4_cidrs: _Optional[_Iterable[str]] = ..., vpc_ipv6_cidrs: _Optional[_Iterable[str]] = ..., security_groups: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[InstanceLimits, _Mapping]] = ..., bad_settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class InventoryRequest(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: InventorySource
    def __init__(self, source: _Optional[_Union[InventorySource, str]] = ...) -> None: ...

class Eni(_message.Message):
    __slots__ = ("eni_id", "mac", "device_number", "network_card", "subnet_id", "subnet_cidr", "subnet_ipv6_cidr", "primary_ip", "secondary_ips", "ipv4_prefixes", "ipv6_prefixes", "ipv6_addresses", "tags", "interface_type", "is_primary", "managed", "unmanaged_why", "status", "attached_unix_s", "excluded_why")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENI_ID_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NETWORK_CARD_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    SUBNET_CIDR_FIELD_NUMBER: _ClassVar[int]
    SUBNET_IPV6_CIDR_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_IP_FIELD_NUMBER: _ClassVar[int]
    SECONDARY_IPS_FIELD_NUMBER: _ClassVar[int]
    IPV4_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    IPV6_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    IPV6_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_TYPE_FIELD_NUMBER: _ClassVar[int]
    IS_PRIMARY_FIELD_NUMBER: _ClassVar[int]
    MANAGED_FIELD_NUMBER: _ClassVar[int]
    UNMANAGED_WHY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_WHY_FIELD_NUMBER: _ClassVar[int]
    eni_id: str
    mac: str
    device_number: int
    network_card: int
    subnet_id: str
    subnet_cidr: str
    subnet_ipv6_cidr: str
    primary_ip: str
    secondary_ips: _containers.RepeatedScalarFieldContainer[str]
    ipv4_prefixes: _containers.RepeatedScalarFieldContainer[str]
    ipv6_prefixes: _containers.RepeatedScalarFieldContainer[str]
    ipv6_addresses: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.ScalarMap[str, str]
    interface_type: str
    is_primary: bool
    managed: bool
    unmanaged_why: str
    status: str
    attached_unix_s: float
    excluded_why: str
    def __init__(self, eni_id: _Optional[str] = ..., mac: _Optional[str] = ..., device_number: _Optional[int] = ..., network_card: _Optional[int] = ..., subnet_id: _Optional[str] = ..., subnet_cidr: _Optional[str] = ..., subnet_ipv6_cidr: _Optional[str] = ..., primary_ip: _Optional[str] = ..., secondary_ips: _Optional[_Iterable[str]] = ..., ipv4_prefixes: _Optional[_Iterable[str]] = ..., ipv6_prefixes: _Optional[_Iterable[str]] = ..., ipv6_addresses: _Optional[_Iterable[str]] = ..., tags: _Optional[_Mapping[str, str]] = ..., interface_type: _Optional[str] = ..., is_primary: _Optional[bool] = ..., managed: _Optional[bool] = ..., unmanaged_why: _Optional[str] = ..., status: _Optional[str] = ..., attached_unix_s: _Optional[float] = ..., excluded_why: _Optional[str] = ...) -> None: ...

class InventoryResponse(_message.Message):
    __slots__ = ("enis", "source", "generation", "vpc_ipv4_cidrs")
    ENIS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    VPC_IPV4_CIDRS_FIELD_NUMBER: _ClassVar[int]
    enis: _containers.RepeatedCompositeFieldContainer[Eni]
    source: InventorySource
    generation: int
    vpc_ipv4_cidrs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, enis: _Optional[_Iterable[_Union[Eni, _Mapping]]] = ..., source: _Optional[_Union[InventorySource, str]] = ..., generation: _Optional[int] = ..., vpc_ipv4_cidrs: _Optional[_Iterable[str]] = ...) -> None: ...

class NetworkProfile(_message.Message):
    __slots__ = ("name", "subnet_id", "security_groups")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    SECURITY_GROUPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    subnet_id: str
    security_groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., subnet_id: _Optional[str] = ..., security_groups: _Optional[_Iterable[str]] = ...) -> None: ...

class EnsureCapacityRequest(_message.Message):
    __slots__ = ("mode", "want", "whole_eni", "max_enis", "reserved_enis", "network_card", "excluded_enis", "profile", "may_create_eni")
    MODE_FIELD_NUMBER: _ClassVar[int]
    WANT_FIELD_NUMBER: _ClassVar[int]
    WHOLE_ENI_FIELD_NUMBER: _ClassVar[int]
    MAX_ENIS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_ENIS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_CARD_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ENIS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    MAY_CREATE_ENI_FIELD_NUMBER: _ClassVar[int]
    mode: AddressMode
    want: int
    whole_eni: bool
    max_enis: int
    reserved_enis: int
    network_card: int
    excluded_enis: _containers.RepeatedScalarFieldContainer[str]
    profile: NetworkProfile
    may_create_eni: bool
    def __init__(self, mode: _Optional[_Union[AddressMode, str]] = ..., want: _Optional[int] = ..., whole_eni: _Optional[bool] = ..., max_enis: _Optional[int] = ..., reserved_enis: _Optional[int] = ..., network_card: _Optional[int] = ..., excluded_enis: _Optional[_Iterable[str]] = ..., profile: _Optional[_Union[NetworkProfile, _Mapping]] = ..., may_create_eni: _Optional[bool] = ...) -> None: ...

class EnsureCapacityResponse(_message.Message):
    __slots__ = ("action", "eni_id", "addresses", "prefixes", "inventory", "candidates")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ENI_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    action: str
    eni_id: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    inventory: InventoryResponse
    candidates: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, action: _Optional[str] = ..., eni_id: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., prefixes: _Optional[_Iterable[str]] = ..., inventory: _Optional[_Union[InventoryResponse, _Mapping]] = ..., candidates: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseCapacityRequest(_message.Message):
    __slots__ = ("addresses", "eni_ids")
    class Addresses(_message.Message):
        __slots__ = ("eni_id", "ips", "prefixes")
        ENI_ID_FIELD_NUMBER: _ClassVar[int]
        IPS_FIELD_NUMBER: _ClassVar[int]
        PREFIXES_FIELD_NUMBER: _ClassVar[int]
        eni_id: str
        ips: _containers.RepeatedScalarFieldContainer[str]
        prefixes: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, eni_id: _Optional[str] = ..., ips: _Optional[_Iterable[str]] = ..., prefixes: _Optional[_Iterable[str]] = ...) -> None: ...
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ENI_IDS_FIELD_NUMBER: _ClassVar[int]
    addresses: _containers.RepeatedCompositeFieldContainer[ReleaseCapacityRequest.Addresses]
    eni_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, addresses: _Optional[_Iterable[_Union[ReleaseCapacityRequest.Addresses, _Mapping]]] = ..., eni_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseCapacityResponse(_message.Message):
    __slots__ = ("inventory",)
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    inventory: InventoryResponse
    def __init__(self, inventory: _Optional[_Union[InventoryResponse, _Mapping]] = ...) -> None: ...

class WatchInventoryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ApiClassView(_message.Message):
    __slots__ = ("api_class", "level", "rate", "ceiling", "burst")
    API_CLASS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    api_class: str
    level: float
    rate: float
    ceiling: float
    burst: float
    def __init__(self, api_class: _Optional[str] = ..., level: _Optional[float] = ..., rate: _Optional[float] = ..., ceiling: _Optional[float] = ..., burst: _Optional[float] = ...) -> None: ...

class ApiView(_message.Message):
    __slots__ = ("api", "calls", "errors", "throttled")
    API_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_FIELD_NUMBER: _ClassVar[int]
    api: str
    calls: int
    errors: int
    throttled: int
    def __init__(self, api: _Optional[str] = ..., calls: _Optional[int] = ..., errors: _Optional[int] = ..., throttled: _Optional[int] = ...) -> None: ...

class SubnetView(_message.Message):
    __slots__ = ("subnet_id", "availability_zone", "cidr", "free", "is_primary", "refused_why")
    SUBNET_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_ZONE_FIELD_NUMBER: _ClassVar[int]
    CIDR_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    IS_PRIMARY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_WHY_FIELD_NUMBER: _ClassVar[int]
    subnet_id: str
    availability_zone: str
    cidr: str
    free: int
    is_primary: bool
    refused_why: str
    def __init__(self, subnet_id: _Optional[str] = ..., availability_zone: _Optional[str] = ..., cidr: _Optional[str] = ..., free: _Optional[int] = ..., is_primary: _Optional[bool] = ..., refused_why: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("version", "classes", "apis", "subnets", "dependencies", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    APIS_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    version: str
    classes: _containers.RepeatedCompositeFieldContainer[ApiClassView]
    apis: _containers.RepeatedCompositeFieldContainer[ApiView]
    subnets: _containers.RepeatedCompositeFieldContainer[SubnetView]
    dependencies: _containers.RepeatedCompositeFieldContainer[DependencyView]
    settings: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[str] = ..., classes: _Optional[_Iterable[_Union[ApiClassView, _Mapping]]] = ..., apis: _Optional[_Iterable[_Union[ApiView, _Mapping]]] = ..., subnets: _Optional[_Iterable[_Union[SubnetView, _Mapping]]] = ..., dependencies: _Optional[_Iterable[_Union[DependencyView, _Mapping]]] = ..., settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CheckAccessRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActionView(_message.Message):
    __slots__ = ("action", "verdict", "message")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    action: str
    verdict: str
    message: str
    def __init__(self, action: _Optional[str] = ..., verdict: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class MissingTags(_message.Message):
    __slots__ = ("eni_id", "keys")
    ENI_ID_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    eni_id: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, eni_id: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckAccessResponse(_message.Message):
    __slots__ = ("actions", "subnets", "subnets_error", "missing_tags", "imds_hop_limit", "imds_error")
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_FIELD_NUMBER: _ClassVar[int]
    SUBNETS_ERROR_FIELD_NUMBER: _ClassVar[int]
    MISSING_TAGS_FIELD_NUMBER: _ClassVar[int]
    IMDS_HOP_LIMIT_FIELD_NUMBER: _ClassVar[int]
    IMDS_ERROR_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[ActionView]
    subnets: _containers.RepeatedCompositeFieldContainer[SubnetView]
    subnets_error: str
    missing_tags: _containers.RepeatedCompositeFieldContainer[MissingTags]
    imds_hop_limit: int
    imds_error: str
    def __init__(self, actions: _Optional[_Iterable[_Union[ActionView, _Mapping]]] = ..., subnets: _Optional[_Iterable[_Union[SubnetView, _Mapping]]] = ..., subnets_error: _Optional[str] = ..., missing_tags: _Optional[_Iterable[_Union[MissingTags, _Mapping]]] = ..., imds_hop_limit: _Optional[int] = ..., imds_error: _Optional[str] = ...) -> None: ...
