"""Where capacity comes from: tables of states and wishes."""

from __future__ import annotations

import dataclasses

import pytest
from vpccni_api.reasons import Reason
from vpccni_eni_manager.domain.model import (
    AddressMode,
    Eni,
    Growth,
    InstanceLimits,
    Inventory,
    NetworkCard,
    Profile,
    Source,
)
from vpccni_eni_manager.domain.placement import Assign, CreateEni, Plan, Refuse, free_device_index, plan_growth

M5_LARGE = InstanceLimits(max_enis=3, ipv4_per_eni=10, ipv6_per_eni=10, hypervisor="nitro")
XEN = dataclasses.replace(M5_LARGE, hypervisor="xen")
TWO_CARDS = dataclasses.replace(M5_LARGE, cards=(NetworkCard(0, 3), NetworkCard(1, 2)))


def ips(count: int, net: int = 1) -> tuple[str, ...]:
    return tuple(f"10.0.{net}.{host}" for host in range(10, 10 + count))


def primary(used: int = 0, **fields: object) -> Eni:
    return Eni(eni_id="eni-0", is_primary=True, secondary_ips=ips(used), **fields)  # type: ignore[arg-type]


def eni(device: int, used: int = 0, **fields: object) -> Eni:
    made = Eni(eni_id=f"eni-{device}", device_number=device, secondary_ips=ips(used, device + 1))
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def plan(*enis: Eni, limits: InstanceLimits = M5_LARGE, **growth: object) -> Plan:
    held = Inventory(enis=enis, source=Source.EC2, generation=1)
    return plan_growth(held, limits, Growth(**growth))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("enis", "growth", "expected"),
    [
        # want is honoured up to the room, in one call
        ((primary(),), {"want": 3}, ("eni-0", 3)),
        ((primary(),), {"want": 14}, ("eni-0", 9)),
        ((primary(8),), {"want": 14}, ("eni-0", 1)),
        # the fullest with room first, so that the emptiest can be given back
        ((primary(2), eni(1, 7)), {"want": 1}, ("eni-1", 1)),
        ((primary(9), eni(1, 7)), {"want": 5}, ("eni-1", 2)),
        ((primary(2), eni(1, 2)), {"want": 1}, ("eni-0", 1)),
        # a prefix takes the slot of an address
        ((primary(0, ipv4_prefixes=("10.0.1.16/28",) * 9), eni(1)), {"want": 1}, ("eni-1", 1)),
        ((primary(3),), {"want": 9, "mode": AddressMode.PREFIX_IPV4}, ("eni-0", 6)),
        # one /80 per ENI
        ((primary(),), {"want": 4, "mode": AddressMode.PREFIX_IPV6}, ("eni-0", 1)),
        (
            (primary(ipv6_prefixes=("2001:db8::/80",)), eni(1)),
            {"want": 1, "mode": AddressMode.PREFIX_IPV6},
            ("eni-1", 1),
        ),
        # never these
        ((primary(), eni(1, 3, managed=False)), {"want": 1}, ("eni-0", 1)),
        ((primary(), eni(1, 3, interface_type="trunk")), {"want": 1}, ("eni-0", 1)),
        ((primary(), eni(1, 3, interface_type="efa")), {"want": 1}, ("eni-0", 1)),
        ((primary(), eni(1, 3, status="detaching")), {"want": 1}, ("eni-0", 1)),
        ((primary(), eni(1, 3, status="attaching")), {"want": 1}, ("eni-0", 1)),
        ((primary(), eni(1, 3, excluded_why="tag")), {"want": 1}, ("eni-0", 1)),
        ((primary(4), eni(1)), {"want": 1, "excluded_enis": frozenset({"eni-0"})}, ("eni-1", 1)),
        # an ENIConfig: only ENIs in its subnet, never the primary
        (
            (primary(4, subnet_id="s"), eni(1, 2, subnet_id="other"), eni(2, 1, subnet_id="s")),
            {"want": 1, "profile": Profile("az-a", "s")},
            ("eni-2", 1),
        ),
    ],
)
def test_fills_what_is_attached(enis: tuple[Eni, ...], growth: dict[str, object], expected: tuple[str, int]) -> None:
    found = plan(*enis, **growth)
    assert isinstance(found, Assign), found
    assert (found.eni.eni_id, found.count) == expected


