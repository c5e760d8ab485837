"""Pools of two modes at once, excluded ENIs, IPv6, and growth when no prefix is to be had."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest
from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.reasons import Reason, ReasonError
from vpccni_ipam.adapters.eni_client import to_inventory
from vpccni_ipam.domain.checkpoint import Ledger
from vpccni_ipam.domain.giveback import FromEni, GiveBack, plan_give_back, plan_room
from vpccni_ipam.domain.growth import GrowthStep, Room, Slots, next_step, room_left, servable
from vpccni_ipam.domain.model import (
    AddressMode,
    EniFacts,
    EniState,
    InstanceLimits,
    Inventory,
    Moment,
    NodeFacts,
    PodIdentity,
    PodKey,
    Source,
    Wiring,
)
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import Targets, deficit, in_effect, is_high, is_low, spare_eni
from vpccni_ipam.enis import Enis
from vpccni_ipam.grow import Grow
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import Grown, GrowthRequest
from vpccni_ipam.tally import Tally

NOW = Moment(0, 1_700_000_000)
LATER = Moment(1000, 1_700_001_000)
PREFIXES = Targets(prefixes=True, warm_prefix=1)
NINE = InstanceLimits(3, 10)


def eni(number: int, **more: object) -> EniFacts:
    facts = EniFacts(f"e{number}", device_number=number, primary_ip=f"10.9.0.{number + 1}", is_primary=number == 0)
    return dataclasses.replace(facts, **more)  # type: ignore[arg-type]


def make(*enis: tuple[int, int], prefixes_first: bool = False) -> Pool:
    """ENIs with (single addresses, /28 prefixes)."""
    pool = Pool(0, prefixes_first=prefixes_first)
    for number, (singles, prefixes) in enumerate(enis):
        pool.add_eni(eni(number), number + 1, EniState.USABLE, NOW)
        pool.add_addresses(f"e{number}", [f"10.0.{number}.{n}" for n in range(singles)])
        for n in range(prefixes):
            pool.add_prefix(f"e{number}", f"10.1.{number}.{16 * n}/28")
    return pool


def assign(pool: Pool, name: object) -> str | None:
    item = pool.assign(PodKey("aws-cni", f"c{name}", "eth0"), PodIdentity(), Wiring("v"), NOW)
    return item.address if item else None


def test_new_pods_get_the_mode_in_use_on_every_eni_and_the_other_as_the_last_resort() -> None:
    pool = make((2, 0), (0, 1))
    assert [assign(pool, n) for n in range(2)] == ["10.0.0.0", "10.0.0.1"]
    pool.set_mode(prefixes=True)
    pool.add_addresses("e0", ["10.0.0.7"])
    assert [assign(pool, n) for n in range(2, 19)] == [f"10.1.1.{n}" for n in range(16)] + ["10.0.0.7"]
    assert assign(pool, 99) is None
    pool.set_mode(prefixes=False)
    pool.release(PodKey("aws-cni", "c5", "eth0"), NOW)
    pool.expire(LATER)
    assert assign(pool, 100) == "10.1.1.3"


def test_the_fuller_of_two_prefixes_comes_first_in_the_other_mode_too() -> None:
    pool = make((0, 2), prefixes_first=True)
    assign(pool, 0)
    pool.set_mode(prefixes=False)
    assert assign(pool, 1) == "10.1.0.1"


def test_free_addresses_of_the_other_mode_are_no_supply_unless_they_stand_in() -> None:
    pool = make((9, 1), prefixes_first=True)
    assign(pool, "a")
    assert pool.supply() == Supply(total=16, assigned=1, free=15, prefixes=1, other_mode=9)
    pool.singles_stand_in = True
    assert pool.supply() == Supply(total=25, assigned=1, free=24, prefixes=1)
    pool.singles_stand_in = False
    pool.set_mode(prefixes=False)
    assert pool.supply() == Supply(total=10, assigned=1, free=9, prefixes=1, other_mode=15)


def test_an_excluded_eni_gives_nothing_and_keeps_its_pods() -> None:
    pool = make((3, 0), (3, 0))
    first = assign(pool, "a")
    pool.set_facts(eni(0, excluded_why="subnet-1 is tagged 0"))
    assert assign(pool, "b") == "10.0.1.0"
    assert not pool.quarantined(PodKey("aws-cni", "ca", "eth0"))
    assert pool.supply() == Supply(total=4, assigned=2, free=2, singles_in_use=2)
    assert room_left(Slots(NINE, 3), pool.enis.values(), 0) == Room(6, 1, 9)
    plan = plan_give_back(Targets(warm_eni=1), pool.supply(), NINE, pool.enis.values(), LATER.unix)
    assert plan == GiveBack(addresses=(FromEni("e0", ips=("10.0.0.2", "10.0.0.1")),))
    pool.set_facts(eni(0))
    assert pool.supply().free == 4
    assert first == "10.0.0.0"


@pytest.mark.parametrize(("age", "keep", "goes"), [(100, False, True), (59, False, False), (100, True, False)])
def test_case_34_an_excluded_secondary_without_pods_goes(age: float, keep: bool, goes: bool) -> None:
    pool = make((9, 0), (0, 0))
    pool.set_facts(eni(1, excluded_why="tagged 0"))
    now = NOW.unix + age
    plan = plan_give_back(Targets(), pool.supply(), NINE, pool.enis.values(), now, keep_enis=keep)
    assert plan.eni_ids == (("e1",) if goes else ())


def test_slots_for_prefixes_are_made_where_singles_take_them_all() -> None:
    pool = make((9, 0), (9, 0), prefixes_first=True)
    assert plan_room(PREFIXES, pool.supply(), NINE, pool.enis.values()) == GiveBack(
        addresses=(FromEni("e0", ips=("10.0.0.8",)),)
    )
    pool.remove_addresses("e0", ["10.0.0.8"])
    assert not plan_room(PREFIXES, pool.supply(), NINE, pool.enis.values()), "there is a slot now"
    pool.add_prefix("e0", "10.1.0.0/28")
    assert not plan_room(PREFIXES, pool.supply(), NINE, pool.enis.values()), "the target is met"
    plan = plan_give_back(PREFIXES, pool.supply(), NINE, pool.enis.values(), NOW.unix)
    assert [(item.eni_id, len(item.ips)) for item in plan.addresses] == [("e1", 9), ("e0", 8)]


def test_slots_for_singles_are_made_of_free_prefixes() -> None:
    pool = make((0, 9))
    assert plan_room(Targets(warm_ip=2), pool.supply(), NINE, pool.enis.values()) == GiveBack(
        addresses=(FromEni("e0", prefixes=("10.1.0.128/28", "10.1.0.112/28")),)
    )


def test_no_room_is_made_while_singles_stand_in_or_without_need() -> None:
    pool = make((9, 0), prefixes_first=True)
    pool.singles_stand_in = True
    targets = in_effect(PREFIXES, singles_stand_in=True)
    assert not plan_room(targets, pool.supply(), NINE, pool.enis.values())


STAND_IN = [
    (Targets(prefixes=True, warm_prefix=2), Targets(warm_prefix=2, warm_ip=32)),
    (Targets(prefixes=True, warm_prefix=0), Targets(warm_ip=1)),
    (Targets(prefixes=True, warm_prefix=1, warm_ip=3, minimum_ip=9), Targets(warm_prefix=1, warm_ip=3, minimum_ip=9)),
    (Targets(prefixes=True, warm_prefix=1, minimum_ip=9), Targets(warm_prefix=1, minimum_ip=9)),
    (Targets(warm_eni=2), Targets(warm_eni=2)),
    (Targets(prefixes=True, ipv6=True), Targets(prefixes=True, ipv6=True)),
]


@pytest.mark.parametrize(("configured", "expected"), STAND_IN)
def test_targets_while_singles_stand_in(configured: Targets, expected: Targets) -> None:
    assert in_effect(configured, singles_stand_in=True) == expected
    assert in_effect(configured, singles_stand_in=False) == configured


def test_one_prefix_is_all_that_ipv6_needs() -> None:
    targets = Targets(prefixes=True, ipv6=True, warm_eni=3, warm_ip=5, max_pods=29)
    assert targets.mode is AddressMode.PREFIX_IPV6
    pool = Pool(0, prefixes_first=True)
    pool.add_eni(eni(0), 254, EniState.USABLE, NOW)
    room = room_left(Slots(NINE, 3), pool.enis.values(), 0, ipv6=True)
    assert room == Room(1, 2, 1)
    assert next_step(targets, pool.supply(), NINE, room) == GrowthStep(1, False, True)
    assert servable(targets, pool.supply(3), room) >= 29
    pool.add_prefix("e0", "2001:db8::/80")
    supply = pool.supply(waiting=40)
    assert not is_low(targets, supply, NINE) and not is_high(targets, supply) and deficit(targets, supply, NINE) == 0
    assert not spare_eni(targets, supply, NINE, empty_secondary=True)
    assert room_left(Slots(NINE, 3), pool.enis.values(), 0, ipv6=True).attached == 0


def test_the_pool_hears_only_of_the_pods_family() -> None:
    message = eni_pb2.InventoryResponse(
        enis=[
            eni_pb2.Eni(
                eni_id="e0",
                primary_ip="10.0.0.4",
                subnet_cidr="10.0.0.0/24",
                subnet_ipv6_cidr="2001:db8::/64",
                secondary_ips=["10.0.0.5"],
                ipv4_prefixes=["10.0.0.16/28"],
                ipv6_addresses=["2001:db8::4"],
                ipv6_prefixes=["2001:db8:0:0:1::/80"],
                excluded_why="tagged",
            )
        ]
    )
    (four,), (six,) = to_inventory(message).enis, to_inventory(message, ipv6=True).enis
    assert (four.primary_ip, four.subnet_cidr) == ("10.0.0.4", "10.0.0.0/24")
    assert (four.secondary_ips, four.ipv4_prefixes, four.ipv6_prefixes) == (("10.0.0.5",), ("10.0.0.16/28",), ())
    assert (six.primary_ip, six.subnet_cidr) == ("2001:db8::4", "2001:db8::/64")
    assert (six.secondary_ips, six.ipv4_prefixes, six.ipv6_prefixes) == ((), (), ("2001:db8:0:0:1::/80",))
    assert four.excluded_why == six.excluded_why == "tagged"


class HandClock:
    """Time passes when told so."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return 1_700_000_000 + self.at

    def monotonic(self) -> float:
        return self.at


