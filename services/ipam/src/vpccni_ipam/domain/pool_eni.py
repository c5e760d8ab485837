"""ENIs of the pool. The order in which they give addresses: address_order.py."""

from __future__ import annotations

from vpccni_ipam.domain.block import NOWHERE, Block
from vpccni_ipam.domain.model import EniFacts, EniState


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
