"""What the ENIs of a pool hold, and how it comes and goes: ENIs, their secondary IPs and their prefixes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from vpccni_ipam.domain.address_order import Order
from vpccni_ipam.domain.block import Block
from vpccni_ipam.domain.model import EniFacts, EniState, Moment
from vpccni_ipam.domain.occupancy import Occupancy
from vpccni_ipam.domain.pool_eni import PoolEni


class Holdings:
    """The side of the pool that EC2 decides. ``prefixes``: single addresses come after prefixes, else before them. ``card``:
    the network card whose ENIs these are."""

    def __init__(self, *, prefixes: bool, card: int) -> None:
        self.card = card
        self._prefixes = prefixes
        self.enis: dict[str, PoolEni] = {}
        self._order = Order()
        self._in_use = Occupancy()
        self._ranks = 0

    def set_mode(self, *, prefixes: bool) -> None:
        """Changes what new pods get; pods that run keep what they have."""
        if prefixes == self._prefixes:
            return
        self._prefixes = prefixes
        for eni in self.enis.values():
            for block in eni.blocks.values():
                block.late = block.is_prefix is not prefixes
                self._order.refresh(eni, block)

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
        for address in [a for a in self._in_use if block.holds(a)]:
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
            key = self._in_use.holder.get(address)
            if key is not None:
                self._in_use.held[key].block = None
                block.used -= 1
                eni.used -= 1
                kept.append(address)
            elif address in self._in_use.cooling:
                self._in_use.cooling[address].block = None
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
        kept = self._in_use.held_in(block)
        self._in_use.leave(block)
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
        for block in eni.blocks.values():
            self._in_use.leave(block)
        self._order.remove(eni)
        del self.enis[eni_id]
        return True

    def _new_block(self, eni: PoolEni, cidr: str) -> Block:
        self._ranks += 1
        block = Block(eni.facts.eni_id, self._ranks, cidr)
        block.late = bool(cidr) is not self._prefixes
        eni.blocks[cidr] = block
        eni.by_rank[block.rank] = block
        return block

    def _adopt(self, eni: PoolEni, block: Block, address: str) -> bool:
        """Joins a known address that had no ENI with its block. False: the address is not known."""
        key = self._in_use.holder.get(address)
        if key is not None:
            held = self._in_use.held[key]
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
        elif address in self._in_use.cooling:
            self._in_use.cooling[address].block = block
            block.cooling += 1
            eni.cooling += 1
        else:
            return False
        block.mark_taken(address)
        return True
