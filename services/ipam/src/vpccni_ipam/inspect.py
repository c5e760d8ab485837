"""Inspect: the pool as it stands, for the CLI and the introspection pages. Read only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from vpccni_api.reasons import ReasonError
from vpccni_kit.health import Dependency, HealthBoard

from vpccni_ipam.card import Card
from vpccni_ipam.cards import Cards
from vpccni_ipam.domain.model import AddressState, Assignment, EniState, PodIdentity, PodKey
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import deficit
from vpccni_ipam.owner import Growth


@dataclasses.dataclass(frozen=True, slots=True)
class AddressLine:
    """One address; ``key`` and ``pod`` (with so many ``interfaces`` of us) when it is assigned; ``since_unix``: when it entered this state, 0: not known."""

    address: str
    state: AddressState
    cidr: str
    eni_id: str
    since_unix: float = 0.0
    key: PodKey | None = None
    pod: PodIdentity | None = None
    interfaces: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class CidrLines:
    cidr: str
    is_prefix: bool
    size: int
    addresses: tuple[AddressLine, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class EniLines:
    eni: PoolEni
    state: EniState
    cidrs: tuple[CidrLines, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class CardOverview:
    """One network card. ``left_out_why``: why new pods get no address of it; empty: they do."""

    number: int
    supply: Supply
    deficit: int
    growth: Growth
    left_out_why: str
    refusal: ReasonError | None


@dataclasses.dataclass(frozen=True, slots=True)
class Overview:
    """``supply`` is of all network cards, ``deficit`` and ``growth`` of card 0; ``cards``: of each."""

    enis: tuple[EniLines, ...]
    homeless: tuple[AddressLine, ...]
    supply: Supply
    deficit: int
    growth: Growth
    dependencies: dict[str, Dependency]
    refusal: ReasonError | None = None  # of an ADD now; None while an address is free
    branches: tuple[Assignment, ...] = ()  # pods with branch ENIs, which take no address of the pool
    cards: tuple[CardOverview, ...] = ()


class Inspect:
    """One per process."""

    def __init__(self, cards: Cards, health: HealthBoard) -> None:
        self._cards = cards
        self._health = health
        self.branches: Callable[[], Iterable[Assignment]] = lambda: ()
        """Pods with branch ENIs."""

    def __call__(self) -> Overview:
        pools = [card.owner.pool for card in self._cards]
        homeless = tuple(
            AddressLine(a.address, AddressState.QUARANTINED, "", a.eni_id, a.assigned_unix_ns / 1e9, a.key, a.pod)
            for pool in pools
            for a in pool.homeless()
        )
        cards = tuple(_card(card) for card in self._cards)
        return Overview(
            enis=tuple(eni_lines(pool, eni) for pool in pools for eni in pool.enis.values()),
            homeless=homeless,
            supply=self._cards.supply(),
            deficit=cards[0].deficit,
            growth=cards[0].growth,
            dependencies=dict(self._health.dependencies),
            refusal=self._cards.pools.refusal(),
            branches=tuple(self.branches()),
            cards=cards,
        )


def _card(card: Card) -> CardOverview:
    supply, grow = card.owner.supply(), card.grow
    short = deficit(grow.targets, supply, grow.slots.limits) if grow.slots else 0
    return CardOverview(card.number, supply, short, card.owner.growth, card.owner.left_out_why, card.owner.refusal())


def eni_lines(pool: Pool, eni: PoolEni) -> EniLines:
    released = {cool.address: cool.released_unix for cool in pool.cooling()}
    cidrs: list[CidrLines] = []
    for block in eni.blocks.values():
        lines: list[AddressLine] = []
        for address in pool.addresses_in(block):
            state = pool.state_of(address, eni)
            key = pool.holder(address)
            item = pool.find(key) if key is not None else None
            since = item.assigned_unix_ns / 1e9 if item is not None else released.get(address, 0.0)
            pod = item.pod if item is not None else None
            count = item.wiring.interfaces if item is not None else 1
            lines.append(AddressLine(address, state, block.cidr_of(address), eni.facts.eni_id, since, key, pod, count))
        if block.is_prefix:
            cidrs.append(CidrLines(block.cidr, True, block.size, tuple(lines)))
        else:
            cidrs += [CidrLines(line.cidr, False, 1, (line,)) for line in lines]
    return EniLines(eni, eni.state, tuple(cidrs))
