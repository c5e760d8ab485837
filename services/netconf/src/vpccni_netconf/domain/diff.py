"""The least change from what is to what should be. Adds come first, surplus goes after: at no step is a wanted object missing
that was there before.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from vpccni_netconf.domain.drift import settled
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Object, Observed, Route, Rule, Sysctl
from vpccni_netconf.domain.ops import Ensure, Op, Remove

Owned = Callable[[Object], bool]


def diff(desired: Sequence[Object], observed: Observed, owned: Owned) -> tuple[Op, ...]:
    """Ops in the order of ``desired``, then removals of what is ``owned`` and not desired; empty when converged.

    ``owned`` must be true only of what we made (or may take over): nothing else is ever removed. Objects on a link that
    is not there are left out; see ``missing_links``.
    """
    return (*_missing(desired, observed), *_surplus(desired, observed, owned))


def missing_links(desired: Iterable[Object], observed: Observed) -> tuple[str, ...]:
    """Names of links that desired objects need and that are not there, in order, without repetition."""
    there = {link.name for link in observed.links}
    return tuple(dict.fromkeys(name for item in desired if (name := _needs(item)) and name not in there))


def _needs(item: Object) -> str:
    match item:
        case Link(name):
            return name
        case Route() | Address() | Neighbour():
            return item.dev
        case _:
            return ""


def _missing(desired: Sequence[Object], observed: Observed) -> Iterator[Op]:
    links = {link.name: link for link in observed.links}
    there: set[Object] = {*observed.rules, *observed.routes, *observed.addresses, *observed.neighbours}
    there.update(observed.sysctls)
    absent_sysctls = {s.path for s in observed.sysctls if not s.value}
    for item in desired:
        match item:
            case Link():
                facts = links.get(item.name)
                if facts is not None and not settled(item, facts):
                    yield Ensure(item)
            case Sysctl():
                if item not in there and not (item.optional and item.path in absent_sysctls):
                    yield Ensure(item)
            case Rule():
                if item not in there:
                    yield Ensure(item)
            case Route() | Address() | Neighbour():
                if item not in there and item.dev in links:
                    yield Ensure(item)


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
