"""Several network cards: what each aims at and may take, which are left out, and what the records say (ipam.md 2.13, 3.2)."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_ipam.adapters.checkpoint_file import cards_on_disk, path_of_card
from vpccni_ipam.adapters.netconf_client import pod_spec
from vpccni_ipam.card import NOT_ON_THIS_NODE, Card, CardSettings
from vpccni_ipam.domain.checkpoint import Ledger, decode
from vpccni_ipam.domain.eni_numbers import card_of, route_table
from vpccni_ipam.domain.growth import Room, Slots, next_step
from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import (
    Assignment,
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
from vpccni_ipam.domain.node_plan import NodeWishes, efa_only_why, lacks_prefixes, plan_cards
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.reconcile import additions, compare, differs
from vpccni_ipam.domain.restore import ObservedPod, rebuild, split_stale, with_wiring
from vpccni_ipam.domain.result import CniResult, ResultInterface, ResultIp, compose, kept_facts, kept_interfaces
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import Targets, is_high, is_low, on_further_card, over_prefixes
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.tally import Tally
from vpccni_kit.clock import SystemClock

NOW = Moment(1000.0, 1_700_000_000.0)
POD, KEY = PodIdentity("default", "sample-pod", "u1"), PodKey("aws-cni", "c1", "eth0")
LIMITS = InstanceLimits(15, 50, further_cards=((1, 15), (2, 4)))


def on(card: int, address: str, device: int = 0) -> Assignment:
    index = min(card, 1)
    wiring = Wiring(host_veth("eni", POD, KEY, index), "/run/netns/x", 9001, index, 2)
    return Assignment(KEY, POD, wiring, address, 7, f"eni-{card}", device, route_table(device, card))


BOTH = on(0, "10.0.1.7", 2), on(1, "10.0.2.9", 1)


class TestPlan:
    def test_without_the_setting_there_is_one_card(self) -> None:
        assert list(plan_cards(NodeWishes(Targets()), LIMITS)) == [0]

    def test_every_card_has_its_own_limit_and_max_eni_counts_per_card(self) -> None:
        plans = plan_cards(NodeWishes(Targets(), multi_nic=True), LIMITS)
        assert {card: plan.slots.max_enis for card, plan in plans.items()} == {0: 15, 1: 15, 2: 4}
        plans = plan_cards(NodeWishes(Targets(), multi_nic=True, max_eni=6), LIMITS)
        assert {card: plan.slots.max_enis for card, plan in plans.items()} == {0: 6, 1: 6, 2: 4}

    def test_a_slot_for_a_trunk_is_kept_on_card_0_only(self) -> None:
        limits = dataclasses.replace(LIMITS, trunking_compatible=True)
        plans = plan_cards(NodeWishes(Targets(), multi_nic=True, trunk=True), limits)
        assert [plan.slots.reserved_enis for plan in plans.values()] == [1, 0, 0]

    @pytest.mark.parametrize(
        "targets",
        [Targets(), Targets(warm_eni=3), Targets(warm_ip=9, minimum_ip=30), Targets(prefixes=True, warm_prefix=2)],
    )
    def test_further_cards_keep_one_address_at_hand_whatever_the_settings_say(self, targets: Targets) -> None:
        plans = plan_cards(NodeWishes(targets, multi_nic=True, max_pods=110), LIMITS)
        assert plans[0].targets == dataclasses.replace(targets, max_pods=110)
        wanted = (0, 1, 1, 0, targets.prefixes, 110)
        further = plans[1].targets
        assert dataclasses.astuple(further)[:6] == wanted
        assert plans[2].targets == further

    def test_prefixes_only_where_the_instance_has_them(self) -> None:
        xen = dataclasses.replace(LIMITS, prefixes_supported=False)
        plans = plan_cards(NodeWishes(Targets(prefixes=True, warm_prefix=1), multi_nic=True), xen)
        assert not any(plan.targets.prefixes for plan in plans.values())

    def test_an_instance_without_prefixes(self) -> None:
        limits = dataclasses.replace(LIMITS, prefixes_supported=False)
        facts = NodeFacts("i-1", "m4.large", "02:00:00:00:00:01", "10.0.0.4", (), limits)
        assert not lacks_prefixes(Targets(), facts)
        assert lacks_prefixes(Targets(prefixes=True), facts)
        with pytest.raises(ReasonError, match="ENABLE_IPv6=true") as caught:
            lacks_prefixes(Targets(prefixes=True, ipv6=True), facts)
        assert caught.value.reason is Reason.CONFIG_INVALID
        assert not lacks_prefixes(Targets(prefixes=True), dataclasses.replace(facts, limits=LIMITS))


class TestTargetsOfAFurtherCard:
    SINGLE = on_further_card(Targets(warm_eni=2))
    PREFIX = on_further_card(Targets(prefixes=True, warm_prefix=1))

    @pytest.mark.parametrize(
        "supply, low, high",
        [
            (Supply(), True, False),
            (Supply(total=1, free=1), False, False),
            (Supply(total=1, assigned=1), True, False),
            (Supply(total=3, assigned=1, free=2), False, True),
            (Supply(total=2, assigned=1, free=1, waiting=1), True, False),
        ],
    )
    def test_single_addresses(self, supply: Supply, low: bool, high: bool) -> None:
        assert (is_low(self.SINGLE, supply, LIMITS), is_high(self.SINGLE, supply)) == (low, high)

    @pytest.mark.parametrize(
        "assigned, prefixes, over",
        [(0, 1, 0), (1, 1, 0), (15, 1, 0), (16, 2, 0), (0, 2, 1), (1, 3, 2)],
    )
    def test_prefixes_are_counted_in_prefixes(self, assigned: int, prefixes: int, over: int) -> None:
        """Trap 8: the original counts addresses over the target and gives back as many prefixes, an idle card's only one too."""
        total, used = prefixes * 16, -(-assigned // 16)
        supply = Supply(total, assigned, free=total - assigned, prefixes=prefixes, free_prefixes=prefixes - used)
        assert over_prefixes(self.PREFIX, supply) == over

    def test_a_card_without_an_eni_gets_one_with_one_address(self) -> None:
        step = next_step(self.SINGLE, Supply(), LIMITS, Room(0, Slots(LIMITS, 15).max_enis, 49))
        assert step is not None and (step.want, step.whole_eni, step.may_create_eni) == (1, False, True)


@pytest.mark.parametrize(
    "enis, left_out",
    [
        ([], False),
        ([EniFacts("e", network_card=1, interface_type="efa-only", managed=False)], True),
        ([EniFacts("e", network_card=2, interface_type="efa-only", managed=False)], False),
        ([EniFacts("e", network_card=1, interface_type="efa")], False),
        ([EniFacts("e", network_card=1, managed=False)], False),
        (
            [
                EniFacts("e", network_card=1, interface_type="efa-only", managed=False),
                EniFacts("f", network_card=1, device_number=1),
            ],
            False,
        ),
        (
            [
                EniFacts("e", network_card=1, interface_type="efa-only", managed=False),
                EniFacts("f", network_card=1, managed=False),
            ],
            True,
        ),
    ],
)
def test_left_out_is_a_card_whose_only_managed_attachment_is_efa_only(enis: list[EniFacts], left_out: bool) -> None:
    assert bool(efa_only_why(1, enis)) is left_out


def test_who_says_that_a_card_is_left_out() -> None:
    card = Card(
        PoolOwner(Pool(30.0, card=1), NoStore(), Ledger(), SystemClock(), Tally()),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        CardSettings(Targets(), "", 9001, 30.0),
    )
    efa = (EniFacts("e", network_card=1, interface_type="efa-only", managed=False),)
    assert card.owner.left_out_why == NOT_ON_THIS_NODE
    card.plan(plan_cards(NodeWishes(Targets(), multi_nic=True), LIMITS)[1])
    outcomes = []
    for source, enis in [
        (Source.IMDS, efa),
        (Source.EC2, ()),
        (Source.IMDS, efa),  # an ENI that is being attached looks so there
        (Source.EC2, efa),
        (Source.IMDS, ()),
    ]:
        card.look_at(Inventory(enis, source))
        outcomes.append(bool(card.owner.left_out_why))
        assert (card.grow.slots is None) is outcomes[-1]
    assert outcomes == [True, False, False, True, True]
    card.plan(None)
    assert (card.owner.left_out_why, card.grow.slots, card.shrink.slots) == (NOT_ON_THIS_NODE, None, None)


class NoStore:
    async def commit(self, *, gather: bool) -> None:
        return None


def test_a_pool_looks_at_the_enis_of_its_card_only() -> None:
    pool = Pool(30.0, card=1)
    pool.add_eni(EniFacts("eni-1", network_card=1), 10100, EniState.USABLE, NOW)
    own, other = EniFacts("eni-1", network_card=1, secondary_ips=("10.0.2.9",)), EniFacts("eni-0", is_primary=True)
    found = additions(pool, Inventory((other, own), Source.EC2))
    assert found.new_enis == () and [change.ips for change in found.added] == [("10.0.2.9",)]
    assert not differs(pool, Inventory((other, dataclasses.replace(own, secondary_ips=())), Source.IMDS))
    moved = Inventory((other, dataclasses.replace(own, network_card=2)), Source.EC2)
    assert compare(pool, moved, moved).gone_enis == ("eni-1",)


@pytest.mark.parametrize("card, device, table", [(0, 0, 254), (0, 1, 2), (1, 0, 10100), (1, 1, 10101), (2, 3, 10203)])
def test_the_table_tells_the_card(card: int, device: int, table: int) -> None:
    assert route_table(device, card) == table
    assert card_of(table) == card


def test_a_take_back_leaves_no_trace() -> None:
    pool = Pool(30.0)
    pool.add_eni(EniFacts("eni-0"), 254, EniState.USABLE, NOW)
    pool.add_addresses("eni-0", ["10.0.1.7"])
    before = pool.supply()
    for _ in range(3):
        item = pool.assign(KEY, POD, Wiring("eni1"), NOW)
        assert item is not None and item.address == "10.0.1.7"
        pool.take_back(KEY)
        assert (pool.find(KEY), pool.supply(), pool.cooling()) == (None, before, [])
    pool.take_back(KEY)  # nothing to take back


class TestResult:
    """datapath.md 1g, "CNI result", 10.3."""

    def test_one_pair_of_entries_per_card_and_the_dummy_last(self) -> None:
        assert compose(*BOTH) == CniResult(
            (
                ResultInterface("enicc21c2d7785"),
                ResultInterface("eth0", "3", "/run/netns/x"),
                ResultInterface("enia0b7655f3c9"),
                ResultInterface("mNicIf1", "10101", "/run/netns/x"),
                ResultInterface("dummycc21c2d7785", "0", "2"),
            ),
            (ResultIp("10.0.1.7/32", 1), ResultIp("10.0.2.9/32", 3)),
        )

    def test_it_says_what_is_needed_to_unwire_all(self) -> None:
        kept = kept_interfaces(compose(*BOTH), POD, KEY)
        assert [(one.host_veth, one.address, one.route_table) for one in kept] == [
            ("enicc21c2d7785", "10.0.1.7", 3),
            ("enia0b7655f3c9", "10.0.2.9", 10101),
        ]
        assert kept[0] == kept_facts(compose(*BOTH), POD, KEY)

    def test_links_of_chained_plugins_in_between_do_no_harm(self) -> None:
        whole = compose(*BOTH)
        chained = (*whole.interfaces, ResultInterface("veth9"), ResultInterface("v4if0", "", "/run/netns/x"))
        assert kept_interfaces(CniResult(chained, whole.ips), POD, KEY) == kept_interfaces(whole, POD, KEY)

    def test_without_a_table_any_table_is_meant(self) -> None:
        whole = compose(*BOTH)
        bare = tuple(dataclasses.replace(i, mac="") if i.sandbox.startswith("/") else i for i in whole.interfaces)
        assert [one.route_table for one in kept_interfaces(CniResult(bare, whole.ips), POD, KEY)] == [3, 0]

    def test_not_ours(self) -> None:
        assert kept_interfaces(CniResult(), POD, KEY) == ()


class TestCheckpoint:
    def test_a_file_per_card_beside_the_first(self, tmp_path: pathlib.Path) -> None:
        first = str(tmp_path / "ipam.json")
        assert path_of_card(first, 0) == first
        assert path_of_card(first, 3) == str(tmp_path / "ipam-nic-3.json")
        for name in ("ipam.json", "ipam-nic-3.json", "ipam-nic-12.json", "ipam-nic-x.json", "ipam-nic-0.json"):
            (tmp_path / name).touch()
        (tmp_path / "ipam-nic-3.json.corrupt-17").touch()
        assert cards_on_disk(first) == [3, 12]

    @pytest.mark.parametrize("item", BOTH)
    def test_index_and_count_survive(self, item: Assignment) -> None:
        ledger = Ledger()
        ledger.put(item)
        text = ledger.render()
        assert json.loads(text)["allocations"][0]["metadata"]["interfacesCount"] == 2
        assert decode(text, NOW, 30.0).assignments == (item,)

    def test_a_record_of_the_original_gets_its_place_in_the_pod_from_the_cards_before(self) -> None:
        bare = dataclasses.replace(BOTH[1], wiring=Wiring("", interfaces=2))
        named = with_wiring(bare, "eni", 1)
        assert (named.wiring.host_veth, named.wiring.index) == ("enia0b7655f3c9", 1)
        assert with_wiring(BOTH[1], "eni", 0) is BOTH[1]

    def test_every_interface_is_looked_for_under_its_own_link(self) -> None:
        """Trap 41: the original looks for the first interface's link only, on every card."""
        kept, stale = split_stale(BOTH, frozenset({"enicc21c2d7785"}))
        assert (kept, stale) == ((BOTH[0],), (BOTH[1],))

    def test_rebuilt_is_what_the_kernel_has_of_the_card(self) -> None:
        seen = [ObservedPod("eni00000000001", "10.0.1.7", 3), ObservedPod("eni00000000002", "10.0.2.9", 10101)]
        assert [item.address for item in rebuild(seen, NOW)] == ["10.0.1.7"]
        assert [item.address for item in rebuild(seen, NOW, 1)] == ["10.0.2.9"]
        assert rebuild(seen, NOW, 2) == ()


def test_netconf_is_told_name_and_index_inside_the_pod() -> None:
    specs = [pod_spec(item) for item in BOTH]
    assert [(spec.ifname, spec.index, spec.route_table) for spec in specs] == [("eth0", 0, 3), ("mNicIf1", 1, 10101)]
