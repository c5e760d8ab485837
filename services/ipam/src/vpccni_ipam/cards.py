"""The network cards that pods get addresses of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from vpccni_ipam.card import Card
from vpccni_ipam.domain.model import Inventory
from vpccni_ipam.domain.node_plan import CardPlan
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.pools import Pools

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


class Cards:
    """Card 0 is there from the start; others come with their checkpoints, and when it is known what the instance type has."""

    def __init__(self, make: Callable[[int], Card]) -> None:
        self._make = make
        self.first = make(0)
        self._by_number = {0: self.first}
        self.pools = Pools(self.first.owner)
        self._spawn: Spawn | None = None

    def __iter__(self) -> Iterator[Card]:
        return iter([self._by_number[number] for number in sorted(self._by_number)])

    def need(self, number: int) -> Card:
        """The card, made if it is not there yet."""
        card = self._by_number.get(number)
        if card is None:
            card = self._by_number[number] = self._make(number)
            self.pools.add(card.owner)
            self._keep(card)
        return card

    def plan(self, plans: Mapping[int, CardPlan]) -> None:
        """A card without a plan keeps its pods and does nothing else."""
        for number in plans:
            self.need(number)
        for card in self:
            card.plan(plans.get(card.number))

    def run(self, spawn: Spawn) -> None:
        """Starts what keeps each pool at its targets, also for cards that come later."""
        self._spawn = spawn
        for card in self:
            self._keep(card)

    def _keep(self, card: Card) -> None:
        if self._spawn is not None:
            self._spawn(card.keeper.run(), f"keeper of network card {card.number}")

    def supply(self) -> Supply:
        """Of all cards together."""
        return sum((card.owner.supply() for card in self), Supply())

    def push(self, inventory: Inventory) -> None:
        """What eni-manager sent on its own."""
        for card in self:
            card.push(inventory)

    def cordon(self, why: str) -> None:
        """``why`` empty: ENIs are attached and given back again."""
        for card in self:
            card.owner.cordoned = why

    def hurry(self) -> None:
        """Something changed for the better."""
        for card in self:
            card.hurry()

    def stop(self, why: str) -> None:
        """ADDs that wait are told at once; EC2 is asked for nothing more."""
        for card in self:
            card.stop(why)
