"""Which address a pod gets: of the fullest ENI (so that others can be freed), in it of the fullest prefix or of the single
addresses, and there the one that has been free for longest (``Block.take``)."""

from __future__ import annotations

import bisect
from typing import Final

from vpccni_ipam.domain.block import NOWHERE, Block
from vpccni_ipam.domain.pool_eni import PoolEni

_RANK_BITS: Final = 48
_RANKS: Final = (1 << _RANK_BITS) - 1
# More than the pods of an ENI: what comes late comes after everything else, however full it is.
_LATE: Final = 1 << 12


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
