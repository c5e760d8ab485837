"""The pool as a state machine against a plain model: no address twice, none lost, order kept, cooldown kept, and the
checkpoint always says what the pool says."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from vpccni_ipam.domain.checkpoint import Ledger, decode
from vpccni_ipam.domain.model import EniFacts, EniState, Moment, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.restore import with_wiring

COOLDOWN = 30.0
ENIS = st.integers(0, 3)


class PoolMachine(RuleBasedStateMachine):
    pods = Bundle("pods")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.pool = Pool(COOLDOWN)
        self.ledger = Ledger()
        self.cloud: dict[int, set[str]] = {}  # what EC2 has per ENI
        self.assigned: dict[PodKey, str] = {}
        self.cooling: dict[str, float] = {}
        self.free_since: dict[str, tuple[float, int]] = {}
        self.serial = 0
        self.aside: set[int] = set()

    def moment(self) -> Moment:
        return Moment(self.now, 1_700_000_000 + self.now)

    def count(self) -> int:
        self.serial += 1
        return self.serial

    def expire(self) -> None:
        """Frees in the order of the ends of the cooldowns."""
        over = self.pool.expire(self.moment())
        self.ledger.expired(over)
        due = sorted((until, address) for address, until in self.cooling.items() if until <= self.now)
        assert sorted(over) == sorted(address for _, address in due)
        for until, address in due:
            del self.cooling[address]
            if any(address in ips for ips in self.cloud.values()):
                self.free_since[address] = (until, self.count())

    @rule(number=ENIS)
    def attach(self, number: int) -> None:
        if number in self.cloud:
            return
        self.cloud[number] = set()
        facts = EniFacts(f"eni-{number}", device_number=number, is_primary=number == 0)
        self.pool.add_eni(facts, number + 1, EniState.USABLE, self.moment())

    @rule(number=ENIS, count=st.integers(1, 4))
    def grow(self, number: int, count: int) -> None:
        if number not in self.cloud:
            return
        self.expire()
        made = [f"10.0.{number}.{self.count() % 250}" for _ in range(count)]
        fresh = [address for address in made if address not in self.cloud[number]]
        self.pool.add_addresses(f"eni-{number}", made)
        for address in fresh:
            if address not in self.cooling and address not in self.assigned.values():
                self.free_since[address] = (self.now, self.count())
        self.cloud[number] |= set(made)

    @rule(number=ENIS, count=st.integers(1, 3))
    def shrink(self, number: int, count: int) -> None:
        if number not in self.cloud:
            return
        wish = sorted(self.cloud[number])[:count]
        removed = self.pool.remove_addresses(f"eni-{number}", wish)
        assert set(removed) == {address for address in wish if address in self.free_since}
        for address in removed:
            del self.free_since[address]
            self.cloud[number].discard(address)

    @rule(number=ENIS)
    def detach(self, number: int) -> None:
        if number not in self.cloud:
            return
        busy = any(address in self.cloud[number] for address in self.assigned.values())
        assert self.pool.remove_eni(f"eni-{number}") is not busy
        if not busy:
            self.aside.discard(number)
            for address in self.cloud.pop(number):
                self.free_since.pop(address, None)

    @rule(number=ENIS)
    def set_aside_or_back(self, number: int) -> None:
        """An ENI that EC2 no longer shows gives no address; its pods and its addresses stay."""
        if number not in self.cloud:
            return
        back = number in self.aside
        self.pool.set_state(f"eni-{number}", EniState.USABLE if back else EniState.QUARANTINED)
        self.aside ^= {number}

    @rule(number=ENIS, count=st.integers(1, 3))
    def lose(self, number: int, count: int) -> None:
        """EC2 and IMDS agree that addresses are gone: free ones go, assigned ones stay with their pod."""
        if number not in self.cloud:
            return
        gone = sorted(self.cloud[number])[:count]
        kept = self.pool.disown(f"eni-{number}", gone)
        assert set(kept) == set(gone) & set(self.assigned.values())
        for address in gone:
            self.cloud[number].discard(address)
            self.free_since.pop(address, None)

    def available(self) -> set[str]:
        usable = {a for n, ips in self.cloud.items() if n not in self.aside for a in ips}
        return usable & self.free_since.keys()

    @rule(target=pods)
    def add(self) -> PodKey:
        key = PodKey("aws-cni", f"c{self.count()}", "eth0")
        self.expire()
        item = self.pool.assign(key, PodIdentity("ns", key.container_id), Wiring("v"), self.moment())
        if item is None:
            assert not self.available()
            return key
        assert item.address in self.available()
        eni = int(item.eni_id.removeprefix("eni-"))
        used = {n: sum(a in ips for a in self.assigned.values()) for n, ips in self.cloud.items()}
        with_free = [n for n, ips in self.cloud.items() if ips & self.available()]
        assert used[eni] == max(used[n] for n in with_free)
        oldest = min((a for a in self.cloud[eni] if a in self.free_since), key=lambda a: self.free_since[a])
        assert item.address == oldest
        del self.free_since[item.address]
        self.assigned[key] = item.address
        self.ledger.put(item)
        return key

    @rule(key=consumes(pods))
    def delete(self, key: PodKey) -> None:
        cool = self.pool.release(key, self.moment())
        address = self.assigned.pop(key, None)
        assert (cool.address if cool else None) == address
        if cool is not None and address is not None:
            self.cooling[address] = self.now + COOLDOWN
            self.ledger.drop(key)
            self.ledger.cool(cool)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restart(self) -> None:
        """A new pool from the checkpoint and the cloud is the same pool."""
        found = decode(self.ledger.render(), self.moment(), COOLDOWN)
        self.pool = Pool(COOLDOWN)
        self.ledger = Ledger()
        self.pool.restore([with_wiring(item, "eni") for item in found.assignments], found.cooling)
        for item in found.assignments:
            self.ledger.put(item)
        for cool in found.cooling:
            self.ledger.cool(cool)
        self.cooling = {cool.address: cool.until for cool in found.cooling}
        self.free_since = {}
        self.aside = set()
        for number in sorted(self.cloud):
            facts = EniFacts(f"eni-{number}", device_number=number, is_primary=number == 0)
            self.pool.add_eni(facts, number + 1, EniState.USABLE, self.moment())
            ips = sorted(self.cloud[number])
            self.pool.add_addresses(facts.eni_id, ips)
            for address in ips:
                if address not in self.cooling and address not in self.assigned.values():
                    self.free_since[address] = (self.now, self.count())

    @invariant()
    def pool_and_model_agree(self) -> None:
        held = {item.key: item.address for item in self.pool.assignments()}
        assert held == self.assigned
        assert len(set(held.values())) == len(held)
        assert {cool.address for cool in self.pool.cooling()} == set(self.cooling)
        supply = self.pool.supply()
        usable = {a for n, ips in self.cloud.items() if n not in self.aside for a in ips}
        assert (supply.total, supply.free) == (len(usable), len(self.available()))
        assert supply.assigned + supply.cooling + supply.free == supply.total
        assert supply.quarantined == len(set(self.assigned.values()) - usable)
        for key, address in self.assigned.items():
            assert self.pool.quarantined(key) is (address not in usable)

    @invariant()
    def checkpoint_and_pool_agree(self) -> None:
        found = decode(self.ledger.render(), self.moment(), COOLDOWN)
        assert {item.key: item.address for item in found.assignments} == self.assigned
        still = {address for address, until in self.cooling.items() if until > self.now + 1e-3}
        assert still <= {cool.address for cool in found.cooling} <= set(self.cooling)


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPoolMachine = PoolMachine.TestCase
