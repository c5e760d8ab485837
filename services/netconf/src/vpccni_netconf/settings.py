"""Every environment variable of netconf. What concerns packets comes from ipam with each call, not from here."""

from __future__ import annotations

from typing import Final

from vpccni_api.sockets import NETCONF_HEALTH_PORT, NETCONF_METRICS_PORT, NETCONF_SOCKET
from vpccni_kit.settings import boolean, choice, integer, text

SOCKET: Final = text("VPCCNI_NETCONF_SOCKET", NETCONF_SOCKET, "Unix socket that netconf serves on.")
HEALTH_PORT: Final = integer(
    "VPCCNI_NETCONF_HEALTH_PORT", NETCONF_HEALTH_PORT, "TCP port of netconf's health service.", low=0, high=65535
)
METRICS_PORT: Final = integer(
    "VPCCNI_NETCONF_METRICS_PORT", NETCONF_METRICS_PORT, "TCP port of netconf's /metrics.", low=0, high=65535
)
DISABLE_METRICS: Final = boolean("DISABLE_METRICS", False, "No metrics endpoint.")
LOG_LEVEL: Final = choice(
    "AWS_VPC_K8S_CNI_LOGLEVEL",
    "DEBUG",
    ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
    "Verbosity of the services' logs.",
    fold_case=True,
)
LOG_FILE: Final = text(
    "VPCCNI_NETCONF_LOG_FILE", "stdout", "Where netconf logs to.", allowed="stdout, stderr or a file path"
)
MY_NODE_NAME: Final = text("MY_NODE_NAME", "", "Node name, in every span and log line.")
PACKET_FILTER: Final = choice(
    "VPCCNI_NETCONF_PACKET_FILTER",
    "auto",
    ("auto", "iptables-legacy", "iptables-nft", "nftables"),
    "Packet filter to write to; auto: the one that the host's kubelet and kube-proxy use.",
)
REPAIR_INTERVAL: Final = integer(
    "VPCCNI_NETCONF_REPAIR_INTERVAL",
    30,
    "Seconds between two complete comparisons of the kernel with what it should be.",
    low=1,
    high=3600,
)
SYSCTL_DIR: Final = text(
    "VPCCNI_SYSCTL_DIR",
    "/host/proc/sys/net",
    "The host's /proc/sys/net as mounted; /proc/sys/net when it is not there.",
    allowed="a path that ends in /net",
)

ALL: Final = (
    SOCKET,
    HEALTH_PORT,
    METRICS_PORT,
    DISABLE_METRICS,
    LOG_LEVEL,
    LOG_FILE,
    MY_NODE_NAME,
    PACKET_FILTER,
    REPAIR_INTERVAL,
    SYSCTL_DIR,
)
