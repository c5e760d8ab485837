"""Which sysctls a node needs before its first pod (datapath reference, init container)."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Sysctl:
    """``path`` below /proc/sys/net. Not ``required``: left out where the kernel does not have it."""

    path: str
    value: str
    required: bool = True


def for_node(primary: str, *, no_early_demux: bool, ipv6: bool, v6_egress: bool) -> tuple[Sysctl, ...]:
    """``primary``: the link with the instance's MAC. In the order in which they are to be written.

    rp_filter is loose there because an answer to a NodePort connection may belong to a pod of another ENI.
    tcp_early_demux would let the kernel deliver a probe's answer to the socket of the wrong link (strict pod security groups).
    """
    wanted = [
        Sysctl(f"ipv4/conf/{primary}/rp_filter", "2"),
        Sysctl("ipv4/tcp_early_demux", "0" if no_early_demux else "1", required=False),
    ]
    if ipv6:
        wanted.append(Sysctl("ipv6/conf/all/disable_ipv6", "0"))
    if ipv6 or v6_egress:
        wanted.append(Sysctl("ipv6/conf/all/forwarding", "1"))
        wanted.append(Sysctl(f"ipv6/conf/{primary}/accept_ra", "2"))
    return tuple(wanted)