class Cloud:
    """Capacity in a dictionary; ``fragmented``: no subnet has a prefix, ``full``: nor an address."""

    def __init__(self) -> None:
        self.fragmented = True
        self.full = False
        self.steps = 0
        self.asked: list[tuple[AddressMode, int]] = []
        self.eni = eni(0)

    async def ensure_capacity(self, request: GrowthRequest, timeout: float) -> Grown:
        want = request.step.want
        self.asked.append((request.mode, want))
        self.steps += 1
        ips: tuple[str, ...] = ()
        prefixes: tuple[str, ...] = ()
        if self.full:
            raise ReasonError(Reason.SUBNET_FULL, "no free address")
        if request.mode is AddressMode.SECONDARY_IP:
            ips = tuple(f"10.0.{self.steps}.{n}" for n in range(want))
        elif self.fragmented:
            raise ReasonError(Reason.SUBNET_NO_PREFIX, "no block of 16 is free")
        else:
            prefixes = tuple(f"10.1.{self.steps}.{16 * n}/28" for n in range(want))
        self.eni = dataclasses.replace(
            self.eni,
            secondary_ips=self.eni.secondary_ips + ips,
            ipv4_prefixes=self.eni.ipv4_prefixes + prefixes,
        )
        return Grown("assigned", "e0", ips, prefixes, Inventory((self.eni,), Source.EC2))

    async def describe(self, timeout: float) -> NodeFacts:
        raise NotImplementedError

    async def inventory(self, source: Source, timeout: float) -> Inventory:
        return Inventory((self.eni,), source)

    async def release_capacity(self, what: GiveBack, timeout: float) -> Inventory:
        raise NotImplementedError

    async def watch_inventory(self) -> AsyncIterator[Inventory]:
        yield Inventory((self.eni,), Source.EC2)


