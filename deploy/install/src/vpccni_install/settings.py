"""Every environment variable of the init container and of the step that writes the conflist."""

from __future__ import annotations

from typing import Final

from vpccni_api.sockets import IPAM_HEALTH_PORT
from vpccni_kit.settings import Setting, boolean, choice, integer, text

MIN_MTU: Final = 576
MIN_MTU_IPV6: Final = 1280
MAX_MTU: Final = 9001
MAX_VETH_PREFIX: Final = 4
_NOT_A_PREFIX: Final = ("eth", "lo", "vlan")


def _veth_prefix(raw: str) -> str:
    usable = raw.isascii() and all(char.isalnum() or char in "_-" for char in raw)
    if not usable or not 1 <= len(raw) <= MAX_VETH_PREFIX or raw in _NOT_A_PREFIX:
        raise ValueError(f"allowed: 1 to {MAX_VETH_PREFIX} letters, digits, '_', '-', not {', '.join(_NOT_A_PREFIX)}")
    return raw


def _plugin_log(raw: str) -> str:
    if raw.lower() == "stdout":
        raise ValueError('allowed: "stderr" or a path; stdout carries the CNI result')
    return raw


_LEVELS: Final = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_DEFAULT_PLUGIN_LOG: Final = "/var/log/aws-routed-eni/plugin.log"

BIN_DIR: Final = text("HOST_CNI_BIN_PATH", "/host/opt/cni/bin", "Where the host's CNI plugins are, as mounted.")
CONF_DIR: Final = text("HOST_CNI_CONFDIR_PATH", "/host/etc/cni/net.d", "Where the host's conflists are, as mounted.")
PLUGIN_DIR: Final = text("VPCCNI_PLUGIN_DIR", "/opt/vpccni/plugins", "Plugins of the image, copied to the host.")
SYSCTL_DIR: Final = text(
    "VPCCNI_SYSCTL_DIR",
    "/host/proc/sys/net",
    "The host's /proc/sys/net as mounted; /proc/sys/net when it is not there.",
)
OWN_CONFLIST: Final = text(
    "VPCCNI_CONFLIST_FILE",
    "/etc/vpccni/10-aws.conflist",
    "A conflist to use instead of the generated one, when it exists.",
)
CNI_VERSION: Final = choice(
    "VPCCNI_CONFLIST_VERSION", "0.4.0", ("0.4.0", "1.0.0", "1.1.0"), "CNI version of the generated conflist."
)

ENI_MTU: Final = integer("AWS_VPC_ENI_MTU", MAX_MTU, "MTU of the ENIs.", low=MIN_MTU, high=MAX_MTU)
POD_MTU: Final = integer("POD_MTU", 0, "MTU of pod interfaces; empty: AWS_VPC_ENI_MTU.", low=MIN_MTU, high=MAX_MTU)
VETH_PREFIX: Final = Setting(
    "AWS_VPC_K8S_CNI_VETHPREFIX",
    "String",
    "eni",
    "1 to 4 letters, digits, '_', '-'; not eth, lo, vlan",
    "Start of the names of the host side of pod links.",
    _veth_prefix,
)
ENFORCING_MODE: Final = choice(
    "POD_SECURITY_GROUP_ENFORCING_MODE",
    "strict",
    ("strict", "standard"),
    "How pods with security groups of their own are wired.",
)
PLUGIN_LOG_FILE: Final = Setting(
    "AWS_VPC_K8S_PLUGIN_LOG_FILE",
    "String",
    _DEFAULT_PLUGIN_LOG,
    "stderr or a path",
    "Where the plugin logs to.",
    _plugin_log,
)
PLUGIN_LOG_LEVEL: Final = choice(
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL", "DEBUG", _LEVELS, "Verbosity of the plugin's log.", fold_case=True
)
IPAM_WAIT: Final = integer(
    "VPCCNI_IPAM_WAIT",
    60,
    "Seconds that an ADD waits for ipam while that is being started again (an upgrade); 0: fails at once.",
    low=0,
    high=100,
)
BANDWIDTH: Final = boolean("ENABLE_BANDWIDTH_PLUGIN", False, "Chains the reference plugin bandwidth.")
NO_POD_IPV6: Final = boolean(
    "DISABLE_POD_V6", False, "Chains the reference plugin tuning, which switches IPv6 off in pods."
)
NO_EARLY_DEMUX: Final = boolean("DISABLE_TCP_EARLY_DEMUX", False, "Writes net.ipv4.tcp_early_demux = 0 (else 1).")
IPV6: Final = boolean("ENABLE_IPv6", False, "Pods have IPv6 addresses.")
V6_EGRESS: Final = boolean("ENABLE_V6_EGRESS", False, "IPv6 for pods of an IPv4 cluster, translated on the node.")
EGRESS_LOG_V4: Final = Setting(
    "AWS_VPC_K8S_EGRESS_V4_PLUGIN_LOG_FILE", "String", "/var/log/aws-routed-eni/egress-v4-plugin.log", "stderr or a path",
    "Accepted and not used: egress is part of aws-cni and logged with the rest.", _plugin_log,
)  # fmt: skip
EGRESS_LOG_V6: Final = Setting(
    "AWS_VPC_K8S_EGRESS_V6_PLUGIN_LOG_FILE", "String", "/var/log/aws-routed-eni/egress-v6-plugin.log", "stderr or a path",
    "Accepted and not used: egress is part of aws-cni and logged with the rest.", _plugin_log,
)  # fmt: skip
IMDS: Final = text(
    "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254", "Address of the instance metadata service."
)
HEALTH_PORT: Final = integer(
    "VPCCNI_IPAM_HEALTH_PORT", IPAM_HEALTH_PORT, "TCP port of ipam's health service.", low=1, high=65535
)
STARTUP_TAINT: Final = text(
    "VPCCNI_STARTUP_TAINT",
    "",
    "Key of a taint that is taken off the node when its first address is usable; empty: none.",
)
NODE_NAME: Final = text("MY_NODE_NAME", "", "Name of the node in Kubernetes.")

ALL: Final[tuple[Setting[object], ...]] = (
    BIN_DIR, CONF_DIR, PLUGIN_DIR, SYSCTL_DIR, OWN_CONFLIST, CNI_VERSION, ENI_MTU, POD_MTU, VETH_PREFIX, ENFORCING_MODE,
    PLUGIN_LOG_FILE, PLUGIN_LOG_LEVEL, IPAM_WAIT, BANDWIDTH, NO_POD_IPV6, NO_EARLY_DEMUX, IPV6, V6_EGRESS, EGRESS_LOG_V4,
    EGRESS_LOG_V6, IMDS, HEALTH_PORT, STARTUP_TAINT, NODE_NAME,
)  # type: ignore[assignment]  # fmt: skip
