"""The pool: which address is in which state, and which one a pod gets.

Choice is deterministic: the fullest ENI first (so that the others can be given back), in it the fullest prefix, in that
the address that has been free for longest. Every operation costs the same for ten and for twenty thousand addresses.
No clock and no I/O: time comes in as a Moment. One writer at a time (the event loop).
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator

from vpccni_ipam.domain.address_order import Order
from vpccni_ipam.domain.block import Block
from vpccni_ipam.domain.model import (
    AddressState,
    Assignment,
    Cooling,
    EniFacts,
    EniState,
    Moment,
    PodIdentity,
    PodKey,
    Wiring,
)
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.stock import Supply, take_stock


@dataclasses.dataclass(slots=True)
class _Held:
    assignment: Assignment
    block: Block | None


@dataclasses.dataclass(slots=True)
class _Cool:
    cooling: Cooling
    block: Block | None


class Pool:
    """See the module docstring. ``cooldown_s`` >= 0: seconds between release and reuse.

    ``prefixes_first``: prefix delegation; addresses of the other mode are then used only when nothing else is free.
    """

    def __init__(self, cooldown_s: float, *, prefixes_first: bool = False) -> None:
        self.cooldown_s = cooldown_s
        self._prefixes = prefixes_first
        self.singles_stand_in = False
        """No prefix is to be had: single addresses count as supply, like prefixes."""
        self.enis: dict[str, PoolEni] = {}
        self._order = Order()
        self._held: dict[PodKey, _Held] = {}
        self._holder: dict[str, PodKey] = {}
        self._cooling: collections.OrderedDict[str, _Cool] = collections.OrderedDict()
        self._ranks = 0

    # -- pods ---------------------------------------------------------------------------------------------------------

    def find(self, key: PodKey) -> Assignment | None:
        held = self._held.get(key)
        return held.assignment if held else None

    def holder(self, address: str) -> PodKey | None:
        return self._holder.get(address)

    def assignments(self) -> list[Assignment]:
        return [held.assignment for held in list(self._held.values())]

    def cooling(self) -> list[Cooling]:
        return [cool.cooling for cool in list(self._cooling.values())]

    def quarantined(self, key: PodKey) -> bool:
        """True when the pod's address is on no usable ENI: unknown (restored), gone from EC2, or its ENI is set aside."""
        held = self._held[key]
        return held.block is None or self.enis[held.block.eni_id].state in (EniState.QUARANTINED, EniState.RELEASING)

    def assign(self, key: PodKey, pod: PodIdentity, wiring: Wiring, now: Moment) -> Assignment | None:
        """Gives ``key`` an address, or None when none is free. The key must hold none yet."""
        if key in self._held:
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
        self._held[key] = _Held(made, block)
        self._holder[address] = key
        return made

    def release(self, key: PodKey, now: Moment) -> Cooling | None:
        """Takes the address back and lets it cool down. None: the key holds none."""
        held = self._held.pop(key, None)
        if held is None:
            return None
        address = held.assignment.address
        del self._holder[address]
        cool = Cooling(address, now.unix, now.mono + self.cooldown_s, held.assignment.eni_id)
        self._cooling[address] = _Cool(cool, held.block)
        if held.block is not None:
            eni = self.enis[held.block.eni_id]
            held.block.used -= 1
            eni.used -= 1
            held.block.cooling += 1
            eni.cooling += 1
            self._order.refresh(eni, held.block)
        return cool

    def expire(self, now: Moment) -> list[str]:
        """Addresses whose cooldown is over become free. Returns them."""
        over: list[str] = []
        while self._cooling:
            address, cool = next(iter(self._cooling.items()))
            if cool.cooling.until > now.mono:
                break
            del self._cooling[address]
            over.append(address)
            if cool.block is not None:
                eni = self.enis[cool.block.eni_id]
                cool.block.cooling -= 1
                eni.cooling -= 1
                cool.block.give_back(address)
                self._order.refresh(eni, cool.block)
        return over

    def next_expiry(self) -> float | None:
        """Monotonic seconds at which the next address stops cooling."""
        for cool in self._cooling.values():
            return cool.cooling.until
        return None

    def rewire(self, key: PodKey, wiring: Wiring) -> Assignment:
        """Records a changed namespace path or MTU of a pod that keeps its address."""
        held = self._held[key]
        held.assignment = dataclasses.replace(held.assignment, wiring=wiring)
        return held.assignment

    def restore(self, assignments: Iterable[Assignment], cooling: Iterable[Cooling]) -> None:
        """Takes over what the checkpoint knows. Addresses are quarantined until their ENI is added."""
        for assignment in assignments:
            self._held[assignment.key] = _Held(assignment, None)
            self._holder[assignment.address] = assignment.key
        for cool in sorted(cooling, key=lambda c: c.until):
            if cool.address not in self._holder:
                self._cooling[cool.address] = _Cool(cool, None)

    def set_mode(self, *, prefixes: bool) -> None:
        """Changes what new pods get; pods that run keep what they have."""
        if prefixes == self._prefixes:
            return
        self._prefixes = prefixes
        for eni in self.enis.values():
            for block in eni.blocks.values():
                block.late = block.is_prefix is not prefixes
                self._order.refresh(eni, block)

    # -- ENIs and their addresses -------------------------------------------------------------------------------------

    def add_eni(self, facts: EniFacts, route_table: int, state: EniState, now: Moment) -> None:
        """A new ENI without addresses, or new facts and state of a known one."""
        eni = self.enis.get(facts.eni_id)
        if eni is None:
            self._ranks += 1
            eni = PoolEni(facts, route_table, state, facts.attached_unix_s or now.unix, self._ranks)
            self.enis[facts.eni_id] = eni
            self._order.add(eni)
            return
        eni.facts = facts
        eni.route_table = route_table
        self.set_state(facts.eni_id, state)

    def set_facts(self, facts: EniFacts) -> None:
        """New facts of a known ENI: a tag that takes its subnet out, or puts it in again."""
        eni = self.enis[facts.eni_id]
        eni.facts = facts
        self.set_state(facts.eni_id, eni.state)

    def set_state(self, eni_id: str, state: EniState) -> None:
        eni = self.enis[eni_id]
        eni.state = state
        for block in eni.blocks.values():
            self._order.refresh(eni, block)
        self._order.place(eni)

    def add_addresses(self, eni_id: str, addresses: Iterable[str]) -> int:
        """Secondary IPs of an ENI; known ones and every ENI's primary address are left out. Returns how many are new."""
        eni = self.enis[eni_id]
        block = eni.blocks.get("") or self._new_block(eni, "")
        primaries = {known.facts.primary_ip for known in self.enis.values()}
        added = 0
        for address in addresses:
            if address in block.members or address in primaries:
                continue
            added += 1
            block.members.add(address)
            if not self._adopt(eni, block, address):
                block.give_back(address)
        self._order.refresh(eni, block)
        return added

    def add_prefix(self, eni_id: str, cidr: str) -> bool:
        """A /28 or /80 of an ENI. False: known already."""
        eni = self.enis[eni_id]
        if cidr in eni.blocks:
            return False
        block = self._new_block(eni, cidr)
        for address in [a for a in (*self._holder, *self._cooling) if block.holds(a)]:
            self._adopt(eni, block, address)
        self._order.refresh(eni, block)
        return True

    def remove_addresses(self, eni_id: str, addresses: Iterable[str]) -> tuple[str, ...]:
        """Takes free secondary IPs out of the pool; others stay. Returns those removed."""
        eni = self.enis[eni_id]
        block = eni.blocks.get("")
        if block is None:
            return ()
        removed = tuple(address for address in addresses if address in block.free)
        for address in removed:
            del block.free[address]
            block.members.discard(address)
        self._order.refresh(eni, block)
        return removed

    def remove_prefix(self, eni_id: str, cidr: str) -> bool:
        """Takes a prefix out when nothing in it is assigned or cooling."""
        eni = self.enis[eni_id]
        block = eni.blocks.get(cidr)
        if block is None or block.used or block.cooling:
            return False
        self._order.drop(eni, block)
        del eni.blocks[cidr], eni.by_rank[block.rank]
        return True

    def disown(self, eni_id: str, gone: Iterable[str]) -> tuple[str, ...]:
        """Secondary IPs that EC2 no longer has on the ENI: free ones leave; assigned ones stay with their pod, quarantined.

        Returns the assigned ones.
        """
        eni = self.enis[eni_id]
        gone = [address for address in gone if eni.blocks.get("") and address in eni.blocks[""].members]
        self.remove_addresses(eni_id, gone)
        kept: list[str] = []
        for address in gone:
            block = eni.blocks[""]
            if address not in block.members:
                continue
            block.members.discard(address)
            key = self._holder.get(address)
            if key is not None:
                self._held[key].block = None
                block.used -= 1
                eni.used -= 1
                kept.append(address)
            elif address in self._cooling:
                self._cooling[address].block = None
                block.cooling -= 1
                eni.cooling -= 1
        for block in eni.blocks.values():
            self._order.refresh(eni, block)
        return tuple(kept)

    def disown_prefix(self, eni_id: str, cidr: str) -> tuple[str, ...]:
        """A prefix that EC2 no longer has on the ENI gives no address any more; pods stay, quarantined. Returns their addresses."""
        eni = self.enis[eni_id]
        block = eni.blocks.get(cidr)
        if block is None:
            return ()
        kept = tuple(address for address, key in self._holder.items() if self._held[key].block is block)
        for address in kept:
            self._held[self._holder[address]].block = None
        for cool in self._cooling.values():
            if cool.block is block:
                cool.block = None
        eni.used -= block.used
        eni.cooling -= block.cooling
        self._order.drop(eni, block)
        del eni.blocks[cidr], eni.by_rank[block.rank]
        return kept

    def remove_eni(self, eni_id: str) -> bool:
        """Takes an ENI without assigned addresses out. False: it has pods, or is not known."""
        eni = self.enis.get(eni_id)
        if eni is None or eni.used:
            return False
        for cool in self._cooling.values():
            if cool.block is not None and cool.block.eni_id == eni_id:
                cool.block = None
        self._order.remove(eni)
        del self.enis[eni_id]
        return True

    # -- views --------------------------------------------------------------------------------------------------------

    def state_of(self, address: str, eni: PoolEni) -> AddressState:
        if address in self._holder:
            aside = eni.state in (EniState.QUARANTINED, EniState.RELEASING)
            return AddressState.QUARANTINED if aside else AddressState.ASSIGNED
        return AddressState.COOLING if address in self._cooling else AddressState.FREE

    def homeless(self) -> Iterator[Assignment]:
        """Assignments whose address is on no known ENI."""
        return (held.assignment for held in self._held.values() if held.block is None)

    def addresses_in(self, block: Block) -> list[str]:
        """Addresses of a block that are or were in use; of secondary IPs all of them."""
        if not block.is_prefix:
            return sorted(block.members)
        touched = [a for a in (*self._holder, *self._cooling) if block.holds(a)]
        return [*touched, *block.free]

    def supply(self, waiting: int = 0) -> Supply:
        """Sums over the ENIs that can give addresses (and, as ``incoming``, those that are being set up)."""
        homeless = sum(1 for held in self._held.values() if held.block is None)
        return take_stock(self.enis.values(), homeless, waiting, singles_stand_in=self.singles_stand_in)

    # -- order --------------------------------------------------------------------------------------------------------

    def _new_block(self, eni: PoolEni, cidr: str) -> Block:
        self._ranks += 1
        block = Block(eni.facts.eni_id, self._ranks, cidr)
        block.late = bool(cidr) is not self._prefixes
        eni.blocks[cidr] = block
        eni.by_rank[block.rank] = block
        return block

    def _adopt(self, eni: PoolEni, block: Block, address: str) -> bool:
        """Joins a known address that had no ENI with its block. False: the address is not known."""
        key = self._holder.get(address)
        if key is not None:
            held = self._held[key]
            if held.block is not None:
                return True  # on another ENI; EC2 never has one address twice, reconcile settles it
            held.block = block
            held.assignment = dataclasses.replace(
                held.assignment,
                eni_id=eni.facts.eni_id,
                device_number=eni.facts.device_number,
                route_table=held.assignment.route_table or eni.route_table,
            )
            block.used += 1
            eni.used += 1
        elif address in self._cooling:
            self._cooling[address].block = block
            block.cooling += 1
            eni.cooling += 1
        else:
            return False
        block.mark_taken(address)
        return True
