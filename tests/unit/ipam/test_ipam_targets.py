"""Target formulas as tables. Numbers in the ids are the rows of the original's case list (reference ipam.md, 3.3)."""

from __future__ import annotations

import pytest
from vpccni_ipam.domain.growth import GrowthStep, Room, Slots, next_step, retry_pause_s, room_left, servable
from vpccni_ipam.domain.model import EniFacts, EniState, InstanceLimits
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.targets import (
    Supply,
    Targets,
    deficit,
    is_high,
    is_low,
    over_addresses,
    over_prefixes,
    pods_by_formula,
    short_addresses,
    short_prefixes,
)


def held(total: int, assigned: int, **more: int) -> Supply:
    """A pool whose addresses are assigned or free."""
    return Supply(total=total, assigned=assigned, free=total - assigned - more.get("cooling", 0), **more)


def prefixed(prefixes: int, assigned: int) -> Supply:
    """Prefixes filled one after the other."""
    used = -(-assigned // 16)
    return Supply(
        total=16 * prefixes,
        assigned=assigned,
        free=16 * prefixes - assigned,
        prefixes=prefixes,
        free_prefixes=prefixes - used,
    )


LOW = [
    ("1", 14, Targets(warm_eni=1), held(0, 0), True),
    ("2", 14, Targets(warm_eni=0), held(0, 0), True),
    ("3", 14, Targets(warm_eni=0, warm_ip=3), held(0, 0), True),
    ("4", 3, Targets(warm_eni=1, warm_ip=1), held(3, 0), False),
    ("5", 3, Targets(warm_eni=1), held(3, 1), True),
    ("6", 3, Targets(warm_eni=0), held(3, 1), False),
    ("7", 3, Targets(warm_eni=1), held(3, 3), True),
    ("8", 3, Targets(warm_eni=0), held(3, 3), True),
    ("9", 3, Targets(warm_ip=5, max_pods=3), held(3, 3), False),
    ("10", 14, Targets(prefixes=True, warm_prefix=1), prefixed(0, 0), True),
    ("11", 14, Targets(prefixes=True), prefixed(0, 0), True),
    ("12", 14, Targets(prefixes=True, warm_prefix=1), prefixed(1, 0), False),
    ("13", 14, Targets(prefixes=True, warm_prefix=1), prefixed(1, 1), True),
    ("14", 14, Targets(prefixes=True), prefixed(1, 1), False),
    ("15", 14, Targets(prefixes=True, warm_prefix=1), prefixed(1, 3), True),
    ("16", 14, Targets(prefixes=True), prefixed(1, 3), False),
    ("17", 14, Targets(prefixes=True, warm_prefix=1, max_pods=4), prefixed(1, 3), False),
    ("42a", 10, Targets(warm_eni=2), held(0, 0), True),
    ("42b", 10, Targets(warm_eni=2), held(10, 0), True),
    ("42c", 10, Targets(warm_eni=2), held(20, 0), False),
    # On purpose other than the original: cooling addresses are no supply, waiting ADDs are demand.
    ("cooling is no supply", 3, Targets(warm_eni=1), held(3, 0, cooling=1), True),
    ("a waiting ADD is demand", 3, Targets(warm_eni=0), Supply(total=3, assigned=3, waiting=1), True),
    ("demand within what is free", 3, Targets(warm_eni=0), held(3, 1, waiting=1), False),
    ("83", 14, Targets(minimum_ip=10), held(10, 10), False),
]


@pytest.mark.parametrize(("per_eni", "targets", "supply", "low"), [c[1:] for c in LOW], ids=[c[0] for c in LOW])
def test_low(per_eni: int, targets: Targets, supply: Supply, low: bool) -> None:
    assert is_low(targets, supply, InstanceLimits(4, per_eni + 1)) is low


ADDRESSES = [
    ("18", Targets(), held(5, 0), 0, 0),
    ("19", Targets(warm_ip=5), held(0, 0), 5, 0),
    ("20", Targets(warm_ip=5), held(2, 0), 3, 0),
    ("21", Targets(warm_ip=5), held(5, 0), 0, 0),
    ("22", Targets(warm_ip=1), held(4, 2), 0, 1),
    ("22 after one", Targets(warm_ip=1), held(3, 2), 0, 0),
    ("80a", Targets(warm_ip=16), held(16, 0), 0, 0),
    ("81a", Targets(warm_ip=1, minimum_ip=12), held(12, 9), 0, 0),
    ("81b", Targets(warm_ip=1, minimum_ip=12), held(12, 12), 1, 0),
    ("82a", Targets(warm_ip=30), held(30, 30), 30, 0),
    ("82b", Targets(warm_ip=2, minimum_ip=30), held(30, 30), 2, 0),
    ("three wait", Targets(warm_ip=2), held(4, 4, waiting=3), 5, 0),
    ("cooling counts as held, not as free", Targets(warm_ip=2, minimum_ip=4), held(4, 1, cooling=2), 1, 0),
]


@pytest.mark.parametrize(
    ("targets", "supply", "short", "over"), [c[1:] for c in ADDRESSES], ids=[c[0] for c in ADDRESSES]
)
def test_short_and_over_addresses(targets: Targets, supply: Supply, short: int, over: int) -> None:
    assert (short_addresses(targets, supply), over_addresses(targets, supply)) == (short, over)


PREFIXES = [
    ("23", Targets(prefixes=True, warm_ip=5), prefixed(0, 0), 1, 0),
    ("24", Targets(prefixes=True, warm_ip=5), prefixed(2, 0), 0, 1),
    ("25", Targets(prefixes=True, warm_ip=5), prefixed(1, 0), 0, 0),
    ("68", Targets(prefixes=True, warm_ip=7, minimum_ip=20), prefixed(0, 0), 2, 0),
    ("80b", Targets(prefixes=True, warm_ip=16), prefixed(1, 1), 1, 0),
    ("warm prefix", Targets(prefixes=True, warm_prefix=2), prefixed(1, 0), 1, 0),
    ("warm prefix, over", Targets(prefixes=True, warm_prefix=1), prefixed(3, 5), 0, 1),
    ("20 wait on 16 free", Targets(prefixes=True), Supply(16, 0, 0, 16, prefixes=1, free_prefixes=1, waiting=20), 1, 0),
]


@pytest.mark.parametrize(
    ("targets", "supply", "short", "over"), [c[1:] for c in PREFIXES], ids=[c[0] for c in PREFIXES]
)
def test_short_and_over_prefixes(targets: Targets, supply: Supply, short: int, over: int) -> None:
    assert (short_prefixes(targets, supply), over_prefixes(targets, supply)) == (short, over)


def test_secondary_addresses_are_never_high_without_address_targets() -> None:
    assert not is_high(Targets(warm_eni=1), held(40, 0))


STEPS = [
    ("35", 14, Targets(warm_eni=1), held(0, 0), Room(0, 3, 14), GrowthStep(14, True, True)),
    ("40", 14, Targets(warm_ip=3), held(0, 0), Room(0, 3, 14), GrowthStep(3, False, True)),
    ("full", 14, Targets(warm_eni=1), held(42, 42), Room(0, 0, 14), None),
    ("not low", 14, Targets(warm_eni=1), held(28, 0), Room(14, 1, 14), None),
    ("only room on attached", 14, Targets(warm_ip=20), held(3, 0), Room(11, 0, 14), GrowthStep(17, False, False)),
    ("prefix", 14, Targets(prefixes=True, warm_prefix=1), prefixed(0, 0), Room(14, 0, 14), GrowthStep(1, False, False)),
    (
        "one call for a burst",
        14,
        Targets(warm_ip=2),
        held(3, 3, waiting=11),
        Room(11, 1, 14),
        GrowthStep(13, False, True),
    ),
]


@pytest.mark.parametrize(
    ("per_eni", "targets", "supply", "room", "step"), [c[1:] for c in STEPS], ids=[c[0] for c in STEPS]
)
def test_next_step(per_eni: int, targets: Targets, supply: Supply, room: Room, step: GrowthStep | None) -> None:
    assert next_step(targets, supply, InstanceLimits(4, per_eni + 1), room) == step


def settle(targets: Targets, limits: InstanceLimits, pods: int) -> tuple[int, int]:
    """(ENIs, addresses or prefixes) after ``pods`` ADDs one by one, each settled, on a node that starts with an empty primary."""
    per_eni = limits.slots_per_eni
    enis, slots = 1, 0
    for assigned in range(pods + 1):
        while True:
            supply = prefixed(slots, assigned) if targets.prefixes else held(slots, assigned)
            room = Room(enis * per_eni - slots, limits.max_enis - enis, per_eni)
            step = next_step(targets, supply, limits, room)
            if step is None:
                break
            if room.attached:
                slots += min(step.want, room.attached)
            else:
                enis, slots = enis + 1, slots + min(step.want, per_eni)
    return enis, slots


T3_SMALL, P3DN, M4_4XLARGE = InstanceLimits(3, 4), InstanceLimits(15, 50), InstanceLimits(8, 30)
EXAMPLES = [
    ("43", T3_SMALL, Targets(), 0, (1, 3)),
    ("44", T3_SMALL, Targets(), 5, (3, 9)),
    ("45", T3_SMALL, Targets(), 9, (3, 9)),
    ("46", T3_SMALL, Targets(warm_ip=1, minimum_ip=1), 0, (1, 1)),
    ("47", T3_SMALL, Targets(warm_ip=1, minimum_ip=1), 5, (2, 6)),
    ("48", T3_SMALL, Targets(warm_ip=1, minimum_ip=1), 9, (3, 9)),
    ("49", T3_SMALL, Targets(warm_ip=2, minimum_ip=5), 0, (2, 5)),
    ("50", T3_SMALL, Targets(warm_ip=2, minimum_ip=5), 5, (3, 7)),
    ("51", T3_SMALL, Targets(warm_ip=2, minimum_ip=5), 9, (3, 9)),
    ("52", P3DN, Targets(), 0, (1, 49)),
    ("53", P3DN, Targets(), 3, (2, 98)),
    ("54", P3DN, Targets(), 95, (3, 147)),
    ("55", P3DN, Targets(warm_ip=5, minimum_ip=10), 0, (1, 10)),
    ("56", P3DN, Targets(warm_ip=5, minimum_ip=10), 7, (1, 12)),
    ("57", P3DN, Targets(warm_ip=5, minimum_ip=10), 15, (1, 20)),
    ("58", P3DN, Targets(warm_ip=5, minimum_ip=10), 45, (2, 50)),
    ("59", T3_SMALL, Targets(prefixes=True, warm_prefix=1), 0, (1, 1)),
    ("60", T3_SMALL, Targets(prefixes=True, warm_prefix=1), 5, (1, 2)),
    ("61", T3_SMALL, Targets(prefixes=True, warm_prefix=1), 16, (1, 2)),
    ("62", T3_SMALL, Targets(prefixes=True, warm_prefix=1), 17, (1, 3)),
    ("63", T3_SMALL, Targets(prefixes=True, warm_prefix=1), 58, (2, 5)),
    ("64", T3_SMALL, Targets(prefixes=True, warm_ip=1, minimum_ip=1), 0, (1, 1)),
    ("65", T3_SMALL, Targets(prefixes=True, warm_ip=1, minimum_ip=1), 5, (1, 1)),
    ("66", T3_SMALL, Targets(prefixes=True, warm_ip=1, minimum_ip=1), 17, (1, 2)),
    ("67", T3_SMALL, Targets(prefixes=True, warm_ip=1, minimum_ip=1), 58, (2, 4)),
    ("69", T3_SMALL, Targets(prefixes=True, warm_ip=7, minimum_ip=20), 5, (1, 2)),
    ("70", T3_SMALL, Targets(prefixes=True, warm_ip=7, minimum_ip=20), 17, (1, 2)),
    ("71", T3_SMALL, Targets(prefixes=True, warm_ip=7, minimum_ip=20), 58, (2, 5)),
    ("72", P3DN, Targets(prefixes=True, warm_prefix=1), 0, (1, 1)),
    ("73", P3DN, Targets(prefixes=True, warm_prefix=1), 3, (1, 2)),
    ("74", P3DN, Targets(prefixes=True, warm_prefix=1), 95, (1, 7)),
    ("75", P3DN, Targets(prefixes=True, warm_ip=5, minimum_ip=10), 0, (1, 1)),
    ("76", P3DN, Targets(prefixes=True, warm_ip=5, minimum_ip=10), 7, (1, 1)),
    ("77", P3DN, Targets(prefixes=True, warm_ip=5, minimum_ip=10), 15, (1, 2)),
    ("78", P3DN, Targets(prefixes=True, warm_ip=5, minimum_ip=10), 45, (1, 4)),
    ("79a", M4_4XLARGE, Targets(), 0, (1, 29)),
    ("79b", M4_4XLARGE, Targets(), 29, (2, 58)),
    ("79c", M4_4XLARGE, Targets(), 30, (3, 87)),
    ("79d", M4_4XLARGE, Targets(), 58, (3, 87)),
    ("79e", M4_4XLARGE, Targets(), 59, (4, 116)),
]


@pytest.mark.parametrize(
    ("limits", "targets", "pods", "expected"), [c[1:] for c in EXAMPLES], ids=[c[0] for c in EXAMPLES]
)
def test_worked_examples(limits: InstanceLimits, targets: Targets, pods: int, expected: tuple[int, int]) -> None:
    assert settle(targets, limits, pods) == expected


def test_case_86_unmanaged_enis_and_the_place_of_a_trunk_to_come_are_no_room() -> None:
    held_by_pool = [PoolEni(EniFacts(f"e{n}", device_number=n), 254, EniState.USABLE, 0, n) for n in range(2)]
    limits = InstanceLimits(4, 10)
    assert room_left(Slots(limits, 4, reserved_enis=1), held_by_pool, 1).new_enis == 0
    assert room_left(Slots(limits, 4, reserved_enis=0), held_by_pool, 1).new_enis == 1
    trunk = PoolEni(EniFacts("t", device_number=2, interface_type="trunk"), 3, EniState.USABLE, 0, 3)
    assert room_left(Slots(limits, 4), [*held_by_pool, trunk], 0) == Room(18, 1, 9)


@pytest.mark.parametrize(
    ("limits", "max_enis", "trunk", "custom", "prefixes", "pods"),
    [
        pytest.param(InstanceLimits(3, 4), 3, 0, False, False, 11, id="t3.small"),
        pytest.param(InstanceLimits(3, 10), 3, 0, False, False, 29, id="m5.large"),
        pytest.param(InstanceLimits(8, 30), 8, 0, False, False, 234, id="m4.4xlarge"),
        pytest.param(InstanceLimits(3, 10), 3, 0, True, False, 20, id="custom networking: not the primary ENI"),
        pytest.param(InstanceLimits(3, 10), 2, 0, False, False, 20, id="MAX_ENI"),
        pytest.param(InstanceLimits(3, 10), 3, 1, True, False, 11, id="a trunk to come as well"),
        pytest.param(InstanceLimits(1, 10), 1, 0, True, False, 2, id="nothing but the primary ENI"),
        pytest.param(InstanceLimits(3, 4), 3, 0, False, True, 146, id="prefixes"),
        pytest.param(InstanceLimits(3, 4), 3, 0, True, True, 98, id="prefixes and custom networking"),
        pytest.param(InstanceLimits(3, 10), 3, 0, False, True, 250, id="prefixes: what kubelet runs at most"),
    ],
)
def test_pods_by_formula(
    limits: InstanceLimits, max_enis: int, trunk: int, custom: bool, prefixes: bool, pods: int
) -> None:
    enis = Slots(limits, max_enis, trunk).pod_enis(without_primary=custom)
    assert pods_by_formula(limits, enis, prefixes=prefixes) == pods


def test_servable_counts_what_is_there_on_its_way_cooling_and_can_be_grown() -> None:
    supply = Supply(total=9, assigned=4, cooling=2, free=1, incoming=2, waiting=30)
    assert servable(Targets(), supply, Room(3, 2, 9)) == 1 + 2 + 2 + 3 + 18
    assert servable(Targets(max_pods=12), supply, Room(3, 2, 9)) == 1 + 2 + 2 + 3


def test_deficit_has_the_sign_of_what_is_missing() -> None:
    limits = InstanceLimits(3, 10)
    assert deficit(Targets(), held(9, 2), limits) == 2
    assert deficit(Targets(), held(27, 2), limits) < 0
    assert deficit(Targets(warm_ip=3), held(9, 2), limits) == -4
    assert deficit(Targets(warm_ip=3, minimum_ip=10), held(9, 2), limits) == 1
    assert deficit(Targets(prefixes=True, warm_prefix=1), prefixed(1, 3), limits) == 3


def test_pauses_after_failed_steps() -> None:
    """At most, that is with a share of 1: by what can change, and whether anybody waits."""

    def longest(*, final: bool, demand: bool) -> list[float]:
        return [round(retry_pause_s(n, 1.0, final=final, demand=demand), 3) for n in (0, 1, 30)]

    assert longest(final=False, demand=True) == longest(final=False, demand=False) == [0.3, 0.5, 20.1]
    assert longest(final=True, demand=True) == [3.0, 5.0, 121.0]
    assert longest(final=True, demand=False) == [3.0, 5.0, 1801.0]
    assert retry_pause_s(30, 0.0, final=True, demand=False) == 1.0
