"""10-aws.conflist from the settings (the original's template and order: aws-cni, portmap, bandwidth, tuning).

The original's egress-cni is not in the chain: aws-cni gives pods their egress link itself (docs/decisions.md, 16).
"""

from __future__ import annotations

import dataclasses
import json
from typing import Final

FILE_NAME: Final = "10-aws.conflist"
NETWORK: Final = "aws-cni"


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
    bandwidth: bool = False
    no_pod_ipv6: bool = False


def render(conflist: Conflist) -> str:
    """The file's text. ``mtu`` is a string there: the original's plugin reads it so."""
    plugins: list[dict[str, object]] = [_aws_cni(conflist)]
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
