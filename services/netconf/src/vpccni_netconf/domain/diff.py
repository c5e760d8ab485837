"""The least change from what is to what should be. Adds come first, surplus goes after: at no step is a wanted object missing
that was there before.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from vpccni_netconf.domain.drift import settled
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
from vpccni_netconf.domain.ops import DeleteLink, Ensure, Op, Remove

Owned = Callable[[Object], bool]


def diff(desired: Sequence[Object], observed: Observed, owned: Owned) -> tuple[Op, ...]:
    """Ops in the order of ``desired``, then removals of what is ``owned`` and not desired; empty when converged.

    ``owned`` must be true only of what we made (or may take over): nothing else is ever removed. Objects on a link that
    is not there are left out.
    """
    return (*_missing(desired, observed), *_surplus(desired, observed, owned))


def _missing(desired: Sequence[Object], observed: Observed) -> Iterator[Op]:
    links = {link.name: link for link in observed.links}
    there: set[Object] = {*observed.rules, *observed.routes, *observed.addresses, *observed.neighbours}
    there.update(observed.sysctls)
    absent = {sysctl.path for sysctl in observed.sysctls if not sysctl.value}
    for item in desired:
        if not isinstance(item, VlanLink):
            if not _is_right(item, links, there, absent):
                yield Ensure(item)
            continue
        facts = links.get(item.name)
        if _is_vlan(item, facts, links.get(item.parent)):
            continue
        if facts is not None:
            yield DeleteLink(facts.index, facts.name)
        yield Ensure(item)
        # Nothing of what was seen on the old link, or in its files, is on the new one.
        there = {other for other in there if getattr(other, "dev", "") != item.name}
        absent = {path for path in absent if f"/{item.name}/" not in path}
        links[item.name] = LinkFacts(0, item.name, item.mac, up=False)


def _is_right(item: Object, links: Mapping[str, LinkFacts], there: Set[Object], absent: Set[str]) -> bool:
    """True when nothing is to be done for it, or nothing can be: its link is not there."""
    match item:
        case Link():
            facts = links.get(item.name)
            return facts is None or settled(item, facts)
        case Sysctl():
            return item in there or (item.optional and item.path in absent)
        case Route() | Address() | Neighbour():
            return item in there or item.dev not in links
        case _:
            return item in there


def _is_vlan(wanted: VlanLink, facts: LinkFacts | None, parent: LinkFacts | None) -> bool:
    """True when the link is the branch's; one whose trunk is not there cannot be better than it is."""
    if parent is None:
        return True
    return facts is not None and (facts.kind, facts.mac, facts.peer_index) == ("vlan", wanted.mac, parent.index)


def _surplus(desired: Sequence[Object], observed: Observed, owned: Owned) -> Iterator[Op]:
    wanted = set(desired)
    seen: Counter[Object] = Counter()
    # No neighbours: an entry for the same address was replaced, and the kernel deletes by address alone.
    present: tuple[Rule | Route, ...] = (*observed.rules, *observed.routes)
    for item in present:
        seen[item] += 1
        # A rule can exist several times over (older versions made them so): all but one go.
        if (item not in wanted and owned(item)) or (item in wanted and isinstance(item, Rule) and seen[item] > 1):
            yield Remove(item)
    for address in observed.addresses:
        if address not in wanted and owned(address):
            yield Remove(address)
            yield from _restored(address, desired)


def _restored(removed: Address, desired: Sequence[Object]) -> Iterator[Op]:
    """Deleting the first address of a subnet takes its other addresses and their routes along (promote_secondaries=0)."""
    network = ipaddress.ip_interface(removed.address).network
    again = [
        item
        for item in desired
        if isinstance(item, Address)
        and item.dev == removed.dev
        and ipaddress.ip_interface(item.address).network == network
    ]
    if again:
        yield from map(Ensure, again)
        yield from (Ensure(item) for item in desired if isinstance(item, Route) and item.dev == removed.dev)
