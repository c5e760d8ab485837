"""The VPC's router, internet gateway, internet host and peered network, each a network namespace.

Packets go host -> (ENI veth) -> router -> host. The router answers ARP for what is routed elsewhere, knows every ENI's MAC
by permanent neighbours and drops what no ENI holds; see docs/lab.md, "Fabric".
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.ec2.records import Eni, SecurityGroup
from vpccni_lab.fabric import filters, groups, namespaces, plan
from vpccni_lab.linux import netlink as nl
from vpccni_lab.linux import syscalls

INTERNET_MTU: Final = 1500

_ROUTER_SYSCTLS: Final = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/default/accept_dad": "0",  # nobody else is on these links; without it IPv6 works after a second only
}
_VPC_SYSCTLS: Final = {
    **_ROUTER_SYSCTLS,
    "ipv4/conf/default/proxy_arp": "1",  # the router answers ARP for every address that it routes elsewhere
}
_HOST_SYSCTLS: Final = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/default/accept_dad": "0",
}


@dataclasses.dataclass(frozen=True)
class Counters:
    """Packets dropped so far: by the source/destination check, at the internet gateway for want of a public IP, and by
    security groups (since their rules last changed)."""

    spoofed: int
    no_public_ip: int
    denied: int = 0


class Fabric:
    """Holds the namespaces of one lab. Not thread safe: one thread at a time. ``close`` removes everything."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self.vpc = namespaces.path(lab, "vpc")
        self.igw = namespaces.path(lab, "igw")
        self.internet = namespaces.path(lab, "internet")
        self.peer = namespaces.path(lab, "peer")
        self._hosts: dict[str, Path] = {}
        self._wires: dict[str, plan.Wire] = {}
        self._index: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._vpc_cidrs: frozenset[str] = frozenset()
        self._gateways: set[str] = set()
        self._unchecked: frozenset[str] = frozenset()
        self._groups = ""
        self._vlans: bool | None = None
        self._public: dict[str, str] = {}
        self._indexes = itertools.count(1_000_000)  # apart from those that hosts' kernels give out
        self._open = contextlib.ExitStack()

    def build(self) -> None:
        """Creates the fixed part. Raises OSError or ReasonError; call ``close`` then, too."""
        namespaces.create(self.vpc, _VPC_SYSCTLS)
        namespaces.create(self.igw, _ROUTER_SYSCTLS)
        namespaces.create(self.internet, _HOST_SYSCTLS)
        namespaces.create(self.peer, _HOST_SYSCTLS)
        self._vpc = self._open.enter_context(nl.RouteSocket(self.vpc))
        namespaces.nft(self.vpc, filters.source_check())
        namespaces.nft(self.igw, filters.internet_gateway())
        with (
            nl.RouteSocket(self.igw) as igw,
            nl.RouteSocket(self.internet) as internet,
            nl.RouteSocket(self.peer) as peer,
        ):
            in_vpc, in_igw = _cable(next(self._indexes), self._vpc, "igw", igw, "vpc", plan.ENI_MTU)
            in_igw_out, in_internet = _cable(next(self._indexes), igw, "internet", internet, "eth0", INTERNET_MTU)
            in_vpc_peer, in_peer = _cable(next(self._indexes), self._vpc, "peer", peer, "eth0", plan.ENI_MTU)
            self._vpc.apply(
                [
                    *_addresses(in_vpc, "100.64.0.1/30", "fd00:64::1/126"),
                    *_defaults(in_vpc, "100.64.0.2", "fd00:64::2"),
                    *_addresses(in_vpc_peer, "10.99.0.1/24", "fd00:99::1/64"),
                ]
            )
            igw.apply(
                [
                    *_addresses(in_igw, "100.64.0.2/30", "fd00:64::2/126"),
                    *_addresses(in_igw_out, "198.51.100.1/24", "2001:db8:ffff::1/64"),
                ]
            )
            internet.apply(
                [
                    *_addresses(in_internet, f"{plan.INTERNET_HOST}/24", f"{plan.INTERNET_HOST6}/64"),
                    *_defaults(in_internet, "198.51.100.1", "2001:db8:ffff::1"),
                ]
            )
            peer.apply(
                [
                    *_addresses(in_peer, f"{plan.PEER_HOST}/24", f"{plan.PEER_HOST6}/64"),
                    *_defaults(in_peer, "10.99.0.1", "fd00:99::1"),
                ]
            )

    def close(self) -> None:
        """Removes the fixed namespaces (and with them every link). Idempotent."""
        self._open.close()
        self._wires.clear()
        for where in (self.vpc, self.igw, self.internet, self.peer):
            syscalls.drop_netns(str(where))

    def set_vpc_cidrs(self, cidrs: Iterable[IPv4Network | IPv6Network]) -> None:
        """The CIDRs of the VPC: what is not assigned in them is dropped; the gateway routes them inwards."""
        want = frozenset(str(cidr) for cidr in cidrs)
        added, gone = sorted(want - self._vpc_cidrs), sorted(self._vpc_cidrs - want)
        self._vpc.apply([*map(nl.blackhole_replace, added), *map(nl.route_del, gone)])
        with nl.RouteSocket(self.igw) as igw:
            to_vpc = igw.index("vpc")
            igw.apply(
                [
                    *(nl.route_replace(cidr, to_vpc, "fd00:64::1" if ":" in cidr else "100.64.0.1") for cidr in added),
                    *map(nl.route_del, gone),
                ]
            )
        self._vpc_cidrs = want

    def add_subnet(self, cidr: str) -> None:
        """The router takes the subnet's gateway address (base + 1)."""
        address = plan.gateway(cidr)
        if address not in self._gateways:
            self._vpc.apply([nl.addr_add(self._vpc.index("lo"), f"{address}/32")])
            self._gateways.add(address)

    def add_host(self, instance_id: str, netns: Path) -> None:
        """From now on ``sync`` gives the instance's ENIs links in the namespace ``netns``."""
        self._hosts[instance_id] = netns

    def remove_host(self, instance_id: str) -> None:
        """Its links go at the next ``sync``; the namespace stays."""
        self._hosts.pop(instance_id, None)

    def host_netns(self, instance_id: str) -> Path | None:
        """Where the instance's links are put; None: the instance has no host here."""
        return self._hosts.get(instance_id)

    def sync(self, enis: Iterable[Eni], security_groups: Iterable[SecurityGroup] = ()) -> list[plan.Step]:
        """Makes links, routes and filters as the complete set of ENIs asks. Idempotent; returns the steps that were taken.

        Branch ENIs are left out where the kernel has no VLANs. Raises KernelRefusedError after trying all; what was refused
        is tried again at the next call.
        """
        enis = list(enis)
        want = {
            wire.eni_id: wire
            for wire in plan.wires(enis)
            if wire.host in self._hosts and (not wire.vlan_id or self.has_vlans())
        }
        steps = plan.steps(self._wires, want)
        self._apply(steps)
        self._wires = want
        unchecked = frozenset(wire.link for wire in want.values() if not wire.source_dest_check)
        if unchecked != self._unchecked:
            namespaces.nft(self.vpc, filters.unchecked(unchecked))
            self._unchecked = unchecked
        links = {want[eni.id].link: eni for eni in enis if eni.id in want}
        text = groups.rule_set(links, {group.id: group for group in security_groups})
        if text != self._groups:
            namespaces.nft(self.vpc, groups.replacement(text))
            self._groups = text
        return steps

    def has_vlans(self) -> bool:
        """Whether this kernel has VLAN devices (8021q); tried once."""
        if self._vlans is None:
            index = next(self._indexes)
            try:
                self._vpc.apply([nl.link_add_vlan("vlantry", index, self._vpc.index("igw"), 4094, mtu=1500)])
                self._vpc.apply([nl.link_del(index)])
                self._vlans = True
            except nl.KernelRefusedError:
                self._vlans = False
        return self._vlans

    def require_vlans(self) -> None:
        """Raises ReasonError KERNEL_REFUSED where branch ENIs cannot be carried."""
        if not self.has_vlans():
            raise ReasonError(
                Reason.KERNEL_REFUSED, "this kernel has no VLAN devices (8021q), so it cannot carry branch ENIs"
            )

    def set_public(self, public_of: Mapping[str, str]) -> None:
        """Private address -> public address, for everything that may talk to the internet over IPv4."""
        if dict(public_of) == self._public:
            return
        namespaces.nft(self.igw, filters.public_addresses(public_of))
        with nl.RouteSocket(self.internet) as internet:
            out = internet.index("eth0")
            internet.apply([nl.route_replace(f"{public}/32", out, "198.51.100.1") for public in public_of.values()])
        self._public = dict(public_of)

    def counters(self) -> Counters:
        """Reads the packet counters of the filters (about 10 ms)."""
        denied = ["nft", "list", "counter", *groups.TABLE.split(), groups.DENIED]
        return Counters(
            denied=_count(namespaces.run(self.vpc, denied)) if self._groups else 0,
            spoofed=_count(namespaces.run(self.vpc, ["nft", "list", "counter", "inet", "vpc", filters.SPOOFED])),
            no_public_ip=_count(
                namespaces.run(self.igw, ["nft", "list", "counter", "ip", "igw", filters.NO_PUBLIC_IP])
            ),
        )

    def link_in_host(self, eni_id: str) -> str | None:
        """Name of the ENI's link inside its host, None when it has none."""
        return self._names.get(eni_id)

    def _apply(self, steps: list[plan.Step]) -> None:
        changes: list[nl.Change] = []
        for step in steps:
            link = step.wire.link
            match step:
                case plan.DelLink(wire):
                    self._names.pop(wire.eni_id, None)
                    if link in self._index:
                        changes.append(nl.link_del(self._index.pop(link)))
                case plan.AddLink(wire):
                    changes += self._add_link(wire)
                case plan.AddRoute(wire, cidr):
                    changes.append(self._route(wire, cidr))
                case plan.DelRoute(_, cidr):
                    changes.append(nl.route_del(cidr, self._index[link]))
        self._vpc.apply(changes)

    def _add_link(self, wire: plan.Wire) -> list[nl.Change]:
        if wire.link in self._index:  # left by a call that was refused half way
            self._vpc.apply([nl.link_del(self._index.pop(wire.link))])
        index = next(self._indexes)
        if wire.vlan_id:
            trunk = self._index[wire.trunk]
            self._vpc.apply([nl.link_add_vlan(wire.link, index, trunk, wire.vlan_id, mtu=plan.ENI_MTU)])
        else:
            self._add_cable(wire, index)
        self._index[wire.link] = index
        # the kernel would wait up to 0.8 s before it answers for somebody else; a per-link setting outside the first namespace
        namespaces.set_sysctls(self.vpc, {f"ipv4/neigh/{wire.link}/proxy_delay": "0"})
        return [
            nl.link_up(index),
            nl.addr_add(index, f"{plan.GATEWAY6}/64"),
            nl.neighbour_permanent(index, wire.next_hop4, wire.mac),
            nl.neighbour_permanent(index, wire.next_hop6, wire.mac),
        ]

    def _add_cable(self, wire: plan.Wire, index: int) -> None:
        host = self._hosts[wire.host]
        fd = os.open(host, os.O_RDONLY | os.O_CLOEXEC)
        try:
            name = self._names[wire.eni_id] = _free_name(wire, host)
            self._vpc.apply(
                [nl.link_add_veth(wire.link, index, mtu=plan.ENI_MTU, peer=name, peer_mac=wire.mac, peer_netns_fd=fd)]
            )
        finally:
            os.close(fd)

    def _route(self, wire: plan.Wire, cidr: str) -> nl.Change:
        index = self._index[wire.link]
        if cidr == f"{wire.next_hop4}/32":
            return nl.route_replace(cidr, index)
        return nl.route_replace(cidr, index, wire.next_hop6 if ":" in cidr else wire.next_hop4)


