"""The pool: which address is in which state, and which one a pod gets.

Choice is deterministic: the fullest ENI first (so that the others can be given back), in it the fullest prefix, in that
the address that has been free for longest. Every operation costs the same for ten and for twenty thousand addresses.
No clock and no I/O: time comes in as a Moment. One writer at a time (the event loop).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from vpccni_ipam.domain.block import Block
from vpccni_ipam.domain.holdings import Holdings
from vpccni_ipam.domain.model import (
    AddressState,
    Assignment,
    Cooling,
    EniState,
    Moment,
    PodIdentity,
    PodKey,
    Wiring,
)
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.stock import Supply, take_stock


class Pool(Holdings):
    """See the module docstring. ``cooldown_s`` >= 0: seconds between release and reuse.

    ``prefixes_first``: prefix delegation; addresses of the other mode are then used only when nothing else is free.
    ``card``: a node has one pool per network card.
    """

    def __init__(self, cooldown_s: float, *, prefixes_first: bool = False, card: int = 0) -> None:
        super().__init__(prefixes=prefixes_first, card=card)
        self.cooldown_s = cooldown_s
        self.singles_stand_in = False
        """No prefix is to be had: single addresses count as supply, like prefixes."""

    def find(self, key: PodKey) -> Assignment | None:
        held = self._in_use.held.get(key)
        return held.assignment if held else None

    def holder(self, address: str) -> PodKey | None:
        return self._in_use.holder.get(address)

    def assignments(self) -> list[Assignment]:
        return [held.assignment for held in list(self._in_use.held.values())]

    def cooling(self) -> list[Cooling]:
        return [cool.cooling for cool in list(self._in_use.cooling.values())]

    def quarantined(self, key: PodKey) -> bool:
        """True when the pod's address is on no usable ENI: unknown (restored), gone from EC2, or its ENI is set aside."""
        held = self._in_use.held[key]
        return held.block is None or self.enis[held.block.eni_id].state in (EniState.QUARANTINED, EniState.RELEASING)

    def assign(self, key: PodKey, pod: PodIdentity, wiring: Wiring, now: Moment) -> Assignment | None:
        """Gives ``key`` an address, or None when none is free. The key must hold none yet."""
        if key in self._in_use.held:
            raise ValueError(f"{key} holds an address already")
        first = self._order.first()
        if first is None:
            return None
        eni, block = first
        address = block.take()
        block.used += 1
        eni.used += 1
        self._order.refresh(eni, block)
        made = Assignment(
            key=key,
            pod=pod,
            wiring=wiring,
            address=address,
            assigned_unix_ns=int(now.unix * 1e9),
            eni_id=eni.facts.eni_id,
            device_number=eni.facts.device_number,
            route_table=eni.route_table,
        )
        self._in_use.hold(made, block)
        return made

    def release(self, key: PodKey, now: Moment) -> Cooling | None:
        """Takes the address back and lets it cool down. None: the key holds none."""
        held = self._in_use.let_go(key)
        if held is None:
            return None
        cool = Cooling(held.assignment.address, now.unix, now.mono + self.cooldown_s, held.assignment.eni_id)
        self._in_use.cool(cool, held.block)
        if held.block is not None:
            eni = self.enis[held.block.eni_id]
            held.block.used -= 1
            eni.used -= 1
            held.block.cooling += 1
            eni.cooling += 1
            self._order.refresh(eni, held.block)
        return cool

    def take_back(self, key: PodKey) -> None:
        """Undoes ``assign`` for a pod that was never told: nobody can have sent from the address, so it is free at once."""
        held = self._in_use.let_go(key)
        if held is not None and held.block is not None:
            eni = self.enis[held.block.eni_id]
            held.block.used -= 1
            eni.used -= 1
            held.block.give_back(held.assignment.address)
            self._order.refresh(eni, held.block)

    def expire(self, now: Moment) -> list[str]:
        """Addresses whose cooldown is over become free. Returns them."""
        over: list[str] = []
        while (cool := self._in_use.next_over(now)) is not None:
            over.append(cool.cooling.address)
            if cool.block is not None:
                eni = self.enis[cool.block.eni_id]
                cool.block.cooling -= 1
                eni.cooling -= 1
                cool.block.give_back(cool.cooling.address)
                self._order.refresh(eni, cool.block)
        return over

    def next_expiry(self) -> float | None:
        """Monotonic seconds at which the next address stops cooling."""
        return self._in_use.next_expiry()

    def rewire(self, key: PodKey, wiring: Wiring) -> Assignment:
        """Records a changed namespace path or MTU of a pod that keeps its address."""
        held = self._in_use.held[key]
        held.assignment = dataclasses.replace(held.assignment, wiring=wiring)
        return held.assignment

    def restore(self, assignments: Iterable[Assignment], cooling: Iterable[Cooling]) -> None:
        """Takes over what the checkpoint knows. Addresses are quarantined until their ENI is added."""
        for assignment in assignments:
            self._in_use.hold(assignment, None)
        for cool in sorted(cooling, key=lambda c: c.until):
            if cool.address not in self._in_use.holder:
                self._in_use.cool(cool, None)

    def state_of(self, address: str, eni: PoolEni) -> AddressState:
        if address in self._in_use.holder:
            aside = eni.state in (EniState.QUARANTINED, EniState.RELEASING)
            return AddressState.QUARANTINED if aside else AddressState.ASSIGNED
        return AddressState.COOLING if address in self._in_use.cooling else AddressState.FREE

    def homeless(self) -> Iterator[Assignment]:
        """Assignments whose address is on no known ENI."""
        return self._in_use.homeless()

    def addresses_in(self, block: Block) -> list[str]:
        """Addresses of a block that are or were in use; of secondary IPs all of them."""
        if not block.is_prefix:
            return sorted(block.members)
        touched = [a for a in self._in_use if block.holds(a)]
        return [*touched, *block.free]

    def supply(self, waiting: int = 0) -> Supply:
        """Sums over the ENIs that can give addresses (and, as ``incoming``, those that are being set up)."""
        homeless = sum(1 for _ in self._in_use.homeless())
        return take_stock(self.enis.values(), homeless, waiting, singles_stand_in=self.singles_stand_in)
