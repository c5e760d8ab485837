"""ENIs of the pool, and the order in which they and their blocks give addresses."""

from __future__ import annotations

import bisect
from typing import Final

from vpccni_ipam.domain.block import Block
from vpccni_ipam.domain.model import EniFacts, EniState

LAST_RESORT: Final = 1 << 40
"""Blocks of this rank and above come after every other of their ENI, however full they are."""


class PoolEni:
    """One ENI of the pool. ``used`` counts its assigned addresses; ``ready`` its blocks with free ones, fullest first."""

    __slots__ = ("blocks", "cooling", "entry", "facts", "rank", "ready", "route_table", "since", "state", "used")

    def __init__(self, facts: EniFacts, route_table: int, state: EniState, since: float) -> None:
        self.facts = facts
        self.route_table = route_table
        self.state = state
        self.since = since
        self.used = 0
        self.cooling = 0
        self.blocks: dict[str, Block] = {}
        self.ready: list[tuple[int, int, Block]] = []
        self.rank = (facts.network_card, facts.device_number, facts.eni_id)
        self.entry: tuple[int, tuple[int, int, str], PoolEni] | None = None

    @property
    def free(self) -> int:
        return sum(block.free_count for block in self.blocks.values())

    @property
    def total(self) -> int:
        return sum(block.size for block in self.blocks.values())

    @property
    def prefixes(self) -> tuple[Block, ...]:
        return tuple(block for cidr, block in self.blocks.items() if cidr)

    @property
    def slots_used(self) -> int:
        """Secondary IPs and prefixes together: what the instance type limits."""
        return sum(1 if block.is_prefix else block.size for block in self.blocks.values())


class Order:
    """Who gives the next address: the fullest ENI, and in it the fullest block. Keeping it costs O(log n) of a short list."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        self._ready: list[tuple[int, tuple[int, int, str], PoolEni]] = []

    def first(self) -> PoolEni | None:
        return self._ready[0][2] if self._ready else None

    def refresh(self, eni: PoolEni, block: Block) -> None:
        """Puts the block, and then its ENI, where they belong after one of them changed."""
        self._unready(eni, block)
        if eni.state is EniState.USABLE and block.free_count > 0:
            block.entry = (-block.used if block.rank < LAST_RESORT else 1, block.rank, block)
            bisect.insort(eni.ready, block.entry)
        self.place(eni)

    def drop(self, eni: PoolEni, block: Block) -> None:
        """The block gives no address any more."""
        self._unready(eni, block)
        self.place(eni)

    @staticmethod
    def _unready(eni: PoolEni, block: Block) -> None:
        if block.entry is not None:
            del eni.ready[bisect.bisect_left(eni.ready, block.entry)]
            block.entry = None

    def place(self, eni: PoolEni) -> None:
        if eni.entry is not None:
            del self._ready[bisect.bisect_left(self._ready, eni.entry)]
            eni.entry = None
        if eni.ready:
            eni.entry = (-eni.used, eni.rank, eni)
            bisect.insort(self._ready, eni.entry)
