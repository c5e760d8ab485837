"""ipam's environment variables: the original's names and meanings, and a few of our own (VPCCNI_*)."""

from __future__ import annotations

from typing import Any, Final

from vpccni_api import sockets
from vpccni_kit.settings import Setting, boolean, choice, integer, ipv4_cidrs, text

from vpccni_ipam.domain.eni_numbers import MTU_RANGE

_MANY: Final = 1 << 20


def _veth_prefix(raw: str) -> str:
    if len(raw) > 4 or raw in ("eth", "lo", "vlan"):
        raise ValueError("at most 4 characters, not eth, lo or vlan")
    return raw


Pairs = tuple[tuple[str, str], ...]
_NO_PAIRS: Final[Pairs] = ()


def _pairs(raw: str) -> Pairs:
    pairs = [item.strip().partition("=") for item in raw.split(",") if item.strip()]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError("not a list of key=value; allowed: key=value,key=value")
    return tuple((key, value) for key, _, value in pairs)


def _mark(raw: str) -> int:
    try:
        number = int(raw, 0)
    except ValueError:
        raise ValueError("not a number; allowed: 1 to 0xffffffff") from None
    if not 0 < number <= 0xFFFFFFFF:
        raise ValueError("out of range; allowed: 1 to 0xffffffff")
    return number


# Addresses and ENIs.
WARM_ENI_TARGET = integer(
    "WARM_ENI_TARGET", 1, "Free ENIs' worth of addresses kept; ignored when an IP target is set", low=0, high=_MANY
)
WARM_IP_TARGET = integer(
    "WARM_IP_TARGET", 0, "Free addresses kept; 0 or less: not set", low=0, high=_MANY, clamp_low_to=0
)
MINIMUM_IP_TARGET = integer(
    "MINIMUM_IP_TARGET", 0, "Least number of addresses held; 0 or less: not set", low=0, high=_MANY, clamp_low_to=0
)
WARM_PREFIX_TARGET = integer(
    "WARM_PREFIX_TARGET",
    1,
    "Free prefixes kept with prefix delegation; ignored when an IP target is set",
    low=0,
    high=_MANY,
    clamp_low_to=0,
)
MAX_ENI = integer(
    "MAX_ENI", 0, "Most ENIs attached; 0 or less: the instance type's limit", low=0, high=_MANY, clamp_low_to=0
)
ENABLE_PREFIX_DELEGATION = boolean("ENABLE_PREFIX_DELEGATION", False, "Assign /28 (IPv6: /80) prefixes to ENIs")
IP_COOLDOWN_PERIOD = integer(
    "IP_COOLDOWN_PERIOD", 30, "Seconds before a released address is used again", low=0, high=86400
)
ENABLE_IPV4 = boolean("ENABLE_IPv4", True, "Pods have IPv4 addresses")
ENABLE_IPV6 = boolean("ENABLE_IPv6", False, "Pods have IPv6 addresses; needs prefix delegation")
CUSTOM_NETWORK_CFG = boolean(
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", False, "Pods use subnet and security groups of the node's ENIConfig"
)
ENI_CONFIG_ANNOTATION_DEF = text(
    "ENI_CONFIG_ANNOTATION_DEF", "k8s.amazonaws.com/eniConfig", "Node annotation that names the ENIConfig"
)
ENI_CONFIG_LABEL_DEF = text(
    "ENI_CONFIG_LABEL_DEF", "k8s.amazonaws.com/eniConfig", "Node label that names the ENIConfig"
)
MANAGE_NON_SCHEDULABLE = boolean("AWS_MANAGE_ENIS_NON_SCHEDULABLE", False, "Grow and shrink on a cordoned node as well")
DISABLE_PROVISIONING = boolean(
    "DISABLE_NETWORK_RESOURCE_PROVISIONING", False, "Use what is attached; never create, assign or release"
)
IMDS_ONLY = boolean("ENABLE_IMDS_ONLY_MODE", False, "As DISABLE_NETWORK_RESOURCE_PROVISIONING, without EC2 calls")
ENABLE_POD_ENI = boolean("ENABLE_POD_ENI", False, "Branch ENIs for pods with security groups")
SG_ENFORCING_MODE = choice(
    "POD_SECURITY_GROUP_ENFORCING_MODE", "strict", ("strict", "standard"), "How branch ENI pods are wired"
)
ENABLE_MULTI_NIC = boolean("ENABLE_MULTI_NIC", False, "Pods that ask for it get an address of every network card")
NETWORK_POLICY_ENFORCING_MODE = choice(
    "NETWORK_POLICY_ENFORCING_MODE",
    "",
    ("none", "strict", "standard"),
    "How the network policy agent treats new pods",
    fold_case=True,
)
NODE_CONDITION = boolean(
    "VPCCNI_NODE_CONDITION",
    False,
    "The Node's condition PodAddressesExhausted says when pods get no address; needs patch of nodes/status",
)
ANNOTATE_POD_IP = boolean("ANNOTATE_POD_IP", False, "Write the pod's address into an annotation")

