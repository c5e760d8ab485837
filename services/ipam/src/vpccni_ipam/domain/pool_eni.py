"""ENIs of the pool, and the order in which they and their blocks give addresses."""

from __future__ import annotations

import bisect
from typing import Final

from vpccni_ipam.domain.block import NOWHERE, Block
from vpccni_ipam.domain.model import EniFacts, EniState

_RANK_BITS: Final = 48
_RANKS: Final = (1 << _RANK_BITS) - 1
# More than the pods of an ENI: what comes late comes after everything else, however full it is.
_LATE: Final = 1 << 12


class PoolEni:
    """One ENI of the pool. ``used`` counts its assigned addresses; ``ready`` its blocks with free ones, fullest first.

    Blocks are ``late`` while they are of the mode that is not in use (single addresses with prefix delegation, prefixes
    without): pods get their addresses only when nothing else is free, and they are given back when no pod has them.
    """

    __slots__ = (
        "blocks",
        "by_rank",
        "cooling",
        "entry",
        "facts",
        "rank",
        "ready",
        "route_table",
        "since",
        "state",
        "used",
    )

    def __init__(self, facts: EniFacts, route_table: int, state: EniState, since: float, serial: int) -> None:
        self.facts = facts
        self.route_table = route_table
        self.state = state
        self.since = since
        self.used = 0
        self.cooling = 0
        self.blocks: dict[str, Block] = {}
        self.by_rank: dict[int, Block] = {}
        self.ready: list[int] = []
        # Card, device number, and what makes it unique: a number that grows with every ENI that this pool has seen.
        self.rank = (facts.network_card << 36) + (facts.device_number << 28) + serial % (1 << 28)
        self.entry = NOWHERE

    @property
    def gives(self) -> bool:
        """Whether pods may get addresses of it."""
        return self.state is EniState.USABLE and not self.facts.excluded_why

    @property
    def free(self) -> int:
        """Free addresses of the mode in use."""
        return sum(block.free_count for block in self.blocks.values() if not block.late)

    @property
    def late_free(self) -> int:
        """Free addresses of the other mode."""
        return sum(block.free_count for block in self.blocks.values() if block.late)

    @property
    def total(self) -> int:
        return sum(block.size for block in self.blocks.values()) - self.late_free

    @property
    def prefixes(self) -> tuple[Block, ...]:
        return tuple(block for cidr, block in self.blocks.items() if cidr)

    @property
    def slots_used(self) -> int:
        """Secondary IPs and prefixes together: what the instance type limits."""
        return sum(1 if block.is_prefix else block.size for block in self.blocks.values())


class Order:
    """Who gives the next address: the fullest ENI, and in it the fullest block.

    Sorted lists of plain numbers, most pods first and then by rank: keeping them costs the same for one and for many.
    """

    __slots__ = ("_by_rank", "_ready")

    def __init__(self) -> None:
        self._ready: list[int] = []
        self._by_rank: dict[int, PoolEni] = {}

    def add(self, eni: PoolEni) -> None:
        self._by_rank[eni.rank] = eni

    def remove(self, eni: PoolEni) -> None:
        for block in eni.blocks.values():
            self.drop(eni, block)
        del self._by_rank[eni.rank]

    def first(self) -> tuple[PoolEni, Block] | None:
        if not self._ready:
            return None
        eni = self._by_rank[self._ready[0] & _RANKS]
        return eni, eni.by_rank[eni.ready[0] & _RANKS]

    def refresh(self, eni: PoolEni, block: Block) -> None:
        """Puts the block, and then its ENI, where they belong after one of them changed."""
        wanted = NOWHERE
        if block.free_count > 0 and eni.gives:
            wanted = ((_LATE - block.used if block.late else -block.used) << _RANK_BITS) + block.rank
        if wanted != block.entry:
            _move(eni.ready, block.entry, wanted)
            block.entry = wanted
        self.place(eni)

    def drop(self, eni: PoolEni, block: Block) -> None:
        """The block gives no address any more."""
        _move(eni.ready, block.entry, NOWHERE)
        block.entry = NOWHERE
        self.place(eni)

    def place(self, eni: PoolEni) -> None:
        wanted = NOWHERE
        if eni.ready:
            late = eni.by_rank[eni.ready[0] & _RANKS].late
            wanted = ((_LATE - eni.used if late else -eni.used) << _RANK_BITS) + eni.rank
        if wanted != eni.entry:
            _move(self._ready, eni.entry, wanted)
            eni.entry = wanted


def _move(entries: list[int], old: int, new: int) -> None:
    if old != NOWHERE:
        del entries[bisect.bisect_left(entries, old)]
    if new != NOWHERE:
        bisect.insort(entries, new)
