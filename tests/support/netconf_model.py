"""A model of the kernel's routing configuration behind netconf's ports: what rtnetlink does to rules, routes and addresses.

Held against the real kernel by tests/kernel/test_netconf_kernel.py, which applies the same operations to both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
from collections.abc import Callable, Iterator, Sequence

from vpccni_api.reasons import Reason, ReasonError
from vpccni_netconf.domain.objects import (
    Address,
    Link,
    LinkFacts,
    Neighbour,
    Object,
    Observed,
    Route,
    Rule,
    Sysctl,
    VlanLink,
)
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink, Ensure, Op, PurgeRules, Remove
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.ports import Namespace, Outcome, Query

Watch = Callable[["ModelNamespace"], None]


class ModelNamespace:
    """``before`` is called with each operation and may refuse it by a ReasonError; ``watch`` after each."""

    def __init__(self, *links: LinkFacts, peer: ModelNamespace | None = None) -> None:
        self.links: dict[str, LinkFacts] = {link.name: link for link in links}
        self.rules: list[Rule] = []
        self.routes: list[Route] = []
        self.addresses: list[Address] = []
        self.neighbours: list[Neighbour] = []
        self.sysctls: dict[str, str] = {}
        self.before: Callable[[Op], None] = lambda _: None
        self.watch: Watch = lambda _: None
        self.peer = peer
        self._world: list[ModelNamespace] = peer._world if peer is not None else []
        self._world.append(self)
        self._next_index = 100

    def observe(self, query: Query) -> Observed:
        return Observed(
            links=tuple(self.links.values()) if query.links else (),
            rules=tuple(rule for rule in self.rules if query.rules and rule.family in query.families),
            routes=tuple(r for r in self.routes if r.table in query.tables and r.family in query.families),
            addresses=tuple(self.addresses) if query.addresses else (),
            neighbours=tuple(self.neighbours) if query.neighbours else (),
            sysctls=tuple(Sysctl(path, self.sysctls.get(path, "")) for path in query.sysctls),
        )

    def settle_carrier(self, name: str) -> None:
        """The model's links pass packets at once."""

    def link_index(self, name: str) -> int:
        return self.links[name].index if name in self.links else 0

    def apply(self, ops: Sequence[Op]) -> int:
        outcome = self.attempt(ops)
        if outcome.failures:
            raise outcome.failures[0][1]
        return outcome.changes

    def attempt(self, ops: Sequence[Op]) -> Outcome:
        changes = 0
        failures: list[tuple[Op, ReasonError]] = []
        for op in ops:
            try:
                self.before(op)
                changes += self._carry_out(op)
            except ReasonError as error:
                failures.append((op, error))
            self.watch(self)
        return Outcome(changes, tuple(failures))

    def holds(self, item: Object) -> bool:
        if isinstance(item, Sysctl):
            return self.sysctls.get(item.path) == item.value
        return item in self.rules or item in self.routes or item in self.addresses or item in self.neighbours

    def _carry_out(self, op: Op) -> int:
        match op:
            case PurgeRules(match):
                kept = [rule for rule in self.rules if not _matches(match, rule)]
                gone, self.rules = len(self.rules) - len(kept), kept
                return gone
            case Ensure(target):
                return self._ensure(target)
            case Remove(target):
                return self.remove(target)
            case DeleteLink(index):
                return self.delete_link(index)
            case CreatePodLink():
                return self._create(op)

    def _ensure(self, target: Object) -> int:
        match target:
            case Rule():
                at = next((n for n, rule in enumerate(self.rules) if rule.priority > target.priority), len(self.rules))
                self.rules.insert(at, target)
            case Route():
                self._check_route(target)
                self.routes = [route for route in self.routes if _route_key(route) != _route_key(target)] + [target]
            case Address():
                self._link(target.dev)
                if target in self.addresses:
                    return 0
                self.addresses.append(target)
            case Neighbour():
                self._link(target.dev)
                self.neighbours = [n for n in self.neighbours if (n.dev, n.address) != (target.dev, target.address)]
                self.neighbours.append(target)
            case Link():
                self.set_link(target)
            case VlanLink():
                parent = self._link(target.parent)
                if target.name in self.links:
                    raise ReasonError(Reason.KERNEL_REFUSED, f"{target.name} exists")
                self._next_index += 1
                self.links[target.name] = LinkFacts(
                    self._next_index, target.name, target.mac, parent.mtu, False, "vlan", parent.index
                )
            case Sysctl():
                if self.sysctls.get(target.path) == target.value:
                    return 0
                self.sysctls[target.path] = target.value
        return 1

    def _link(self, name: str) -> LinkFacts:
        if name not in self.links:
            raise ReasonError(Reason.LINK_MISSING, name)
        return self.links[name]

    def _check_route(self, route: Route) -> None:
        if not self._link(route.dev).up:
            raise ReasonError(Reason.KERNEL_REFUSED, f"{route}: network is down")
        if route.gateway.startswith("fe80:"):
            return  # on its link by definition
        if route.gateway and not any(
            other.dev == route.dev and not other.gateway and _covers(other.dst, route.gateway)
            for other in self.routes
            if other.table in (route.table, MAIN_TABLE)
        ):
            raise ReasonError(Reason.KERNEL_REFUSED, f"{route}: nexthop has invalid gateway")

    def set_link(self, target: Link) -> None:
        facts = self._link(target.name)
        self.links[target.name] = dataclasses.replace(
            facts, up=target.up, mtu=target.mtu or facts.mtu, mac=target.mac or facts.mac
        )
        if facts.up and not target.up:
            self.routes = [route for route in self.routes if route.dev != target.name]
            self.neighbours = [neighbour for neighbour in self.neighbours if neighbour.dev != target.name]

    def remove(self, target: Rule | Route | Address | Neighbour) -> int:
        before = (len(self.rules), len(self.routes), len(self.addresses), len(self.neighbours))
        match target:
            case Rule():
                found = next((rule for rule in self.rules if _matches(target, rule)), None)
                if found is not None:
                    self.rules.remove(found)
            case Route():
                self.routes = [route for route in self.routes if route != target]
            case Neighbour():
                self.neighbours = [n for n in self.neighbours if (n.dev, n.address) != (target.dev, target.address)]
            case Address():
                self._remove_address(target)
        return int(before != (len(self.rules), len(self.routes), len(self.addresses), len(self.neighbours)))

    def _remove_address(self, target: Address) -> None:
        if target not in self.addresses:
            return
        network = ipaddress.ip_interface(target.address).network
        same = [
            a for a in self.addresses if a.dev == target.dev and ipaddress.ip_interface(a.address).network == network
        ]
        # The first of a subnet is its primary: it takes the others along (promote_secondaries=0).
        gone = same if same[0] == target else [target]
        self.addresses = [a for a in self.addresses if a not in gone]
        sources = {a.address.split("/")[0] for a in gone}
        self.routes = [r for r in self.routes if r.prefsrc not in sources or r.dev != target.dev]
        if not any(a.dev == target.dev for a in self.addresses):
            self.routes = [route for route in self.routes if route.dev != target.dev]

    def delete_link(self, index: int) -> int:
        name = next((link.name for link in self.links.values() if link.index == index), "")
        if not name:
            return 0
        facts = self.links.pop(name)
        self.routes = [route for route in self.routes if route.dev != name]
        self.addresses = [address for address in self.addresses if address.dev != name]
        self.neighbours = [neighbour for neighbour in self.neighbours if neighbour.dev != name]
        self.sysctls = {path: value for path, value in self.sysctls.items() if f"/{name}/" not in path}
        for other in self._world if facts.kind == "veth" else ():
            for end in list(other.links.values()):
                if (end.index, end.peer_index) == (facts.peer_index, facts.index):
                    other.delete_link(end.index)
        return 1

    def _create(self, op: CreatePodLink) -> int:
        assert self.peer is not None
        if op.ifname in self.links or op.host_veth in self.peer.links:
            raise ReasonError(Reason.LINK_EXISTS, str(op))
        self.peer._next_index += 1
        for name in ("accept_ra", "accept_redirects", "forwarding"):
            self.peer.sysctls[f"net/ipv6/conf/{op.host_veth}/{name}"] = "1"
        host, own = self.peer._next_index, op.index
        self.links[op.ifname] = LinkFacts(own, op.ifname, op.mac or "aa:aa:aa:aa:aa:aa", op.mtu, True, "veth", host)
        self.peer.links[op.host_veth] = LinkFacts(
            host, op.host_veth, op.host_mac, op.mtu, False, "veth", own, self._world.index(self)
        )
        return 1


