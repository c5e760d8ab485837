"""Address accounting of a subnet: what is free, what is chosen, what is refused."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from vpccni_lab.ec2.pools import (
    AddressRefusedError,
    AddressTakenError,
    Ipv4Pool,
    Ipv6Pool,
    NoBlockError,
    PoolFullError,
    take_each,
)


def ip(text: str) -> int:
    return int(IPv4Address(text))


def ip6(text: str) -> int:
    return int(IPv6Address(text))


@pytest.fixture(params=["sequential", "random"])
def pool24(request: pytest.FixtureRequest) -> Ipv4Pool:
    return Ipv4Pool(IPv4Network("10.0.1.0/24"), random.Random(7) if request.param == "random" else None)


@pytest.mark.parametrize(("length", "free"), [(28, 11), (27, 27), (24, 251), (16, 65531)])
def test_a_new_subnet_lacks_the_five_addresses_that_ec2_keeps(length: int, free: int) -> None:
    assert Ipv4Pool(IPv4Network(f"10.0.0.0/{length}")).free == free


def test_every_address_but_ec2s_own_is_given_once(pool24: Ipv4Pool) -> None:
    taken = pool24.take_any(251)
    own = {ip("10.0.1.0"), ip("10.0.1.1"), ip("10.0.1.2"), ip("10.0.1.3"), ip("10.0.1.255")}
    assert set(taken) == {ip("10.0.1.0") + n for n in range(256)} - own
    assert pool24.free == 0
    with pytest.raises(PoolFullError):
        pool24.take_any(1)


def test_sequential_choice_takes_the_lowest_free() -> None:
    pool = Ipv4Pool(IPv4Network("10.0.1.0/24"))
    assert [str(IPv4Address(a)) for a in pool.take_any(2)] == ["10.0.1.4", "10.0.1.5"]
    pool.release(ip("10.0.1.4"))
    assert pool.take_any(1) == [ip("10.0.1.4")]


def test_random_choice_repeats_for_a_seed_and_differs_between_seeds() -> None:
    def choice(seed: int) -> list[int]:
        return Ipv4Pool(IPv4Network("10.0.0.0/16"), random.Random(seed)).take_any(20)

    assert choice(1) == choice(1)
    assert choice(1) != choice(2)


def test_asking_for_more_than_is_free_takes_nothing(pool24: Ipv4Pool) -> None:
    pool24.take_any(249)
    with pytest.raises(PoolFullError):
        pool24.take_any(3)
    assert pool24.free == 2


@pytest.mark.parametrize("address", ["10.0.1.0", "10.0.1.3", "10.0.1.255", "10.0.2.4", "9.255.255.255"])
def test_an_address_that_is_ec2s_or_outside_is_refused(pool24: Ipv4Pool, address: str) -> None:
    with pytest.raises(AddressRefusedError):
        pool24.take(ip(address))
    assert pool24.free == 251


def test_a_named_address_is_given_once(pool24: Ipv4Pool) -> None:
    pool24.take(ip("10.0.1.77"))
    with pytest.raises(AddressTakenError):
        pool24.take(ip("10.0.1.77"))
    assert pool24.free == 250


@pytest.mark.parametrize("address", ["10.0.1.9", "10.0.1.1", "10.0.1.33"])
def test_releasing_what_was_not_taken_is_a_defect(address: str) -> None:
    pool = Ipv4Pool(IPv4Network("10.0.1.0/24"))
    pool.take_prefix(ip("10.0.1.32"))
    with pytest.raises(ValueError, match="not a taken address"):
        pool.release(ip(address))


def test_a_24_has_fourteen_blocks_for_prefixes(pool24: Ipv4Pool) -> None:
    blocks = pool24.take_any_prefixes(14)
    assert sorted(blocks) == [ip("10.0.1.16") + 16 * n for n in range(14)]
    assert pool24.free == 251 - 14 * 16
    with pytest.raises(NoBlockError):
        pool24.take_any_prefixes(1)


def test_enough_addresses_but_no_aligned_block_is_fragmentation(pool24: Ipv4Pool) -> None:
    take_each([ip("10.0.1.0") + 16 * n + 8 for n in range(16)], pool24.take, pool24.release)
    with pytest.raises(NoBlockError):
        pool24.take_any_prefixes(1)
    assert pool24.free == 235


def test_too_few_addresses_for_the_prefixes_is_a_full_subnet(pool24: Ipv4Pool) -> None:
    with pytest.raises(PoolFullError):
        pool24.take_any_prefixes(16)


def test_prefixes_are_all_or_nothing(pool24: Ipv4Pool) -> None:
    for block in range(1, 14):
        pool24.take(ip("10.0.1.0") + 16 * block)
    before = pool24.free
    with pytest.raises(NoBlockError):
        pool24.take_any_prefixes(2)
    assert pool24.free == before
    assert pool24.take_any_prefixes(1) == [ip("10.0.1.224")]


@pytest.mark.parametrize("base", ["10.0.1.8", "10.0.1.0", "10.0.1.240", "10.0.2.16"])
def test_a_prefix_that_is_unaligned_or_holds_ec2s_addresses_is_refused(pool24: Ipv4Pool, base: str) -> None:
    with pytest.raises(AddressRefusedError):
        pool24.take_prefix(ip(base))


def test_a_prefix_over_a_used_address_is_taken_and_the_other_way_round(pool24: Ipv4Pool) -> None:
    pool24.take(ip("10.0.1.40"))
    with pytest.raises(AddressTakenError):
        pool24.take_prefix(ip("10.0.1.32"))
    pool24.take_prefix(ip("10.0.1.64"))
    with pytest.raises(AddressTakenError):
        pool24.take(ip("10.0.1.70"))


def test_a_released_prefix_gives_its_addresses_back(pool24: Ipv4Pool) -> None:
    pool24.take_prefix(ip("10.0.1.64"))
    pool24.release_prefix(ip("10.0.1.64"))
    assert pool24.free == 251
    assert pool24.take(ip("10.0.1.70")) == ip("10.0.1.70")


def test_reservations_steer_automatic_choice(pool24: Ipv4Pool) -> None:
    pool24.reservations.add(IPv4Network("10.0.1.128/25"), "prefix")
    pool24.reservations.add(IPv4Network("10.0.1.64/26"), "explicit")
    assert all(block >= ip("10.0.1.128") for block in pool24.take_any_prefixes(7))
    assert pool24.take_any_prefixes(1)[0] < ip("10.0.1.64")  # the reservation is used up (its last block holds .255)
    pool24.release_prefix(next(b for b in (ip("10.0.1.16"), ip("10.0.1.32"), ip("10.0.1.48")) if pool24.is_used(b)))
    singles = pool24.take_any(60)
    assert max(singles) < ip("10.0.1.64")
    with pytest.raises(PoolFullError):
        pool24.take_any(1)
    assert pool24.take(ip("10.0.1.100")) == ip("10.0.1.100")


def test_reservations_must_not_overlap(pool24: Ipv4Pool) -> None:
    pool24.reservations.add(IPv4Network("10.0.1.128/25"), "prefix")
    with pytest.raises(AddressTakenError):
        pool24.reservations.add(IPv4Network("10.0.1.192/26"), "explicit")


@pytest.mark.parametrize("rng", [None, random.Random(3)], ids=["sequential", "random"])
def test_ipv6_addresses_and_prefixes_keep_apart(rng: random.Random | None) -> None:
    pool = Ipv6Pool(IPv6Network("2001:db8:0:1::/64"), rng)
    prefixes = pool.take_any_prefixes(50)
    addresses = pool.take_any(200)
    assert len(set(prefixes)) == 50
    assert len(set(addresses)) == 200
    assert not {a >> 48 for a in addresses} & {p >> 48 for p in prefixes}
    own = ip6("2001:db8:0:1::") >> 48, ip6("2001:db8:0:1:ffff::") >> 48
    assert not set(own) & {p >> 48 for p in prefixes}


@pytest.mark.parametrize(
    ("base", "error"),
    [
        ("2001:db8:0:1:5::1", AddressRefusedError),
        ("2001:db8:0:1::", AddressRefusedError),
        ("2001:db8:0:1:ffff::", AddressRefusedError),
        ("2001:db8:0:2:5::", AddressRefusedError),
        ("2001:db8:0:1:7::", AddressTakenError),
        ("2001:db8:0:1:8::", AddressTakenError),
    ],
)
def test_ipv6_prefixes_that_are_refused(base: str, error: type[Exception]) -> None:
    pool = Ipv6Pool(IPv6Network("2001:db8:0:1::/64"))
    pool.take(ip6("2001:db8:0:1:7::99"))
    pool.take_prefix(ip6("2001:db8:0:1:8::"))
    with pytest.raises(error):
        pool.take_prefix(ip6(base))


def test_ipv6_release_and_refusals() -> None:
    pool = Ipv6Pool(IPv6Network("2001:db8:0:1::/64"))
    pool.take(ip6("2001:db8:0:1::aaaa"))
    with pytest.raises(AddressTakenError):
        pool.take(ip6("2001:db8:0:1::aaaa"))
    pool.release(ip6("2001:db8:0:1::aaaa"))
    pool.take(ip6("2001:db8:0:1::aaaa"))
    for refused in ("2001:db8:0:1::", "2001:db8:0:1::3", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::9"):
        with pytest.raises(AddressRefusedError):
            pool.take(ip6(refused))
    block = pool.take_any_prefixes(1)[0]
    with pytest.raises(AddressTakenError):
        pool.take(block + 5)
    pool.release_prefix(block)
    assert pool.take(block + 5) == block + 5


def test_ipv6_prefix_reservation_is_used_first_then_the_rest() -> None:
    pool = Ipv6Pool(IPv6Network("2001:db8:0:1::/64"), random.Random(1))
    pool.reservations.add(IPv6Network("2001:db8:0:1:4000::/79"), "prefix")
    first = pool.take_any_prefixes(2)
    assert {str(IPv6Address(p)) for p in first} == {"2001:db8:0:1:4000::", "2001:db8:0:1:4001::"}
    assert pool.take_any_prefixes(1)[0] not in first


def test_take_each_gives_back_what_it_took_before_the_refusal() -> None:
    pool = Ipv4Pool(IPv4Network("10.0.1.0/24"))
    with pytest.raises(AddressRefusedError):
        take_each([ip("10.0.1.10"), ip("10.0.1.11"), ip("10.0.1.1")], pool.take, pool.release)
    assert pool.free == 251
