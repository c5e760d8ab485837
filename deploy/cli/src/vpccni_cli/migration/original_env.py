"""The environment variables of the original, 1.12 to 1.23: what an unset one means there, and since when it exists.

Whether and how this version honours a variable is not here: that is in data/settings.json, generated from the services'
own declarations.
"""

from __future__ import annotations

import dataclasses
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class OriginalVariable:
    """``default``: what the original does when it is unset. ``since``: first version that reads it, (0, 0) = 1.12 or older."""

    name: str
    default: str
    about: str
    since: tuple[int, int] = (0, 0)
    harmless: tuple[str, ...] = ()
    """Other values that change nothing for someone who does not have the variable."""
    before: str = ""
    """The value that behaves as versions before ``since`` did, where the default does not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Renamed:
    """A variable whose meaning has another place here. ``value``: values path of the chart, empty = needs nothing."""

    name: str
    value: str
    why: str


def _variable(
    name: str, default: str, about: str, since: str = "0.0", harmless: tuple[str, ...] = ()
) -> OriginalVariable:
    major, minor = since.split(".")
    return OriginalVariable(name, default, about, (int(major), int(minor)), harmless)


_LOG = "/var/log/aws-routed-eni"
ORIGINAL: Final[dict[str, OriginalVariable]] = {
    variable.name: variable
    for variable in (
        # pool
        _variable("WARM_ENI_TARGET", "1", "ENIs kept free"),
        _variable("WARM_IP_TARGET", "0", "addresses kept free"),
        _variable("MINIMUM_IP_TARGET", "0", "floor of all addresses"),
        _variable("MAX_ENI", "0", "most ENIs of a node"),
        _variable("ENABLE_PREFIX_DELEGATION", "false", "prefixes instead of single addresses"),
        _variable("WARM_PREFIX_TARGET", "0", "prefixes kept free"),
        _variable("IP_COOLDOWN_PERIOD", "30", "seconds until an address is used again", "1.15"),
        _variable("DISABLE_NETWORK_RESOURCE_PROVISIONING", "false", "nothing in EC2 is changed"),
        _variable("ENABLE_IMDS_ONLY_MODE", "false", "EC2 is never called", "1.19"),
        # subnets
        _variable("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "false", "ENIConfig objects"),
        _variable("ENI_CONFIG_LABEL_DEF", "k8s.amazonaws.com/eniConfig", "node label that names the ENIConfig"),
        _variable("ENI_CONFIG_ANNOTATION_DEF", "k8s.amazonaws.com/eniConfig", "node annotation that names it"),
        OriginalVariable("ENABLE_SUBNET_DISCOVERY", "true", "subnets found by tag", (1, 18), before="false"),
        # SNAT and ports
        _variable("AWS_VPC_K8S_CNI_EXTERNALSNAT", "false", "no SNAT on the node"),
        _variable("AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng", "random source ports"),
        _variable("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "", "destinations without SNAT"),
        _variable("AWS_EXTERNAL_SERVICE_CIDRS", "", "destinations routed by the main table", "1.12"),
        _variable("AWS_VPC_CNI_NODE_PORT_SUPPORT", "true", "NodePort services"),
        _variable("AWS_VPC_K8S_CNI_CONNMARK", "0x80", "mark bit"),
        _variable("AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER", "true", "loose reverse path filter; no effect since 1.12"),
        _variable(
            "ENABLE_NFTABLES", "false", "nftables mode; no effect", "0.0", ("true", "1", "True", "TRUE", "t", "T")
        ),
        # links
        _variable("AWS_VPC_ENI_MTU", "9001", "MTU of ENIs"),
        _variable("POD_MTU", "", "MTU of pods, default that of ENIs", "1.16"),
        _variable("AWS_VPC_K8S_CNI_VETHPREFIX", "eni", "prefix of host veth names"),
        _variable("ENABLE_BANDWIDTH_PLUGIN", "false", "bandwidth plugin chained"),
        _variable("DISABLE_TCP_EARLY_DEMUX", "false", "kubelet's TCP probes to branch ENI pods"),
        # security groups, several cards, policy
        _variable("ENABLE_POD_ENI", "false", "security groups for pods"),
        _variable("POD_SECURITY_GROUP_ENFORCING_MODE", "strict", "how branch ENI traffic is filtered"),
        _variable("ENABLE_MULTI_NIC", "false", "one pod address per network card", "1.20"),
        _variable("NETWORK_POLICY_ENFORCING_MODE", "standard", "policy agent's mode", "1.17", ("none",)),
        # families
        _variable("ENABLE_IPv4", "true", "IPv4 mode"),
        _variable("ENABLE_IPv6", "false", "IPv6 mode"),
        _variable("ENABLE_V4_EGRESS", "true", "IPv4 egress of IPv6 pods (only IPv6 clusters)", "1.15"),
        _variable("ENABLE_V6_EGRESS", "false", "IPv6 egress of IPv4 pods", "1.13"),
        _variable("DISABLE_POD_V6", "false", "IPv6 switched off inside pods", "1.15"),
        # hygiene
        _variable("ADDITIONAL_ENI_TAGS", "{}", "tags for ENIs"),
        _variable("CLUSTER_NAME", "", "tag and scope of ENIs"),
        _variable("DISABLE_LEAKED_ENI_CLEANUP", "false", "no sweep for leaked ENIs", "1.13"),
        _variable("AWS_MANAGE_ENIS_NON_SCHEDULABLE", "false", "ENIs of cordoned nodes are managed too", "1.12"),
        _variable("MANAGE_UNTAGGED_ENI", "true", "ENIs without our tag are used"),
        # logs and pages
        _variable("AWS_VPC_K8S_CNI_LOGLEVEL", "DEBUG", "daemon's log level"),
        _variable("AWS_VPC_K8S_CNI_LOG_FILE", f"/host{_LOG}/ipamd.log", "daemon's log file"),
        _variable("AWS_VPC_K8S_PLUGIN_LOG_LEVEL", "DEBUG", "plugin's log level"),
        _variable("AWS_VPC_K8S_PLUGIN_LOG_FILE", f"{_LOG}/plugin.log", "plugin's log file"),
        _variable(
            "AWS_VPC_K8S_EGRESS_V4_PLUGIN_LOG_FILE", f"{_LOG}/egress-v4-plugin.log", "egress plugin's log", "1.15"
        ),
        _variable(
            "AWS_VPC_K8S_EGRESS_V6_PLUGIN_LOG_FILE", f"{_LOG}/egress-v6-plugin.log", "egress plugin's log", "1.13"
        ),
        _variable("DISABLE_METRICS", "false", "no /metrics"),
        _variable("DISABLE_INTROSPECTION", "false", "no introspection"),
        _variable("INTROSPECTION_BIND_ADDRESS", "127.0.0.1:61679", "introspection's address"),
        _variable("ANNOTATE_POD_IP", "false", "pod annotation with its address"),
        # hosts and API
        _variable("CLUSTER_ENDPOINT", "", "API server without kube-proxy", "1.12"),
        _variable("AWS_EC2_ENDPOINT", "", "EC2 endpoint", "1.13"),
        _variable("HTTP_TIMEOUT", "10", "EC2 time-out in seconds"),
        _variable("AWS_VPC_K8S_CNI_BACKING_STORE", "/var/run/aws-node/ipam.json", "checkpoint"),
    )
}

# Variables that the chart sets itself, or that mean nothing outside the original's containers.
RENAMED: Final[dict[str, Renamed]] = {
    renamed.name: renamed
    for renamed in (
        Renamed("VPC_CNI_VERSION", "", "the original's version in EC2 calls; ours names its own"),
        Renamed("MY_NODE_NAME", "", "set by the chart"),
        Renamed("MY_POD_NAME", "", "set by the chart"),
        Renamed("HOST_CNI_BIN_PATH", "cniBinDir", "path inside the container; the host's path is cniBinDir"),
        Renamed("HOST_CNI_CONFDIR_PATH", "cniConfDir", "path inside the container; the host's path is cniConfDir"),
        Renamed("AWS_VPC_CNI_CONF_DIR", "cniConfDir", "path inside the container; the host's path is cniConfDir"),
    )
}
