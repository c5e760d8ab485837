"""10-aws.conflist from the settings (the original's template and order: aws-cni, egress-cni, portmap, bandwidth, tuning)."""

from __future__ import annotations

import dataclasses
import json
from typing import Final

FILE_NAME: Final = "10-aws.conflist"
NETWORK: Final = "aws-cni"


@dataclasses.dataclass(frozen=True, slots=True)
class Egress:
    """The other address family, translated on the node. ``node_ip`` is the address that the outside sees."""

    node_ip: str
    subnet: str
    destination: str
    data_dir: str
    log_file: str


@dataclasses.dataclass(frozen=True, slots=True)
class Conflist:
    """What the generated file depends on. ``mtu``: bytes, 576 to 9001. ``ipam_wait``: seconds, 0 to 100."""

    cni_version: str = "0.4.0"
    mtu: int = 9001
    veth_prefix: str = "eni"
    enforcing_mode: str = "strict"
    log_file: str = "/var/log/aws-routed-eni/plugin.log"
    log_level: str = "DEBUG"
    ipam_wait: int = 60
    randomize_snat: str = "prng"
    bandwidth: bool = False
    no_pod_ipv6: bool = False
    egress: Egress | None = None


def egress_v4(node_ip: str, log_file: str) -> Egress:
    """IPv4 for the pods of an IPv6 cluster: node-local addresses, translated to the node's."""
    return Egress(node_ip, "169.254.172.0/22", "0.0.0.0/0", "/run/cni/v6pd/egress-v4-ipam", log_file)


def egress_v6(node_ip: str, log_file: str) -> Egress:
    """IPv6 for the pods of an IPv4 cluster."""
    return Egress(node_ip, "fd00::ac:00/118", "::/0", "/run/cni/v4pd/egress-v6-ipam", log_file)


def render(conflist: Conflist) -> str:
    """The file's text. ``mtu`` and ``enabled`` are strings there: the original's plugin reads them so."""
    plugins: list[dict[str, object]] = [_aws_cni(conflist)]
    if conflist.egress is not None:
        plugins.append(_egress_cni(conflist, conflist.egress))
    plugins.append({"type": "portmap", "capabilities": {"portMappings": True}, "snat": True})
    if conflist.bandwidth:
        plugins.append({"type": "bandwidth", "capabilities": {"bandwidth": True}})
    if conflist.no_pod_ipv6:
        off = {f"net.ipv6.conf.{scope}.disable_ipv6": "1" for scope in ("all", "default", "lo")}
        plugins.append({"type": "tuning", "sysctl": off})
    whole = {"cniVersion": conflist.cni_version, "name": NETWORK, "disableCheck": True, "plugins": plugins}
    return json.dumps(whole, indent=2) + "\n"


def _aws_cni(conflist: Conflist) -> dict[str, object]:
    return {
        "name": "aws-cni",
        "type": "aws-cni",
        "vethPrefix": conflist.veth_prefix,
        "mtu": str(conflist.mtu),
        "podSGEnforcingMode": conflist.enforcing_mode,
        "pluginLogFile": conflist.log_file,
        "pluginLogLevel": conflist.log_level,
        "ipamWaitSeconds": str(conflist.ipam_wait),
        "capabilities": {"io.kubernetes.cri.pod-annotations": True},
    }


def _egress_cni(conflist: Conflist, egress: Egress) -> dict[str, object]:
    return {
        "name": "egress-cni",
        "type": "egress-cni",
        "mtu": str(conflist.mtu),
        "enabled": "true",
        "randomizeSNAT": conflist.randomize_snat,
        "nodeIP": egress.node_ip,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": egress.subnet}]],
            "routes": [{"dst": egress.destination}],
            "dataDir": egress.data_dir,
        },
        "pluginLogFile": egress.log_file,
        "pluginLogLevel": conflist.log_level,
    }
