"""Which addresses are in use: held by a pod interface, or cooling down after one; and of which block each is."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

from vpccni_ipam.domain.block import Block
from vpccni_ipam.domain.model import Assignment, Cooling, Moment, PodKey


@dataclasses.dataclass(slots=True)
class Held:
    assignment: Assignment
    block: Block | None


@dataclasses.dataclass(slots=True)
class Cool:
    cooling: Cooling
    block: Block | None


class Occupancy:
    """``block`` None: the address is on no known ENI. Block and ENI counts are the caller's business."""

    __slots__ = ("cooling", "held", "holder")

    def __init__(self) -> None:
        self.held: dict[PodKey, Held] = {}
        self.holder: dict[str, PodKey] = {}
        self.cooling: collections.OrderedDict[str, Cool] = collections.OrderedDict()
        """By address; the one that cools down next is the first."""

    def __contains__(self, address: str) -> bool:
        return address in self.holder or address in self.cooling

    def __iter__(self) -> Iterator[str]:
        """Every address in use."""
        yield from self.holder
        yield from self.cooling

    def hold(self, assignment: Assignment, block: Block | None) -> None:
        self.held[assignment.key] = Held(assignment, block)
        self.holder[assignment.address] = assignment.key

    def let_go(self, key: PodKey) -> Held | None:
        """None: the key holds no address."""
        held = self.held.pop(key, None)
        if held is not None:
            del self.holder[held.assignment.address]
        return held

    def cool(self, item: Cooling, block: Block | None) -> None:
        """``item`` stops cooling after everything that cools already."""
        self.cooling[item.address] = Cool(item, block)

    def next_over(self, now: Moment) -> Cool | None:
        """Takes out the next address whose cooldown is over; None: there is none."""
        for address, cool in self.cooling.items():
            if cool.cooling.until > now.mono:
                return None
            del self.cooling[address]
            return cool
        return None

    def next_expiry(self) -> float | None:
        """Monotonic seconds at which the next address stops cooling."""
        for cool in self.cooling.values():
            return cool.cooling.until
        return None

    def held_in(self, block: Block) -> tuple[str, ...]:
        """Addresses that pods hold of the block."""
        return tuple(address for address, key in self.holder.items() if self.held[key].block is block)

    def leave(self, block: Block) -> None:
        """The block is gone; what is in use of it stays, on no known ENI."""
        for address in self.held_in(block):
            self.held[self.holder[address]].block = None
        for cool in self.cooling.values():
            if cool.block is block:
                cool.block = None

    def homeless(self) -> Iterator[Assignment]:
        """Assignments whose address is on no known ENI."""
        return (held.assignment for held in self.held.values() if held.block is None)
