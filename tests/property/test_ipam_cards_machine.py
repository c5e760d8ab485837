"""Two network cards as a state machine: an ADD for both takes an address of each or of none, no address is given twice, and
the two checkpoints always say what the pools say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from vpccni_api.reasons import ReasonError
from vpccni_ipam.domain.checkpoint import Ledger, decode
from vpccni_ipam.domain.model import EniFacts, EniState, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.pools import Pools, Record
from vpccni_ipam.take_addresses import TakeAddresses, Wish
from vpccni_ipam.tally import Tally

COOLDOWN = 30.0
CARDS = (0, 1)
CARD = st.sampled_from(CARDS)


class NoStore:
    def commit(self, *, gather: bool) -> Awaitable[None]:
        return asyncio.sleep(0)


class HandClock:
    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> float:
        return 1_700_000_000 + self.at


class CardsMachine(RuleBasedStateMachine):
    pods = Bundle("pods")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = HandClock()
        self.take = TakeAddresses(self.clock)
        self.cloud: dict[int, list[str]] = {card: [] for card in CARDS}
        self.held: dict[PodKey, dict[int, str]] = {}
        self.serial = 0
        self.ledgers: dict[int, Ledger] = {}
        self.pools = self.made({})

    def teardown(self) -> None:
        self.loop.close()

    def made(self, texts: dict[int, bytes]) -> Pools:
        """Both pools, from their checkpoints and from what the ENI on each card has."""
        owners = []
        for card in CARDS:
            pool, ledger = Pool(COOLDOWN, card=card), Ledger()
            owner = PoolOwner(pool, NoStore(), ledger, self.clock, Tally())
            if card in texts:
                owner.restore(decode(texts[card], owner.now(), COOLDOWN))
            facts = EniFacts(f"eni-{card}", network_card=card, is_primary=card == 0)
            pool.add_eni(facts, 254 if card == 0 else 10100, EniState.USABLE, owner.now())
            pool.add_addresses(facts.eni_id, self.cloud[card])
            self.ledgers[card] = ledger
            owners.append(owner)
        pools = Pools(owners[0])
        pools.add(owners[1])
        return pools

    def owner(self, card: int) -> PoolOwner:
        found = self.pools.of_card(card)
        assert found is not None
        return found

    def free(self, card: int) -> int:
        self.owner(card).serve()  # the end of a cooldown
        return self.owner(card).supply().free

    def key(self) -> PodKey:
        self.serial += 1
        return PodKey("aws-cni", f"c{self.serial}", "eth0")

    @rule(card=CARD, count=st.integers(1, 3))
    def grow(self, card: int, count: int) -> None:
        made = [f"10.0.{card}.{len(self.cloud[card]) + n}" for n in range(count)]
        self.cloud[card] += made
        self.owner(card).pool.add_addresses(f"eni-{card}", made)

    def add(self, key: PodKey, cards: Sequence[int]) -> list[Record]:
        """An ADD that cannot wait. Raises ReasonError."""
        wish = Wish(key, PodIdentity("ns", key.container_id), wait_until=self.clock.at)
        wanted = [(self.owner(card), Wiring(f"eni{n}", index=n, interfaces=len(cards))) for n, card in enumerate(cards)]
        return self.loop.run_until_complete(self.take.of_each(wish, wanted))

    @rule(target=pods, cards=st.sampled_from([(0, 1), (0,), (1,)]))
    def take_all_or_none(self, cards: tuple[int, ...]) -> PodKey:
        key, before = self.key(), {card: self.free(card) for card in CARDS}
        cooling = {card: len(self.owner(card).pool.cooling()) for card in CARDS}
        try:
            records = self.add(key, cards)
        except ReasonError:
            assert min(before[card] for card in cards) == 0
            assert {card: self.free(card) for card in CARDS} == before
            assert {card: len(self.owner(card).pool.cooling()) for card in CARDS} == cooling
            return key
        assert min(before[card] for card in cards) > 0
        self.held[key] = {r.owner.pool.card: r.item.address for r in records}
        assert tuple(self.held[key]) == cards
        assert [r.item.wiring.index for r in records] == list(range(len(cards)))
        return key

    @rule(target=pods)
    def take_one_of_whichever_has_it(self) -> PodKey:
        key, before = self.key(), [self.free(card) for card in CARDS]
        wish = Wish(key, PodIdentity("ns", key.container_id), wait_until=self.clock.at)
        try:
            record = self.loop.run_until_complete(self.take.of_one(wish, list(self.pools), Wiring("eni0")))
        except ReasonError:
            assert before == [0, 0]
            return key
        assert record.owner.pool.card == (0 if before[0] else 1)
        self.held[key] = {record.owner.pool.card: record.item.address}
        return key

    @rule(key=consumes(pods))
    def delete(self, key: PodKey) -> None:
        records = self.pools.records(key)
        assert {r.owner.pool.card: r.item.address for r in records} == self.held.pop(key, {})
        for record in records:
            record.owner.release(key)
        assert self.pools.records(key) == []

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.clock.at += seconds

    @rule()
    def restart(self) -> None:
        self.pools = self.made({card: ledger.render() for card, ledger in self.ledgers.items()})

    @invariant()
    def pools_and_model_agree(self) -> None:
        for card in CARDS:
            expected = {key: held[card] for key, held in self.held.items() if card in held}
            assert {item.key: item.address for item in self.owner(card).pool.assignments()} == expected
            assert set(expected.values()) <= set(self.cloud[card])
        given = [address for held in self.held.values() for address in held.values()]
        assert len(set(given)) == len(given)
        assert {item.address for item in self.pools.assignments()} == set(given)

    @invariant()
    def checkpoints_and_pools_agree(self) -> None:
        for card, ledger in self.ledgers.items():
            owner = self.owner(card)
            found = decode(ledger.render(), owner.now(), COOLDOWN)
            assert set(found.assignments) == set(owner.pool.assignments())


CardsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestCardsMachine = CardsMachine.TestCase