# Datapath, passed on to netconf.
EXTERNALSNAT = boolean("AWS_VPC_K8S_CNI_EXTERNALSNAT", False, "Something outside translates; no SNAT on the node")
RANDOMIZESNAT = choice(
    "AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng", ("prng", "hashrandom", "none"), "Choice of SNAT source ports"
)
EXCLUDE_SNAT_CIDRS = ipv4_cidrs("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "Destinations that are not translated")
EXTERNAL_SERVICE_CIDRS = ipv4_cidrs("AWS_EXTERNAL_SERVICE_CIDRS", "Destinations that leave by the primary ENI")
NODE_PORT_SUPPORT = boolean("AWS_VPC_CNI_NODE_PORT_SUPPORT", True, "Replies of NodePort connections leave as they came")
CONNMARK = Setting("AWS_VPC_K8S_CNI_CONNMARK", "Integer as a String", 0x80, "1 to 0xffffffff", "Connection mark", _mark)
CONFIGURE_RPFILTER = boolean(
    "AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER", True, "Set loose reverse path filtering on the primary link"
)
ENI_MTU = integer("AWS_VPC_ENI_MTU", 9001, "MTU of ENIs in bytes", low=MTU_RANGE[0], high=MTU_RANGE[1])
VETHPREFIX = Setting(
    "AWS_VPC_K8S_CNI_VETHPREFIX",
    "String",
    "eni",
    "at most 4 characters, not eth, lo or vlan",
    "Prefix of host link names",
    _veth_prefix,
)
DISABLE_TCP_EARLY_DEMUX = boolean(
    "DISABLE_TCP_EARLY_DEMUX", False, "Needed for kubelet probes of branch ENI pods in strict mode"
)
ENABLE_V4_EGRESS = boolean("ENABLE_V4_EGRESS", True, "IPv6 pods reach IPv4 destinations through the node")
ENABLE_V6_EGRESS = boolean("ENABLE_V6_EGRESS", False, "IPv4 pods reach IPv6 destinations through the node")

# Kubernetes.
KUBERNETES = choice(
    "VPCCNI_KUBERNETES",
    "on",
    ("on", "required", "off"),
    "on: starts and serves also while the API server is away; required: exits then; off: a host without Kubernetes",
)
KUBERNETES_WAIT = integer(
    "VPCCNI_KUBERNETES_WAIT",
    30,
    "Seconds in which the API server must answer at start where VPCCNI_KUBERNETES=required",
    low=1,
    high=3600,
)
ENI_CONFIG_DIR = text(
    "VPCCNI_ENI_CONFIG_DIR",
    "",
    "Where VPCCNI_KUBERNETES=off: directory of ENIConfigs as YAML or JSON files, read again when they change",
    allowed="a directory",
)
NODE_LABELS = Setting(
    "VPCCNI_NODE_LABELS",
    "String",
    _NO_PAIRS,
    "key=value,key=value",
    "Where VPCCNI_KUBERNETES=off: labels of the node",
    _pairs,
)
NODE_ANNOTATIONS = Setting(
    "VPCCNI_NODE_ANNOTATIONS",
    "String",
    _NO_PAIRS,
    "key=value,key=value",
    "Where VPCCNI_KUBERNETES=off: annotations of the node",
    _pairs,
)
CLUSTER_ENDPOINT = text(
    "CLUSTER_ENDPOINT", "", "API server to use instead of the service address", allowed="host or URL"
)
MY_NODE_NAME = text("MY_NODE_NAME", "", "Name of this node")
MY_POD_NAME = text("MY_POD_NAME", "", "Name of this pod, the subject of events")
MAX_PODS = integer(
    "VPCCNI_MAX_PODS",
    0,
    "Most pods of this node; 0: the node's capacity, else the instance type's formula",
    low=0,
    high=_MANY,
)

# The process.
ADD_WAIT = integer("VPCCNI_ADD_WAIT", 50, "Longest wait of an ADD for an address, in seconds", low=0, high=3600)
SHRINK_PACE = integer(
    "VPCCNI_SHRINK_PACE", 30, "Seconds a surplus lasts before it is released, and between releases", low=1, high=86400
)
BACKING_STORE = text(
    "AWS_VPC_K8S_CNI_BACKING_STORE", sockets.CHECKPOINT, "Path of the checkpoint", allowed="a file path"
)
CHECKPOINT = text("VPCCNI_CHECKPOINT", "", "Path of the checkpoint; wins over AWS_VPC_K8S_CNI_BACKING_STORE")
PENDING_DEL_DIR = text("VPCCNI_PENDING_DEL_DIR", sockets.PENDING_DEL_DIR, "Directory of queued DELs")
IPAM_SOCKET = text("VPCCNI_IPAM_SOCKET", sockets.IPAM_SOCKET, "Socket for the plugin")
NETCONF_SOCKET = text("VPCCNI_NETCONF_SOCKET", sockets.NETCONF_SOCKET, "Socket of netconf")
ENI_MANAGER_SOCKET = text("VPCCNI_ENI_MANAGER_SOCKET", sockets.ENI_MANAGER_SOCKET, "Socket of eni-manager")
HEALTH_PORT = integer(
    "VPCCNI_IPAM_HEALTH_PORT", sockets.IPAM_HEALTH_PORT, "TCP port of the health service", low=1, high=65535
)
METRICS_PORT = integer("VPCCNI_IPAM_METRICS_PORT", sockets.IPAM_METRICS_PORT, "TCP port of /metrics", low=1, high=65535)
DISABLE_METRICS = boolean("DISABLE_METRICS", False, "No /metrics")
DISABLE_INTROSPECTION = boolean("DISABLE_INTROSPECTION", False, "No introspection pages")
INTROSPECTION_BIND_ADDRESS = text(
    "INTROSPECTION_BIND_ADDRESS",
    sockets.INTROSPECTION_ADDRESS,
    "Where the introspection pages are",
    allowed="host:port, or unix: and a path",
)
LOGLEVEL = choice(
    "AWS_VPC_K8S_CNI_LOGLEVEL",
    "DEBUG",
    ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
    "Least level logged",
    fold_case=True,
)
LOG_FILE = text(
    "AWS_VPC_K8S_CNI_LOG_FILE",
    "/host/var/log/aws-routed-eni/ipamd.log",
    "Where the log goes; a file that cannot be opened means stderr",
    allowed="stdout, stderr or a file path",
)

SETTINGS: Final[tuple[Setting[Any], ...]] = tuple(
    value for name, value in list(globals().items()) if isinstance(value, Setting) and name.isupper()
)

NOT_YET: Final[tuple[Setting[Any], ...]] = (NETWORK_POLICY_ENFORCING_MODE,)
"""Known, and without effect so far."""

POOL_SETTINGS: Final[tuple[Setting[Any], ...]] = (
    WARM_IP_TARGET,
    WARM_ENI_TARGET,
    CUSTOM_NETWORK_CFG,
    MANAGE_NON_SCHEDULABLE,
)
"""Shown by the original's /v1/ipamd-env-settings (the subnet discovery one is eni-manager's)."""

NETWORK_SETTINGS: Final[tuple[Setting[Any], ...]] = (
    EXTERNALSNAT,
    EXCLUDE_SNAT_CIDRS,
    EXTERNAL_SERVICE_CIDRS,
    RANDOMIZESNAT,
    NODE_PORT_SUPPORT,
    CONNMARK,
    ENI_MTU,
    VETHPREFIX,
    ENABLE_V6_EGRESS,
    SG_ENFORCING_MODE,
)
"""Shown by /v1/networkutils-env-settings."""
