"""The node's pools: one per network card. Card 0 has always one; further cards with ENABLE_MULTI_NIC."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vpccni_api.reasons import ReasonError

from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey
from vpccni_ipam.domain.restore import REBUILT_NETWORK, other_keys
from vpccni_ipam.owner import PoolOwner


class Record(NamedTuple):
    """An address that a pod holds, and whose pool it is of."""

    owner: PoolOwner
    item: Assignment


class Pools:
    """One per process, iterated in the order of the cards."""

    def __init__(self, first: PoolOwner) -> None:
        self._by_card = {first.pool.card: first}
        self.first = first

    def __iter__(self) -> Iterator[PoolOwner]:
        return iter(self._by_card.values())

    def add(self, owner: PoolOwner) -> None:
        self._by_card[owner.pool.card] = owner
        self._by_card = dict(sorted(self._by_card.items()))

    def of_card(self, card: int) -> PoolOwner | None:
        return self._by_card.get(card)

    def asked(self) -> list[PoolOwner]:
        """Those that a new pod gets addresses of."""
        return [owner for owner in self if not owner.left_out_why]

    def records(self, key: PodKey) -> list[Record]:
        """What a pod interface holds, one address per card, by its place among the pod's interfaces."""
        found = [Record(owner, item) for owner in self if (item := owner.pool.find(key)) is not None]
        return sorted(found, key=lambda record: record.item.wiring.index) if len(found) > 1 else found

    def recorded(self, key: PodKey, pod: PodIdentity, veth_prefix: str) -> list[Record]:
        """``records``, and what was recorded under another key: rebuilt from the kernel, which knows no container ids, or
        migrated. These have the key that they are recorded under."""
        veths = [host_veth(veth_prefix, pod, key, index) for index in range(len(self._by_card))]
        found = [record for owner in self if (record := _recorded(owner, key, veths)) is not None]
        return sorted(found, key=lambda record: record.item.wiring.index)

    def holder(self, address: str) -> PodKey | None:
        return next((key for owner in self if (key := owner.pool.holder(address)) is not None), None)

    def assignments(self) -> list[Assignment]:
        return [item for owner in self for item in owner.pool.assignments()]

    def refusal(self) -> ReasonError | None:
        """What an ADD for one address would be refused with now; None while any pool has a free one."""
        refusals = [owner.refusal() for owner in self.asked()]
        return None if None in refusals else refusals[0]


def _recorded(owner: PoolOwner, key: PodKey, veths: Sequence[str]) -> Record | None:
    item = owner.pool.find(key)
    if item is not None:
        return Record(owner, item)
    for index, veth in enumerate(veths):
        for other in other_keys(key, veth):
            item = owner.pool.find(other)
            if item is not None:
                return Record(owner, _at(index, item) if other.network_name == REBUILT_NETWORK else item)
    return None


def _at(index: int, item: Assignment) -> Assignment:
    """The kernel's links do not say which of the pod's interfaces they are; the name that one was found by does."""
    return dataclasses.replace(item, wiring=dataclasses.replace(item.wiring, index=index))