class NoStore:
    async def commit(self, *, gather: bool) -> None:
        return None


def test_without_prefixes_growth_goes_on_with_singles_and_asks_for_prefixes_ever_less_often() -> None:
    """When it grows anyway; a pool at rest asks once in four hours."""

    async def body() -> None:
        clock, cloud = HandClock(), Cloud()
        pool = Pool(0, prefixes_first=True)
        pool.add_eni(cloud.eni, 254, EniState.USABLE, Moment(clock.monotonic(), clock.now()))
        owner = PoolOwner(pool, NoStore(), Ledger(), clock, Tally())
        grow = Grow(owner, Enis(owner, None, 9001), cloud, PREFIXES)  # type: ignore[arg-type]
        grow.slots = Slots(InstanceLimits(4, 50), 4)

        async def settle() -> list[tuple[AddressMode, int]]:
            cloud.asked.clear()
            for _ in range(8):
                if not await grow():
                    clock.at += 0.5  # a burst is given time to be complete
            return list(cloud.asked)

        single, prefix = AddressMode.SECONDARY_IP, AddressMode.PREFIX_IPV4
        assert await settle() == [(prefix, 1), (single, 16)]
        assert await settle() == []
        assert deficit(grow.targets, owner.supply(), grow.slots.limits) == 0
        pods = iter(range(9))

        def one_more_pod() -> None:
            assert owner.assign(PodKey("aws-cni", f"c{next(pods)}", "eth0"), PodIdentity(), Wiring("v"))

        for pause in (60, 120, 240):
            one_more_pod()
            assert await settle() == [(single, 1)]
            clock.at += pause
            assert await settle() == []
            one_more_pod()
            assert await settle() == [(prefix, 1), (single, 1)]
        clock.at += 4 * 3600
        assert await settle() == [(prefix, 1)], "the singles are still there"
        cloud.fragmented = False
        clock.at += 4 * 3600
        assert await settle() == [(prefix, 1)]
        assert owner.supply().other_mode == 16, "to be given back"
        assert grow.next_try() is None

    asyncio.run(body())


