"""What the VPC's router should hold for each ENI, and the steps from what it holds to that. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from vpccni_lab.ec2.records import Eni

ENI_MTU = 9001
"""Bytes; EC2's jumbo frames inside a VPC."""
INTERNET_HOST = "198.51.100.10"
INTERNET_HOST6 = "2001:db8:ffff::10"
PEER_HOST = "10.99.0.10"
PEER_HOST6 = "fd00:99::10"
GATEWAY6 = "fe80:ec2::1"
"""The VPC router's IPv6 address on every link (EC2 user guide, "IPv6 addresses for your VPCs")."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wire:
    """One ENI as the fabric has it: a link to one host, and what is routed over it.

    ``link`` is the router's end. ``next_hop4`` and ``next_hop6`` are neighbours with the ENI's MAC, so that the router never
    asks (ARP, NDP) for an address that a pod holds. ``routes4`` and ``routes6`` are CIDRs. ``vlan_id`` is not 0 for a branch
    ENI: its link is a VLAN on ``trunk``, the router's end of its trunk.
    """

    eni_id: str
    host: str
    link: str
    mac: str
    device_index: int
    network_card: int
    next_hop4: str
    next_hop6: str
    routes4: frozenset[str]
    routes6: frozenset[str]
    source_dest_check: bool
    trunk: str = ""
    vlan_id: int = 0

    @property
    def routes(self) -> frozenset[str]:
        return self.routes4 | self.routes6


@dataclasses.dataclass(frozen=True, slots=True)
class AddLink:
    wire: Wire


@dataclasses.dataclass(frozen=True, slots=True)
class DelLink:
    wire: Wire


@dataclasses.dataclass(frozen=True, slots=True)
class AddRoute:
    wire: Wire
    cidr: str


@dataclasses.dataclass(frozen=True, slots=True)
class DelRoute:
    wire: Wire
    cidr: str


Step = AddLink | DelLink | AddRoute | DelRoute


def link_name(eni_id: str) -> str:
    """Router-side link name of an ENI: the last 12 hex digits of its id (15 characters is Linux's limit)."""
    return f"e-{eni_id.removeprefix('eni-')[-12:]}"


def link_local(mac: str) -> str:
    """The IPv6 link-local address that an interface with this MAC gives itself (RFC 4291, appendix A).

    >>> link_local("02:00:00:00:00:07")
    'fe80::ff:fe00:7'
    """
    octets = bytes.fromhex(mac.replace(":", ""))
    interface_id = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface_id))


def gateway(cidr: str) -> str:
    """The VPC router's address in an IPv4 subnet: base + 1 (EC2 user guide, "Subnet CIDR blocks")."""
    return str(ipaddress.IPv4Network(cidr).network_address + 1)


def wires(enis: Iterable[Eni]) -> Iterator[Wire]:
    """The wires of a complete set of ENIs; those that are not on the wire have none."""
    known = {eni.id: eni for eni in enis}
    for eni in known.values():
        wire = wire_of(eni, known.get(eni.trunk.trunk_id) if eni.trunk else None)
        if wire is not None:
            yield wire


def wire_of(eni: Eni, trunk: Eni | None = None) -> Wire | None:
    """The wire that EC2's record asks for; None when the ENI has no link in an instance (or carries no IP at all).

    ``trunk``: the ENI that carries this one, if it is a branch ENI.
    """
    if trunk is not None and eni.trunk is not None:
        carrier = wire_of(trunk)
        if carrier is None:
            return None
        eni = dataclasses.replace(eni, attachment=trunk.attachment)
        return dataclasses.replace(_wire(eni), trunk=carrier.link, vlan_id=eni.trunk.vlan_id if eni.trunk else 0)
    if eni.attachment is None or not eni.on_wire or eni.interface_type == "efa-only":
        return None
    return _wire(eni)


def _wire(eni: Eni) -> Wire:
    assert eni.attachment is not None
    return Wire(
        eni_id=eni.id,
        host=eni.instance_id,
        link=link_name(eni.id),
        mac=eni.mac,
        device_index=eni.attachment.device_index,
        network_card=eni.attachment.network_card,
        next_hop4=eni.private_ip,
        next_hop6=link_local(eni.mac),
        routes4=frozenset(_cidrs(eni.private_ips, eni.prefixes)),
        routes6=frozenset(_cidrs(eni.ipv6_addresses, eni.ipv6_prefixes)),
        source_dest_check=eni.source_dest_check,
    )


def _cidrs(addresses: Iterable[str], prefixes: Iterable[str]) -> Iterator[str]:
    for address in addresses:
        yield str(ipaddress.ip_network(address))
    yield from prefixes


def steps(have: Mapping[str, Wire], want: Mapping[str, Wire]) -> list[Step]:
    """From ``have`` to ``want`` (both by ENI id): links first, then routes are added, then the surplus goes.

    An address that moves from one ENI to another is replaced in place, never missing in between; a link that stays is
    not touched.
    """
    plan: list[Step] = []
    kept = {key: wire for key, wire in have.items() if key in want and _same_link(wire, want[key])}
    carriers = {wire.link for wire in kept.values()}
    kept = {key: wire for key, wire in kept.items() if not wire.trunk or wire.trunk in carriers}
    # VLANs go before what carries them, and come after it
    plan += [DelLink(wire) for wire in sorted(_others(have, kept), key=lambda wire: not wire.vlan_id)]
    plan += [AddLink(wire) for wire in sorted(_others(want, kept), key=lambda wire: bool(wire.vlan_id))]
    for key, wire in want.items():
        held = kept[key].routes if key in kept else frozenset()
        plan += [AddRoute(wire, cidr) for cidr in sorted(wire.routes - held)]
    for key, wire in kept.items():
        plan += [DelRoute(wire, cidr) for cidr in sorted(wire.routes - want[key].routes)]
    return plan


def _others(wires: Mapping[str, Wire], kept: Mapping[str, Wire]) -> list[Wire]:
    return [wire for key, wire in wires.items() if key not in kept]


def _same_link(have: Wire, want: Wire) -> bool:
    return _link_of(have) == _link_of(want)


def _link_of(wire: Wire) -> tuple[object, ...]:
    return (wire.host, wire.link, wire.mac, wire.next_hop4, wire.trunk, wire.vlan_id)