@pytest.mark.parametrize(
    ("enis", "growth", "expected"),
    [
        ((primary(9),), {"want": 3}, CreateEni(0, 1, 3)),
        ((primary(9),), {"want": 30}, CreateEni(0, 1, 9)),
        ((primary(9),), {"want": 1, "whole_eni": True}, CreateEni(0, 1, 9)),
        ((primary(9), eni(2, 9)), {"want": 1}, CreateEni(0, 1, 1)),
        ((primary(9), eni(1, 0, status="detaching")), {"want": 1}, CreateEni(0, 2, 1)),
        ((primary(9), eni(1, managed=False)), {"want": 1}, CreateEni(0, 2, 1)),
        ((primary(4),), {"want": 5, "profile": Profile("a", "s")}, CreateEni(0, 1, 5)),
        ((primary(9),), {"want": 4, "mode": AddressMode.PREFIX_IPV4}, CreateEni(0, 1, 4)),
        (
            (primary(ipv6_prefixes=("2001:db8::/80",)),),
            {"want": 4, "whole_eni": True, "mode": AddressMode.PREFIX_IPV6},
            CreateEni(0, 1, 1),
        ),
        ((primary(9),), {"want": 1, "max_enis": 2}, CreateEni(0, 1, 1)),
        ((primary(9),), {"want": 1, "reserved_enis": 1}, CreateEni(0, 1, 1)),
    ],
)
def test_makes_an_eni_when_none_has_room(enis: tuple[Eni, ...], growth: dict[str, object], expected: CreateEni) -> None:
    assert plan(*enis, **growth) == expected


def test_cards_are_counted_apart() -> None:
    assert plan(primary(9), eni(1, 9), limits=TWO_CARDS, want=1, network_card=1) == CreateEni(1, 0, 1)
    on_card = eni(0, 9, network_card=1, eni_id="eni-c")
    assert plan(primary(), on_card, limits=TWO_CARDS, want=1, network_card=1) == CreateEni(1, 1, 1)


@pytest.mark.parametrize(
    ("enis", "growth", "limits", "reason", "says"),
    [
        ((primary(9), eni(1, 9), eni(2, 9)), {}, M5_LARGE, Reason.ENI_LIMIT, "3 of 3 ENIs attached"),
        ((primary(9), eni(1, 9)), {"max_enis": 2}, M5_LARGE, Reason.ENI_LIMIT, "2 of 2"),
        ((primary(9), eni(1, 9)), {"reserved_enis": 1}, M5_LARGE, Reason.ENI_LIMIT, "1 slots reserved"),
        # case 86 of ipam.md 3.3: room is max - unmanaged - reserved; every ENI on the card occupies a slot
        (
            (primary(9), eni(1, 9), eni(2, managed=False)),
            {"max_enis": 4, "reserved_enis": 1},
            dataclasses.replace(M5_LARGE, max_enis=4),
            Reason.ENI_LIMIT,
            "3 of 3",
        ),
        ((primary(9),), {"may_create_eni": False}, M5_LARGE, Reason.ENI_LIMIT, "no ENI may be created"),
        ((primary(9),), {"network_card": 3}, TWO_CARDS, Reason.REQUEST_INVALID, "network_card=3"),
        ((primary(),), {"mode": AddressMode.PREFIX_IPV4}, XEN, Reason.SUBNET_NO_PREFIX, "xen"),
        (
            (primary(),),
            {},
            dataclasses.replace(M5_LARGE, ipv4_per_eni=1),
            Reason.ENI_LIMIT,
            "no address beside its primary",
        ),
    ],
)
def test_refuses_and_says_the_figures(
    enis: tuple[Eni, ...], growth: dict[str, object], limits: InstanceLimits, reason: Reason, says: str
) -> None:
    found = plan(*enis, limits=limits, **growth)
    assert isinstance(found, Refuse), found
    assert found.reason is reason
    assert says in found.message


def test_device_numbers() -> None:
    assert free_device_index((eni(0), eni(1), eni(3)), 0) == 2
    assert free_device_index((eni(0), eni(1)), 0, {2, 3}) == 4
    assert free_device_index((eni(0, network_card=1),), 0) == 0
    assert free_device_index([eni(n) for n in range(100)], 0) is None
