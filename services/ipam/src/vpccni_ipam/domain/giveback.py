"""Which addresses, prefixes and ENIs to give back when the pool is over its target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from vpccni_api.reasons import Reason

from vpccni_ipam.domain.growth import Room, next_step, takes_addresses
from vpccni_ipam.domain.model import EniState, InstanceLimits
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import (
    PREFIX_SIZE,
    Targets,
    is_low,
    over_addresses,
    over_prefixes,
    spare_eni,
)

MIN_ENI_AGE_S: Final = 60.0
"""An ENI younger than this is kept: it was just attached because it was needed."""
_ALL: Final = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class FromEni:
    """Addresses and prefixes to take off one ENI."""

    eni_id: str
    ips: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def __add__(self, more: FromEni) -> FromEni:
        return FromEni(self.eni_id, self.ips + more.ips, self.prefixes + more.prefixes)


@dataclasses.dataclass(frozen=True, slots=True)
class GiveBack:
    """What to release; empty when there is nothing."""

    eni_ids: tuple[str, ...] = ()
    addresses: tuple[FromEni, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.eni_ids or self.addresses)

    @property
    def names(self) -> tuple[str, ...]:
        """Every address, prefix and ENI in it."""
        items = [name for item in self.addresses for name in (*item.ips, *item.prefixes)]
        return (*items, *self.eni_ids)


def surely_not_done(what: GiveBack, reason: Reason) -> bool:
    """Whether EC2 surely still has all of ``what`` after a release that failed with ``reason``.

    Several calls may have been done in part; and detaching an ENI is several calls that eni-manager finishes later.
    """
    if reason in (Reason.STORE_FAILED, Reason.DRAINING):
        return True
    if len(what.eni_ids) + sum(bool(item.ips) + bool(item.prefixes) for item in what.addresses) > 1:
        return False
    return reason is Reason.CAPACITY_IN_USE or (
        not what.eni_ids and reason in (Reason.IAM_DENIED, Reason.EC2_THROTTLED)
    )


def _idle(eni: PoolEni) -> bool:
    facts = eni.facts
    keep = facts.is_primary or facts.is_trunk or facts.is_efa or eni.used or eni.cooling
    return not keep and eni.state is EniState.USABLE


def _removable(eni: PoolEni, now_unix: float) -> bool:
    return _idle(eni) and now_unix - eni.since >= MIN_ENI_AGE_S


def old_enough_in(enis: Iterable[PoolEni], now_unix: float) -> float | None:
    """Seconds until the next ENI without pods is old enough to go; None: none waits for that."""
    left = (MIN_ENI_AGE_S - (now_unix - eni.since) for eni in enis if _idle(eni))
    return min((seconds for seconds in left if seconds > 0), default=None)


def eni_to_release(targets: Targets, enis: Iterable[PoolEni], now_unix: float) -> str | None:
    """The first ENI (highest device number first) that has no pods and without which the other ENIs still meet the targets."""
    enis = [eni for eni in enis if eni.gives]
    unit = PREFIX_SIZE if targets.prefixes else 1
    warm_ip = -(-targets.warm_ip // unit) * unit
    minimum = -(-targets.minimum_ip // unit) * unit
    for eni in sorted(enis, key=lambda e: e.rank, reverse=True):
        if not _removable(eni, now_unix):
            continue
        others = [other for other in enis if other is not eni]
        if warm_ip and sum(other.free for other in others) < warm_ip:
            continue
        if minimum and sum(other.total for other in others) < minimum:
            continue
        free_prefixes = sum(not block.used and not block.cooling for other in others for block in other.prefixes)
        if targets.prefixes and targets.warm_prefix and not targets.by_address and free_prefixes < targets.warm_prefix:
            continue
        return eni.facts.eni_id
    return None


def plan_give_back(
    targets: Targets,
    supply: Supply,
    limits: InstanceLimits,
    enis: Iterable[PoolEni],
    now_unix: float,
    *,
    keep_enis: bool = False,
) -> GiveBack:
    """A whole ENI first (fewer EC2 calls than emptying it); else what is over the target, from the emptiest ENI first.

    What no pod will get comes with it: everything free on an excluded ENI and, when the targets are met without it, free
    addresses of the mode that is not in use. ``keep_enis``: the node is cordoned.
    """
    enis = list(enis)
    if not keep_enis and (eni_id := _spare(targets, supply, limits, enis, now_unix)):
        return GiveBack(eni_ids=(eni_id,))
    left = over_prefixes(targets, supply) if targets.prefixes else over_addresses(targets, supply)
    other_mode_too = supply.other_mode > 0 and not is_low(targets, supply, limits)
    plan: list[FromEni] = []
    usable = [eni for eni in enis if eni.state is EniState.USABLE and not eni.facts.is_trunk]
    for eni in sorted(usable, key=lambda e: (e.used, e.facts.network_card, -e.facts.device_number)):
        if eni.facts.excluded_why:
            found = _freeable(eni, _ALL, prefixes=True) + _freeable(eni, _ALL, prefixes=False)
        else:
            found = _freeable(eni, left, prefixes=targets.prefixes)
            left -= len(found.ips) + len(found.prefixes)
            if other_mode_too:
                found += _freeable(eni, _ALL, prefixes=not targets.prefixes)
        if found.ips or found.prefixes:
            plan.append(found)
    return GiveBack(addresses=tuple(plan))


def plan_room(targets: Targets, supply: Supply, limits: InstanceLimits, enis: Iterable[PoolEni]) -> GiveBack:
    """Slots for what is short, made on attached ENIs from free addresses of the other mode: a full ENI need not be joined by
    another one when ENABLE_PREFIX_DELEGATION has been changed, or when prefixes are to be had again."""
    enis = [eni for eni in enis if takes_addresses(eni) and eni.state is EniState.USABLE]
    per_eni = limits.slots_per_eni
    if not supply.other_mode or targets.ipv6 or any(eni.slots_used < per_eni for eni in enis):
        return GiveBack()
    step = next_step(targets, supply, limits, Room(per_eni, 0, per_eni))
    if step is None:
        return GiveBack()
    left = step.want
    plan: list[FromEni] = []
    for eni in sorted(enis, key=lambda e: (-e.used, e.rank)):
        found = _freeable(eni, left, prefixes=not targets.prefixes)
        left -= len(found.ips) + len(found.prefixes)
        if found.ips or found.prefixes:
            plan.append(found)
    return GiveBack(addresses=tuple(plan))


def _spare(
    targets: Targets, supply: Supply, limits: InstanceLimits, enis: list[PoolEni], now_unix: float
) -> str | None:
    """The ENI that can go."""
    excluded = [eni for eni in enis if eni.facts.excluded_why and _removable(eni, now_unix)]
    if excluded:
        return max(excluded, key=lambda e: e.rank).facts.eni_id
    empty = any(_removable(eni, now_unix) for eni in enis)
    if empty and supply.waiting == 0 and spare_eni(targets, supply, limits, empty_secondary=empty):
        return eni_to_release(targets, enis, now_unix)
    return None


def _freeable(eni: PoolEni, count: int, *, prefixes: bool) -> FromEni:
    """Up to ``count`` items: the ones that would be given to a pod last."""
    if count <= 0:
        return FromEni(eni.facts.eni_id)
    if prefixes:
        free = [block.cidr for block in eni.prefixes if not block.used and not block.cooling]
        return FromEni(eni.facts.eni_id, prefixes=tuple(reversed(free))[:count])
    block = eni.blocks.get("")
    return FromEni(eni.facts.eni_id, ips=tuple(reversed(block.free))[:count] if block else ())