def test_a_pool_that_is_only_below_its_target_is_patient_until_an_add_waits() -> None:
    async def body() -> None:
        clock, cloud = HandClock(), Cloud()
        pool = Pool(0)
        pool.add_eni(cloud.eni, 254, EniState.USABLE, Moment(clock.monotonic(), clock.now()))
        owner = PoolOwner(pool, NoStore(), Ledger(), clock, Tally())
        grow = Grow(owner, Enis(owner, None, 9001), cloud, Targets(warm_ip=2))  # type: ignore[arg-type]
        grow.slots = Slots(InstanceLimits(4, 50), 4)
        cloud.full = True

        async def next_try() -> float:
            await grow()
            due = grow.next_try()
            assert due is not None
            return due

        start = clock.at
        while clock.at < start + 24 * 3600 or await next_try() - clock.at < 300:
            clock.at = max(clock.at, await next_try()) + 0.001
        assert len(cloud.asked) <= 24 * 60 / 10, "a pause of up to 30 minutes, 15 on average, after a few shorter ones"
        cloud.full, tried = False, len(cloud.asked)
        clock.at += 130
        await grow()
        assert len(cloud.asked) == tried, "still patient"
        waiter = owner.enqueue(PodKey("aws-cni", "c", "eth0"), PodIdentity(), Wiring("v"), 50.0)
        while len(cloud.asked) == tried:
            clock.at += 0.1  # a burst is given time to be complete
            await grow()
        owner.serve()
        assert (await waiter.future).address

    asyncio.run(body())


def test_a_cordoned_node_does_not_grow_and_says_so() -> None:
    async def body() -> None:
        clock, cloud = HandClock(), Cloud()
        pool = Pool(0)
        pool.add_eni(cloud.eni, 254, EniState.USABLE, Moment(clock.monotonic(), clock.now()))
        owner = PoolOwner(pool, NoStore(), Ledger(), clock, Tally())
        grow = Grow(owner, Enis(owner, None, 9001), cloud, Targets())  # type: ignore[arg-type]
        grow.slots = Slots(NINE, 3)
        owner.cordoned = "node n1 is cordoned"
        waiter = owner.enqueue(PodKey("aws-cni", "c", "eth0"), PodIdentity(), Wiring("v"), 5.0)
        assert not await grow()
        with pytest.raises(ReasonError, match="cordoned") as caught:
            await waiter.future
        assert caught.value.reason is Reason.NODE_NOT_GROWING and not cloud.asked
        owner.cordoned = ""
        assert await grow() and cloud.asked == [(AddressMode.SECONDARY_IP, 9)]

    asyncio.run(body())
