"""Which addresses, prefixes and ENIs to give back when the pool is over its target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from vpccni_ipam.domain.model import EniState, InstanceLimits
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.targets import (
    PREFIX_SIZE,
    Supply,
    Targets,
    over_addresses,
    over_prefixes,
    spare_eni,
)

MIN_ENI_AGE_S: Final = 60.0
"""An ENI younger than this is kept: it was just attached because it was needed."""


@dataclasses.dataclass(frozen=True, slots=True)
class FromEni:
    """Addresses and prefixes to take off one ENI."""

    eni_id: str
    ips: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


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


def _removable(eni: PoolEni, now_unix: float) -> bool:
    facts = eni.facts
    keep = facts.is_primary or facts.is_trunk or facts.is_efa or eni.used or eni.cooling
    return not keep and eni.state is EniState.USABLE and now_unix - eni.since >= MIN_ENI_AGE_S


def eni_to_release(targets: Targets, enis: Iterable[PoolEni], now_unix: float) -> str | None:
    """The first ENI (highest device number first) that has no pods and without which the other ENIs still meet the targets."""
    enis = [eni for eni in enis if eni.state is EniState.USABLE]
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
    targets: Targets, supply: Supply, limits: InstanceLimits, enis: Iterable[PoolEni], now_unix: float
) -> GiveBack:
    """A whole ENI first (fewer EC2 calls than emptying it); else what is over the target, from the emptiest ENI first."""
    enis = list(enis)
    empty = any(_removable(eni, now_unix) for eni in enis)
    if empty and supply.waiting == 0 and spare_eni(targets, supply, limits, empty_secondary=empty):
        eni_id = eni_to_release(targets, enis, now_unix)
        if eni_id is not None:
            return GiveBack(eni_ids=(eni_id,))
    left = over_prefixes(targets, supply) if targets.prefixes else over_addresses(targets, supply)
    plan: list[FromEni] = []
    usable = [eni for eni in enis if eni.state is EniState.USABLE and not eni.facts.is_trunk]
    for eni in sorted(usable, key=lambda e: (e.used, e.facts.network_card, -e.facts.device_number)):
        if left <= 0:
            break
        found = _freeable(eni, left, prefixes=targets.prefixes)
        left -= len(found.ips) + len(found.prefixes)
        if found.ips or found.prefixes:
            plan.append(found)
    return GiveBack(addresses=tuple(plan))


def _freeable(eni: PoolEni, count: int, *, prefixes: bool) -> FromEni:
    """Up to ``count`` items: the ones that would be given to a pod last."""
    if prefixes:
        free = [block.cidr for block in eni.prefixes if not block.used and not block.cooling]
        return FromEni(eni.facts.eni_id, prefixes=tuple(reversed(free))[:count])
    block = eni.blocks.get("")
    return FromEni(eni.facts.eni_id, ips=tuple(reversed(block.free))[:count] if block else ())
