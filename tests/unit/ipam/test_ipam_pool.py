"""The pool by example: order of choice, cooldown, quarantine, what may be taken out."""

from __future__ import annotations

import pytest
from vpccni_ipam.domain.block import FRESH_MAX
from vpccni_ipam.domain.giveback import FromEni, GiveBack, eni_to_release, old_enough_in, plan_give_back
from vpccni_ipam.domain.model import (
    AddressState,
    Assignment,
    Cooling,
    EniFacts,
    EniState,
    InstanceLimits,
    Moment,
    PodIdentity,
    PodKey,
    Wiring,
)
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.targets import Targets

NOBODY = PodIdentity()


def at(second: float) -> Moment:
    return Moment(second, 1_700_000_000 + second)


def key(name: object) -> PodKey:
    return PodKey("aws-cni", f"c{name}", "eth0")


def make(*sizes: int, cooldown: float = 30, prefixes: tuple[str, ...] = ()) -> Pool:
    """ENI n has device number n and addresses 10.0.n.1, 10.0.n.2, …; ENI 0 is the primary and has ``prefixes``."""
    pool = Pool(cooldown, prefixes_first=bool(prefixes))
    for number, size in enumerate(sizes):
        facts = EniFacts(f"eni-{number}", device_number=number, primary_ip=f"10.9.{number}.1", is_primary=number == 0)
        pool.add_eni(facts, number + 1 if number else 254, EniState.USABLE, at(0))
        pool.add_addresses(facts.eni_id, [f"10.0.{number}.{n}" for n in range(1, size + 1)])
    for cidr in prefixes:
        pool.add_prefix("eni-0", cidr)
    return pool


def assign(pool: Pool, name: object, second: float = 0) -> str | None:
    item = pool.assign(key(name), NOBODY, Wiring(f"eni{name}"), at(second))
    return item.address if item else None


