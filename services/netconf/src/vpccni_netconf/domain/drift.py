"""Which changes by others concern us, and when putting right has become a fight."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from vpccni_netconf.domain.objects import Address, Link, LinkFacts, Neighbour, Object, Observed, Route, Rule
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.rule_priorities import (
    BRANCH_IIF,
    EXTERNAL_SERVICE,
    FROM_ENI,
    FROM_POD,
    HOST,
    LOCAL_MOVED,
    MAIN_RULE,
    TO_POD,
)

_OUR_PRIORITIES: Final = frozenset(
    {0, BRANCH_IIF, LOCAL_MOVED, TO_POD, HOST, EXTERNAL_SERVICE, FROM_POD, FROM_ENI, MAIN_RULE}
)
FIGHT_REPAIRS: Final = 4
FIGHT_WINDOW_S: Final = 60.0
_SELDOM: Final = 64
"""Looks (30 s) between two tries, at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Something that somebody else did. ``gone``: it was deleted; else it is new or was changed (a new route may stand in
    another's place, a new rule before another)."""

    item: LinkFacts | Rule | Route | Address | Neighbour
    gone: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Interests:
    """``links``: settings of the host's and the ENIs' links, by name; ``tables``: route tables of ENIs; ``sysctls``: values of
    the host's, by path."""

    links: Mapping[str, Link]
    tables: frozenset[int]
    sysctls: Mapping[str, str] = dataclasses.field(default_factory=dict)


def concerns(change: Change, interests: Interests, pod_link: Link | None = None, *, pods_route: bool = False) -> bool:
    """True when the change may have taken away something of ours. False alarms only cost a comparison, but on a full node that
    is 30 ms in which an ADD waits. ``pod_link``: settings of the pod's host link that the change is about, if it is about one.
    ``pods_route``: it is a route to a pod's address, or over its host link (other plugins' pods have theirs)."""
    match change.item:
        case LinkFacts() as facts:
            wanted = pod_link or interests.links.get(facts.name)
            return wanted is not None and (change.gone or not settled(wanted, facts))
        case Rule(priority=priority):
            return priority in _OUR_PRIORITIES
        case Route(table=table, dev=dev):
            return pods_route or table in interests.tables or (table == MAIN_TABLE and dev in interests.links)
        case Address(dev=dev):
            return dev in interests.links
        case Neighbour():
            return False  # ours are all inside pods


def concerns_inside(change: Change, wanted: Sequence[Object]) -> bool:
    """As ``concerns``, of a change in a pod's namespace. ``wanted``: all that is ours there; which link the change is about is
    not known, but for a link itself."""
    match change.item:
        case LinkFacts() as facts:
            return any(
                isinstance(item, Link) and item.name == facts.name and not settled(item, facts) for item in wanted
            )
        case Neighbour(address=address, mac=mac):
            ours = [item for item in wanted if isinstance(item, Neighbour) and item.address == address]
            return any(change.gone or item.mac != mac for item in ours)
        case Rule():
            return change.gone and change.item in wanted
        case Route() | Address() as item:
            return change.gone and any(
                isinstance(other, Route | Address) and dataclasses.replace(other, dev=item.dev) == item
                for other in wanted
            )


def is_about(change: Change, item: Object) -> bool:
    """True when the change is one of this object itself."""
    if isinstance(change.item, LinkFacts):
        return isinstance(item, Link) and item.name == change.item.name
    return change.item == item


def not_replaced(wanted: Sequence[Object], observed: Observed) -> tuple[Object, ...]:
    """``wanted`` without routes in whose place somebody put another one. Inside its own namespace a pod that may change routes
    (a VPN, a proxy) does so on purpose; what was only deleted comes back."""
    present = set(observed.routes)
    taken = {(route.table, route.dst) for route in present - {item for item in wanted if isinstance(item, Route)}}
    return tuple(
        item for item in wanted if not isinstance(item, Route) or item in present or (item.table, item.dst) not in taken
    )


def latest(changes: Sequence[Change]) -> list[Change]:
    """Without what was told of a link before the last word on it: a new link is down before it is up."""
    last = {change.item.index: at for at, change in enumerate(changes) if isinstance(change.item, LinkFacts)}
    return [
        change
        for at, change in enumerate(changes)
        if not isinstance(change.item, LinkFacts) or last[change.item.index] == at
    ]


def settled(wanted: Link, facts: LinkFacts) -> bool:
    """True when the link is as it should be."""
    return facts.up == wanted.up and wanted.mtu in (0, facts.mtu) and wanted.mac in ("", facts.mac)


def is_fight(repaired_at: tuple[float, ...], now: float) -> bool:
    """``repaired_at``: seconds (monotonic) of repairs of one object."""
    return sum(1 for moment in repaired_at if now - moment <= FIGHT_WINDOW_S) >= FIGHT_REPAIRS


def is_due_again(looks: int) -> bool:
    """Whether a sysctl that strayed in so many looks in a row is to be put right now: what cannot be put right, or is undone at
    once, must not cost a comparison each time."""
    return looks <= FIGHT_REPAIRS or looks & (looks - 1) == 0 or looks % _SELDOM == 0
