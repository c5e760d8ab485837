"""A pool with single addresses, /28 and /80 prefixes at once, whose mode changes under its pods, against a plain model."""

from __future__ import annotations

import ipaddress

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from vpccni_ipam.domain.checkpoint import Ledger, decode
from vpccni_ipam.domain.giveback import plan_give_back, plan_room
from vpccni_ipam.domain.model import EniFacts, EniState, InstanceLimits, Moment, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.restore import with_wiring
from vpccni_ipam.domain.targets import Targets, in_effect

COOLDOWN = 30.0
LIMITS = InstanceLimits(4, 7)
ENIS = st.integers(0, 2)


class ModesMachine(RuleBasedStateMachine):
    """``cloud``: CIDRs per ENI as EC2 has them, single addresses as /32."""

    pods = Bundle("pods")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.prefixes = False
        self.pool = Pool(COOLDOWN)
        self.ledger = Ledger()
        self.cloud: dict[int, set[str]] = {}
        self.excluded: set[int] = set()
        self.assigned: dict[PodKey, str] = {}
        self.serial = 0

    def moment(self) -> Moment:
        return Moment(self.now, 1_700_000_000 + self.now)

    def facts(self, number: int) -> EniFacts:
        why = "tagged" if number in self.excluded else ""
        return EniFacts(f"eni-{number}", device_number=number, is_primary=number == 0, excluded_why=why)

    def home(self, address: str) -> tuple[int, str] | None:
        """ENI and CIDR of an address in the cloud."""
        found = ipaddress.ip_address(address)
        return next(
            ((n, c) for n, cidrs in self.cloud.items() for c in cidrs if found in ipaddress.ip_network(c)), None
        )

    def is_prefix(self, cidr: str) -> bool:
        return not cidr.endswith("/32")

    @rule(number=ENIS)
    def attach(self, number: int) -> None:
        if number not in self.cloud:
            self.cloud[number] = set()
            self.pool.add_eni(self.facts(number), number + 1, EniState.USABLE, self.moment())

    @rule(number=ENIS, kind=st.sampled_from(["single", "v4", "v6"]))
    def grow(self, number: int, kind: str) -> None:
        if number not in self.cloud:
            return
        self.serial += 1
        if kind == "single":
            address = f"10.0.{number}.{self.serial % 250}"
            self.pool.add_addresses(f"eni-{number}", [address])
            self.cloud[number].add(f"{address}/32")
            return
        cidr = f"10.1.{self.serial % 200}.{16 * number}/28" if kind == "v4" else f"2001:db8:0:0:{self.serial:x}::/80"
        self.pool.add_prefix(f"eni-{number}", cidr)
        self.cloud[number].add(cidr)

    @rule()
    def change_mode(self) -> None:
        self.prefixes = not self.prefixes
        self.pool.singles_stand_in = False
        self.pool.set_mode(prefixes=self.prefixes)

    @rule()
    def stand_in(self) -> None:
        if self.prefixes:
            self.pool.singles_stand_in = not self.pool.singles_stand_in

    @rule(number=ENIS)
    def exclude_or_include(self, number: int) -> None:
        if number in self.cloud:
            self.excluded ^= {number}
            self.pool.set_facts(self.facts(number))

    @rule(warm=st.integers(0, 8), minimum=st.integers(0, 8), room=st.booleans())
    def give_back(self, warm: int, minimum: int, room: bool) -> None:
        """Whatever the plan says, no pod and nothing that cools down is in it; and carrying it out works to the letter."""
        self.pool.expire(self.moment())
        lost = {a for a in self.assigned.values() if self.home(a) is None}
        targets = Targets(warm_ip=warm, minimum_ip=minimum, warm_prefix=1, prefixes=self.prefixes)
        targets = in_effect(targets, singles_stand_in=self.pool.singles_stand_in)
        enis, supply = self.pool.enis.values(), self.pool.supply()
        now = self.moment().unix + 100
        plan = plan_room(targets, supply, LIMITS, enis) if room else plan_give_back(targets, supply, LIMITS, enis, now)
        for item in plan.addresses:
            number = int(item.eni_id.removeprefix("eni-"))
            assert self.pool.remove_addresses(item.eni_id, item.ips) == item.ips
            assert all(self.pool.remove_prefix(item.eni_id, cidr) for cidr in item.prefixes)
            self.cloud[number] -= {*(f"{ip}/32" for ip in item.ips), *item.prefixes}
        for eni_id in plan.eni_ids:
            assert eni_id != "eni-0" and self.pool.remove_eni(eni_id)
            del self.cloud[int(eni_id.removeprefix("eni-"))]
            self.excluded.discard(int(eni_id.removeprefix("eni-")))
        assert {a for a in self.assigned.values() if self.home(a) is None} == lost

    @rule(number=ENIS, data=st.data())
    def lose(self, number: int, data: st.DataObject) -> None:
        """EC2 and IMDS agree that something is gone: nobody gets it any more, and its pods are quarantined."""
        if not self.cloud.get(number):
            return
        cidr = data.draw(st.sampled_from(sorted(self.cloud[number])))
        held = {a for a in self.assigned.values() if self.home(a) == (number, cidr)}
        if self.is_prefix(cidr):
            kept = self.pool.disown_prefix(f"eni-{number}", cidr)
        else:
            kept = self.pool.disown(f"eni-{number}", [cidr.removesuffix("/32")])
        assert set(kept) == held
        self.cloud[number].discard(cidr)

    @rule(target=pods)
    def add(self) -> PodKey:
        self.serial += 1
        key = PodKey("aws-cni", f"c{self.serial}", "eth0")
        self.pool.expire(self.moment())
        supply = self.pool.supply()
        item = self.pool.assign(key, PodIdentity("ns", key.container_id), Wiring("v"), self.moment())
        if item is None:
            assert supply.free == supply.other_mode == 0
            return key
        assert item.address not in self.assigned.values()
        assert item.address not in {cool.address for cool in self.pool.cooling()}
        home = self.home(item.address)
        assert home is not None and home[0] not in self.excluded and item.eni_id == f"eni-{home[0]}"
        if self.is_prefix(home[1]) is not self.prefixes:
            wanted = [b for e in self.pool.enis.values() if e.gives for b in e.blocks.values()]
            assert not any(b.free_count for b in wanted if b.is_prefix is self.prefixes), "the mode in use comes first"
        self.assigned[key] = item.address
        self.ledger.put(item)
        return key

    @rule(key=consumes(pods))
    def delete(self, key: PodKey) -> None:
        cool = self.pool.release(key, self.moment())
        assert (cool.address if cool else None) == self.assigned.pop(key, None)
        if cool is not None:
            self.ledger.drop(key)
            self.ledger.cool(cool)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.expired(self.pool.expire(self.moment()))

    @rule(change=st.booleans())
    def restart(self, change: bool) -> None:
        """A new process, perhaps in the other mode, takes over every pod."""
        self.prefixes ^= change
        found = decode(self.ledger.render(), self.moment(), COOLDOWN)
        self.pool, self.ledger = Pool(COOLDOWN, prefixes_first=self.prefixes), Ledger()
        self.pool.restore([with_wiring(item, "eni") for item in found.assignments], found.cooling)
        for item in found.assignments:
            self.ledger.put(item)
        for cool in found.cooling:
            self.ledger.cool(cool)
        for number in sorted(self.cloud):
            self.pool.add_eni(self.facts(number), number + 1, EniState.USABLE, self.moment())
            singles = [c.removesuffix("/32") for c in sorted(self.cloud[number]) if not self.is_prefix(c)]
            self.pool.add_addresses(f"eni-{number}", singles)
            for cidr in sorted(c for c in self.cloud[number] if self.is_prefix(c)):
                self.pool.add_prefix(f"eni-{number}", cidr)

    @invariant()
    def every_pod_keeps_its_address_and_the_sums_are_right(self) -> None:
        held = {item.key: item.address for item in self.pool.assignments()}
        assert held == self.assigned and len(set(held.values())) == len(held)
        lost = {key for key, address in held.items() if self.home(address) is None}
        assert {key for key in held if self.pool.quarantined(key)} == lost
        supply = self.pool.supply()
        busy = [*held.values(), *(cool.address for cool in self.pool.cooling())]
        right = other = 0
        for number, cidrs in self.cloud.items():
            for cidr in cidrs if number not in self.excluded else ():
                network = ipaddress.ip_network(cidr)
                free = network.num_addresses - sum(ipaddress.ip_address(a) in network for a in busy)
                if self.is_prefix(cidr) is self.prefixes or self.pool.singles_stand_in:
                    right += free
                else:
                    other += free
        assert (supply.free, supply.other_mode) == (right, other)
        assert supply.total == supply.assigned + supply.cooling + supply.free
        assert (supply.assigned, supply.quarantined) == (len(held) - len(lost), len(lost))


ModesMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestModesMachine = ModesMachine.TestCase