def test_lowest_address_of_the_first_eni_comes_first_then_the_fullest_eni() -> None:
    pool = make(3, 3)
    assert [assign(pool, n) for n in range(4)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"]
    assert pool.find(key(3)) == Assignment(
        key(3), NOBODY, Wiring("eni3"), "10.0.1.1", 1_700_000_000 * 10**9, "eni-1", 1, 2
    )


def test_fullest_eni_first_so_that_the_other_drains() -> None:
    pool = make(3, 3)
    for n in range(5):
        assign(pool, n)
    pool.release(key(0), at(1))
    pool.release(key(1), at(1))
    pool.expire(at(60))
    assert assign(pool, "x", 61) == "10.0.1.3"  # ENI 1 has 2 pods, ENI 0 has 1


def test_longest_free_address_first() -> None:
    pool = make(3)
    for n in range(3):
        assign(pool, n)
    for n in (1, 0, 2):
        pool.release(key(n), at(n + 1 if n else 5))
    # cooldown ends at 32 (1), 33 (2), 35 (0): each cools 30 s from its own release
    assert pool.next_expiry() == 32
    pool.expire(at(100))
    assert [assign(pool, f"n{n}", 100) for n in range(3)] == ["10.0.0.2", "10.0.0.1", "10.0.0.3"]


def test_a_cooling_address_is_not_given_out_until_its_time_is_over() -> None:
    pool = make(1)
    assign(pool, "a")
    pool.release(key("a"), at(10))
    assert pool.expire(at(39.9)) == []
    assert assign(pool, "b", 39.9) is None
    assert pool.expire(at(40)) == ["10.0.0.1"]
    assert assign(pool, "b", 40) == "10.0.0.1"


def test_one_key_holds_one_address() -> None:
    pool = make(2)
    assign(pool, "a")
    with pytest.raises(ValueError, match="holds an address already"):
        assign(pool, "a")
    assert pool.release(key("nobody"), at(0)) is None


def test_a_prefix_is_used_from_its_network_address_and_the_fullest_prefix_first() -> None:
    pool = make(0, prefixes=("10.1.0.0/28", "10.1.0.16/28"))
    assert [assign(pool, n) for n in range(17)] == [f"10.1.0.{n}" for n in range(17)]
    pool.release(key(16), at(0))
    pool.release(key(3), at(0))
    pool.expire(at(60))
    assert assign(pool, "x", 60) == "10.1.0.3"  # the other prefix is empty and can be given back


def test_secondary_addresses_are_the_last_resort_of_a_prefix_pool() -> None:
    pool = make(2, prefixes=("10.1.0.0/28",))
    given = [assign(pool, n) for n in range(18)]
    assert given[-2:] == ["10.0.0.1", "10.0.0.2"]
    assert given[:16] == [f"10.1.0.{n}" for n in range(16)]


def test_a_v6_prefix_is_lazy_and_bounded_in_memory() -> None:
    pool = make(0, cooldown=0, prefixes=("2001:db8::/80",))
    assert pool.supply().free == 2**48
    assert assign(pool, "first") == "2001:db8::"
    for n in range(FRESH_MAX + 10):
        assert assign(pool, n)
        pool.release(key(n), at(n))
        pool.expire(at(n + 1))
    assert len(pool.enis["eni-0"].blocks["2001:db8::/80"].free) <= FRESH_MAX
    assert pool.supply().free == 2**48 - 1


def test_primary_addresses_never_enter_the_pool() -> None:
    pool = make(1, 1)
    assert pool.add_addresses("eni-0", ["10.9.0.1", "10.9.1.1", "10.0.0.1"]) == 0
    assert pool.supply().total == 2


def test_restored_addresses_are_quarantined_until_their_eni_is_known() -> None:
    pool = Pool(30)
    mine = Assignment(key("a"), NOBODY, Wiring("enia"), "10.0.0.2", 7)
    pool.restore([mine], [Cooling("10.0.0.1", 0, 20)])
    assert pool.quarantined(key("a"))
    assert pool.supply().quarantined == 1
    pool.add_eni(EniFacts("eni-1", device_number=1), 2, EniState.USABLE, at(0))
    pool.add_addresses("eni-1", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    found = pool.find(key("a"))
    assert found is not None
    assert (found.eni_id, found.device_number, found.route_table, found.address) == ("eni-1", 1, 2, "10.0.0.2")
    assert not pool.quarantined(key("a"))
    assert assign(pool, "b") == "10.0.0.3"
    assert assign(pool, "c", 19) is None  # .1 cools until 20
    pool.expire(at(20))
    assert assign(pool, "c", 20) == "10.0.0.1"


def test_restored_addresses_of_a_prefix_are_not_given_twice() -> None:
    pool = Pool(30, prefixes_first=True)
    pool.restore([Assignment(key("a"), NOBODY, Wiring("v"), "10.1.0.1", 7)], [Cooling("10.1.0.0", 0, 20)])
    pool.add_eni(EniFacts("eni-0", is_primary=True), 254, EniState.USABLE, at(0))
    pool.add_prefix("eni-0", "10.1.0.0/28")
    given = [assign(pool, n) for n in range(14)]
    assert given == [f"10.1.0.{n}" for n in range(2, 16)]
    assert assign(pool, "more") is None
    pool.expire(at(20))
    pool.release(key("a"), at(20))
    pool.expire(at(50))
    assert {assign(pool, "x", 50), assign(pool, "y", 50)} == {"10.1.0.0", "10.1.0.1"}
    assert assign(pool, "z", 50) is None


def test_an_eni_that_is_set_aside_gives_no_address_and_keeps_its_pods() -> None:
    pool = make(1, 2)
    assign(pool, 0)
    assign(pool, 1)
    pool.set_state("eni-1", EniState.QUARANTINED)
    assert assign(pool, 2) is None
    assert pool.quarantined(key(1))
    assert not pool.remove_eni("eni-1")
    assert pool.find(key(1)) is not None
    pool.set_state("eni-1", EniState.USABLE)
    assert assign(pool, 2) == "10.0.1.2"


def test_disowned_addresses_leave_unless_a_pod_has_them() -> None:
    pool = make(3)
    assign(pool, "a")
    assert pool.disown("eni-0", ["10.0.0.1", "10.0.0.2", "10.0.0.77"]) == ("10.0.0.1",)
    assert pool.quarantined(key("a"))
    assert pool.supply().total == 1
    pool.release(key("a"), at(0))
    pool.expire(at(60))
    assert assign(pool, "b", 60) == "10.0.0.3"
    assert assign(pool, "c", 60) is None  # neither came back


def test_only_free_addresses_can_be_taken_out() -> None:
    pool = make(3)
    assign(pool, "a")
    assign(pool, "b")
    pool.release(key("b"), at(0))
    assert pool.remove_addresses("eni-0", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) == ("10.0.0.3",)
    eni = pool.enis["eni-0"]
    assert [str(pool.state_of(a, eni)) for a in ("10.0.0.1", "10.0.0.2")] == [
        AddressState.ASSIGNED,
        AddressState.COOLING,
    ]


def test_a_prefix_with_a_cooling_address_stays() -> None:
    pool = make(0, prefixes=("10.1.0.0/28",))
    assign(pool, "a")
    pool.release(key("a"), at(0))
    assert not pool.remove_prefix("eni-0", "10.1.0.0/28")
    pool.expire(at(30))
    assert pool.remove_prefix("eni-0", "10.1.0.0/28")
    assert assign(pool, "b", 40) is None


def aged(*sizes: tuple[int, int], kinds: dict[int, str] | None = None, age: float = 100) -> Pool:
    """ENIs with (addresses, assigned); ENI 0 is primary."""
    pool = Pool(0)
    for number, (size, used) in enumerate(sizes):
        kind = (kinds or {}).get(number, "interface")
        facts = EniFacts(f"e{number + 1}", device_number=number, is_primary=number == 0, interface_type=kind)
        pool.add_eni(facts, number + 1, EniState.USABLE, at(-age))
        pool.add_addresses(facts.eni_id, [f"10.0.{number}.{n}" for n in range(size)])
        for n in range(used):
            assign(pool, f"{number}-{n}")
    return pool


RELEASABLE = [
    ("26", Targets(warm_ip=3, minimum_ip=1), aged((2, 2), (2, 0), (1, 0)), None),
    ("27", Targets(warm_ip=1, minimum_ip=5), aged((2, 2), (2, 0), (1, 0)), None),
    ("28", Targets(warm_ip=2, minimum_ip=4), aged((2, 2), (2, 0), (1, 0)), "e3"),
    ("29", Targets(minimum_ip=3), aged((2, 2), (2, 0)), None),
    ("30", Targets(minimum_ip=2), aged((2, 2), (2, 0)), "e2"),
    ("31", Targets(minimum_ip=2), aged((2, 2), (1, 0), (1, 0), kinds={1: "trunk", 2: "efa"}), None),
    ("32", Targets(minimum_ip=2), aged((2, 2), (1, 0), (1, 0), (0, 0), kinds={1: "trunk", 2: "efa"}), "e4"),
    ("33 young", Targets(minimum_ip=2), aged((2, 2), (2, 0), age=59), None),
    ("34 with pods", Targets(minimum_ip=2), aged((2, 2), (2, 1)), None),
]


@pytest.mark.parametrize(("targets", "pool", "eni"), [c[1:] for c in RELEASABLE], ids=[c[0] for c in RELEASABLE])
def test_which_eni_can_go(targets: Targets, pool: Pool, eni: str | None) -> None:
    assert eni_to_release(targets, pool.enis.values(), at(0).unix) == eni


def test_an_eni_with_a_cooling_address_stays() -> None:
    pool = make(2, 2)
    for n in range(3):
        assign(pool, n)
    pool.release(key(2), at(100))
    assert eni_to_release(Targets(minimum_ip=2), pool.enis.values(), at(110).unix) is None
    pool.expire(at(130))
    assert eni_to_release(Targets(minimum_ip=2), pool.enis.values(), at(130).unix) == "eni-1"


def give_back(targets: Targets, pool: Pool, per_eni: int, now: float = 1000) -> GiveBack:
    limits = InstanceLimits(4, per_eni + 1)
    return plan_give_back(targets, pool.supply(), limits, pool.enis.values(), at(now).unix)


def test_case_22_one_shrink_frees_exactly_what_is_over() -> None:
    pool = aged((2, 1), (2, 1))
    plan = give_back(Targets(warm_ip=1), pool, 2)
    assert plan == GiveBack(addresses=(FromEni("e2", ips=("10.0.1.1",)),))
    pool.remove_addresses("e2", plan.addresses[0].ips)
    assert not give_back(Targets(warm_ip=1), pool, 2)


def test_surplus_comes_off_the_emptiest_eni_and_from_the_end_of_the_order() -> None:
    pool = aged((3, 2), (3, 1), age=0)
    plan = give_back(Targets(warm_ip=1), pool, 3, now=0)
    assert plan == GiveBack(addresses=(FromEni("e2", ips=("10.0.1.2", "10.0.1.1")),))


def test_a_spare_eni_goes_only_when_more_than_the_warm_enis_are_free() -> None:
    pool = aged((3, 1), (3, 0), (3, 0))
    assert give_back(Targets(warm_eni=1), pool, 3).eni_ids == ("e3",)
    pool = aged((3, 3), (3, 0), (3, 1))
    assert not give_back(Targets(warm_eni=1), pool, 3)


@pytest.mark.parametrize(
    ("sizes", "now", "seconds"),
    [
        pytest.param(((1, 1), (2, 0)), 20, 40, id="too young"),
        pytest.param(((1, 1), (2, 0)), 60, None, id="old enough"),
        pytest.param(((1, 1), (2, 1)), 20, None, id="has a pod"),
        pytest.param(((1, 0),), 20, None, id="the primary never goes"),
    ],
)
def test_an_eni_without_pods_is_looked_at_again_when_it_is_a_minute_old(
    sizes: tuple[tuple[int, int], ...], now: float, seconds: float | None
) -> None:
    pool = aged(*sizes, age=0)
    assert old_enough_in(pool.enis.values(), at(now).unix) == seconds


def test_waiting_adds_stop_every_release() -> None:
    pool = aged((3, 1), (3, 0), (3, 0))
    limits = InstanceLimits(4, 4)
    assert not plan_give_back(Targets(warm_eni=1), pool.supply(waiting=1), limits, pool.enis.values(), at(1000).unix)
