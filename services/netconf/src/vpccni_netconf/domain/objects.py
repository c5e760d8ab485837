"""Kernel objects as values. Each renders the arguments of the `ip` command that an operator would type.

Addresses and CIDRs are text in the kernel's canonical form. Two objects are equal when the kernel would treat them as the
same thing; what we do not care about (route protocol, lifetimes, counters) is not part of them.
"""

from __future__ import annotations

import dataclasses

from vpccni_netconf.domain.names import family_of
from vpccni_netconf.domain.route_tables import LOCAL_TABLE, MAIN_TABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A policy routing rule that looks up ``table``. ``src`` and ``dst`` are CIDRs, "" means all; ``ip_proto`` 0 means any."""

    family: int
    priority: int
    table: int
    src: str = ""
    dst: str = ""
    fwmark: int = 0
    fwmask: int = 0
    iif: str = ""
    ip_proto: int = 0

    def __str__(self) -> str:
        words = ["pref", str(self.priority), "from", self.src or "all"]
        if self.dst:
            words += ["to", self.dst]
        if self.fwmark:
            words += ["fwmark", f"{self.fwmark:#x}/{self.fwmask:#x}"]
        if self.iif:
            words += ["iif", self.iif]
        if self.ip_proto:
            words += ["ipproto", str(self.ip_proto)]
        return " ".join((*words, "lookup", table_name(self.table)) if self.table else words)


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A unicast route. With a gateway its scope is global, without one it is link. ``metric`` 0 is the kernel's default."""

    table: int
    dst: str
    dev: str
    gateway: str = ""
    prefsrc: str = ""
    metric: int = 0

    @property
    def family(self) -> int:
        return family_of(self.dst)

    def __str__(self) -> str:
        words = ["default" if self.dst.endswith("/0") else self.dst]
        if self.gateway:
            words += ["via", self.gateway]
        words += ["dev", self.dev]
        if not self.gateway and self.family == 4:
            words += ["scope", "link"]
        if self.prefsrc:
            words += ["src", self.prefsrc]
        if self.metric:
            words += ["metric", str(self.metric)]
        return " ".join((*words, "table", table_name(self.table)))


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address with its prefix length on a link. The connected route that the kernel would add is suppressed, unless the
    address is for this link alone (``link_scope``)."""

    dev: str
    address: str
    link_scope: bool = dataclasses.field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.address} dev {self.dev} {'scope link' if self.link_scope else 'noprefixroute'}"


@dataclasses.dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry."""

    dev: str
    address: str
    mac: str

    def __str__(self) -> str:
        return f"{self.address} lladdr {self.mac} dev {self.dev} nud permanent"


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """Settings of an existing link. ``mtu`` in bytes; 0 and "" mean: whatever it is."""

    name: str
    up: bool = True
    mtu: int = 0
    mac: str = ""

    def __str__(self) -> str:
        words = [self.name]
        if self.mac:
            words += ["address", self.mac]
        if self.mtu:
            words += ["mtu", str(self.mtu)]
        return " ".join((*words, "up" if self.up else "down"))


@dataclasses.dataclass(frozen=True, slots=True)
class VlanLink:
    """The link of a branch ENI: VLAN ``vlan_id`` of the trunk ENI's link ``parent``, with the branch's MAC."""

    name: str
    parent: str
    vlan_id: int
    mac: str

    def __str__(self) -> str:
        return f"{self.name} link {self.parent} address {self.mac} type vlan id {self.vlan_id}"


@dataclasses.dataclass(frozen=True, slots=True)
class Sysctl:
    """A file below /proc/sys and what it must hold. ``optional``: a kernel without the file is fine (IPv6 is off)."""

    path: str
    value: str
    optional: bool = dataclasses.field(default=True, compare=False)

    def __str__(self) -> str:
        return f"{self.path}={self.value}"


Object = Rule | Route | Address | Neighbour | Link | VlanLink | Sysctl


@dataclasses.dataclass(frozen=True, slots=True)
class LinkFacts:
    """What the kernel says of a link. ``peer_index``: IFLA_LINK, of a veth the index of its other end, of a VLAN that of the
    link below (0: none). ``peer_netns``: IFLA_LINK_NETNSID, the id by which this namespace knows that of the other end (-1: it
    is the same)."""

    index: int
    name: str
    mac: str = ""
    mtu: int = 0
    up: bool = True
    kind: str = ""
    peer_index: int = 0
    peer_netns: int = -1


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """What one network namespace holds, as far as it was asked for."""

    links: tuple[LinkFacts, ...] = ()
    rules: tuple[Rule, ...] = ()
    routes: tuple[Route, ...] = ()
    addresses: tuple[Address, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()

    def link(self, name: str) -> LinkFacts | None:
        return next((link for link in self.links if link.name == name), None)


def table_name(table: int) -> str:
    return {MAIN_TABLE: "main", LOCAL_TABLE: "local", 253: "default"}.get(table, str(table))
