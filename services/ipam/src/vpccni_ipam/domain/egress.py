"""Egress links: addresses that mean something on this node only, for what pods send in the family that is not the cluster's.

The ranges are those of the original. It gives addresses from the beginning of a range, we from its end: on a node that is
switched over and back with its pods running, the two hardly meet.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
from collections.abc import Container
from typing import Final

_RANGES: Final = {4: ipaddress.ip_network("169.254.172.0/22"), 6: ipaddress.ip_network("fd00::ac:0/118")}
_FIRST: Final = 2
"""The first two addresses of a range are its own and its gateway's; the last is never given either."""


@dataclasses.dataclass(frozen=True, slots=True)
class Egress:
    """A pod's egress link. ``host_veth``, ``host_mac``: its end on the node; ``mac``: the pod's end."""

    address: str
    host_veth: str
    host_mac: str
    mac: str

    @property
    def ifname(self) -> str:
        """Inside the pod."""
        return "v6if0" if ":" in self.address else "v4if0"


def next_address(family: int, taken: Container[str], after: str = "") -> str | None:
    """The free address that comes after ``after`` (the one given last, "": none yet), so that one that was just released
    rests longest; None when all are taken. ``family``: 4 or 6, of the egress link."""
    network = _RANGES[family]
    last = network.num_addresses - 2
    start = int(ipaddress.ip_address(after)) - int(network.network_address) if after else last + 1
    for place in (*range(start - 1, _FIRST - 1, -1), *range(last, start - 1, -1)):
        address = str(network[place])
        if address not in taken:
            return address
    return None


def egress_link(address: str, pod_hash: str, container_id: str) -> Egress:
    """Names and MACs are the same each time for the same sandbox, so that a rewrite by others can be told."""
    veth = f"veth{pod_hash[:8]}"
    return Egress(address, veth, _mac(container_id, veth, "host"), _mac(container_id, veth, "pod"))


def _mac(*parts: str) -> str:
    """Locally administered, unicast."""
    digest = hashlib.sha1("/".join(parts).encode(), usedforsecurity=False).digest()
    return bytes(((digest[0] | 0x02) & 0xFE, *digest[1:6])).hex(":")
