"""What the pool holds, summed up: what the targets are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vpccni_ipam.domain.model import EniState
from vpccni_ipam.domain.pool_eni import PoolEni


@dataclasses.dataclass(frozen=True, slots=True)
class Supply:
    """What the pool holds. ``incoming``: free addresses of ENIs that are being set up. ``waiting``: ADDs without an address.

    ``total`` = assigned + cooling + free + incoming; ``quarantined`` is apart. ``free_prefixes`` have nothing assigned or
    cooling. ``other_mode``: free addresses of the mode that is not in use, the last resort of an ADD and no supply.
    ``singles_in_use``: those of assigned + cooling that are single addresses.
    """

    total: int = 0
    assigned: int = 0
    cooling: int = 0
    free: int = 0
    incoming: int = 0
    quarantined: int = 0
    prefixes: int = 0
    free_prefixes: int = 0
    waiting: int = 0
    other_mode: int = 0
    singles_in_use: int = 0

    def __add__(self, other: Supply) -> Supply:
        return Supply(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def available(self) -> int:
        """Free addresses left after the waiting ADDs are served; negative when they cannot all be."""
        return self.free + self.incoming - self.waiting


def take_stock(enis: Iterable[PoolEni], homeless: int, waiting: int, *, singles_stand_in: bool) -> Supply:
    """``homeless``: assignments on no known ENI. ``singles_stand_in``: addresses of the other mode are supply for now.

    An excluded ENI counts with what its pods use, not with what is free on it.
    """
    assigned = cooling = free = incoming = prefixes = free_prefixes = other = singles = 0
    quarantined = homeless
    for eni in enis:
        if eni.state in (EniState.QUARANTINED, EniState.RELEASING):
            quarantined += eni.used
            continue
        assigned += eni.used
        cooling += eni.cooling
        single = eni.blocks.get("")
        singles += single.used + single.cooling if single is not None else 0
        if eni.facts.excluded_why:
            continue
        here, late = eni.free, eni.late_free
        if singles_stand_in:
            here, late = here + late, 0
        if eni.state is EniState.USABLE:
            free += here
        else:
            incoming += here
        other += late
        for block in eni.prefixes:
            prefixes += 1
            free_prefixes += not block.used and not block.cooling
    total = assigned + cooling + free + incoming
    return Supply(
        total, assigned, cooling, free, incoming, quarantined, prefixes, free_prefixes, waiting, other, singles
    )