class ModelKernel:
    """A node whose pods' namespaces exist as soon as they are asked for, unless they are ``gone``."""

    def __init__(self, *links: LinkFacts) -> None:
        self.node = ModelNamespace(*links)
        self.pods: dict[str, ModelNamespace] = {}
        self.gone: set[str] = set()

    @property
    def host(self) -> Namespace:
        return self.node

    @contextlib.contextmanager
    def pod(self, path: str) -> Iterator[Namespace]:
        if path in self.gone:
            raise ReasonError(Reason.NETNS_GONE, path)
        if path not in self.pods:
            self.pods[path] = ModelNamespace(peer=self.node)
        yield self.pods[path]

    def delete_link(self, index: int, name: str) -> None:
        """``ports.Background``: at once."""
        self.node.delete_link(index)

    def is_leaving(self, index: int) -> bool:
        return False

    def flush_connections(self, address: str) -> None:
        """The model tracks none."""


def _route_key(route: Route) -> tuple[int, str, int]:
    return route.table, route.dst, route.metric


def _covers(cidr: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


def _matches(pattern: Rule, rule: Rule) -> bool:
    """As the kernel's rule deletion: what the pattern leaves open matches anything."""
    return (
        pattern.family == rule.family
        and pattern.priority == rule.priority
        and pattern.table in (0, rule.table)
        and all(
            wanted in ("", 0, found)
            for wanted, found in (
                (pattern.src, rule.src),
                (pattern.dst, rule.dst),
                (pattern.fwmark, rule.fwmark),
                (pattern.iif, rule.iif),
            )
        )
    )