def _free_name(wire: plan.Wire, host: Path) -> str:
    # the device index names the link; where that is taken (further network cards) the next free number, as udev counts
    with nl.RouteSocket(host) as sock:
        used = sock.links()
    return next(name for number in range(wire.device_index, 1 << 16) if (name := f"eth{number}") not in used)


def _cable(index: int, left: nl.RouteSocket, name: str, right: nl.RouteSocket, peer: str, mtu: int) -> tuple[int, int]:
    """A veth pair between two namespaces, both ends up. Returns their interface indexes."""
    fd = os.open(right.netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left.apply([nl.link_add_veth(name, index, mtu=mtu, peer=peer, peer_netns_fd=fd)])
    finally:
        os.close(fd)
    there = right.index(peer)
    left.apply([nl.link_up(index)])
    right.apply([nl.link_up(there)])
    return index, there


def _addresses(index: int, *cidrs: str) -> list[nl.Change]:
    return [nl.addr_add(index, cidr) for cidr in cidrs]


def _defaults(index: int, *gateways: str) -> list[nl.Change]:
    return [nl.route_replace("::/0" if ":" in gateway else "0.0.0.0/0", index, gateway) for gateway in gateways]


def _count(text: str) -> int:
    found = re.search(r"packets (\d+)", text)
    return int(found.group(1)) if found else 0
