"""What is planned for the node, an ENI and a pod, as the commands that an operator would type."""

from __future__ import annotations

import dataclasses

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_netconf.domain import names, route_tables
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.links import find_by_mac, leftover_links, pod_link_prefixes
from vpccni_netconf.domain.objects import Address, Link, LinkFacts, Neighbour, Observed, Route, Rule, Sysctl
from vpccni_netconf.domain.ops import Ensure
from vpccni_netconf.domain.plan_eni import choose_table, owned_by_eni, plan_eni
from vpccni_netconf.domain.plan_host import owned_by_host, plan_host
from vpccni_netconf.domain.plan_pod import (
    branch_table,
    owned_inside,
    owned_on_host,
    owned_pods,
    plan_pod_host,
    plan_pod_inside,
    pod_rules_to_purge,
    sysctls_of,
)
from vpccni_netconf.domain.spec import BranchSpec, EniSpec, HostSpec, PodSpec

HOST = HostSpec("02:00:00:00:01:0a", "10.0.1.10", ("10.0.0.0/16",))
ENI = EniSpec("eni-2", "02:00:00:00:02:14", "10.0.2.20", "10.0.2.0/24", 1, 0, 2, 9001)
POD = PodSpec("c1", "eth0", "/ns", "enicc21c2d7785", "10.0.1.33")


def commands(items: object) -> list[str]:
    return [str(Ensure(item)) for item in items]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("device", "card", "table"), [(0, 0, 254), (1, 0, 2), (14, 0, 15), (1, 1, 10101), (3, 2, 10203)]
)
def test_route_table_of_an_eni(device: int, card: int, table: int) -> None:
    assert route_tables.route_table(device, card) == table


@pytest.mark.parametrize(
    ("family", "index", "gateway"), [(4, 0, "169.254.1.1"), (4, 1, "169.254.1.2"), (6, 0, "fe80::1"), (6, 9, "fe80::a")]
)
def test_gateway_inside_a_pod(family: int, index: int, gateway: str) -> None:
    assert names.pod_gateway(family, index) == gateway


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("eth0", True),
        ("a" * 15, True),
        ("a" * 16, False),
        ("", False),
        ("..", False),
        (".", False),
        ("a/b", False),
        ("a b", False),
        ("a:b", False),
        ("a%d", False),
        ("eth0.5", True),
        ("a\n", False),
    ],
)
def test_link_names_as_the_kernel_takes_them(name: str, valid: bool) -> None:
    assert names.valid_link_name(name) is valid


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("enib5faff8a083", True),
        ("vlanb5faff8a083", True),
        ("enib5faff8a08", False),
        ("calib5faff8a083", False),
        ("eniB5FAFF8A083", False),
        ("b5faff8a083", False),
        ("xenib5faff8a083", False),
    ],
)
def test_pod_links_are_told_by_prefix_and_hash(name: str, ours: bool) -> None:
    assert names.is_pod_link(name, frozenset({"eni", "vlan"})) is ours


def test_host_mac_is_local_unicast_and_the_same_each_time() -> None:
    made = {names.host_mac(f"c{n}", "eth0", "enicc21c2d7785") for n in range(500)}
    assert len(made) == 500
    assert all(int(mac[:2], 16) & 0x03 == 0x02 for mac in made)
    assert names.host_mac("c1", "eth0", "v") == names.host_mac("c1", "eth0", "v")


def test_host_plan_of_the_default_configuration() -> None:
    assert commands(plan_host(HOST, "ens5")) == [
        "sysctl -w net/ipv4/conf/ens5/rp_filter=2",
        "sysctl -w net/ipv4/tcp_early_demux=1",
        "ip link set ens5 mtu 9001 up",
        "ip rule add pref 0 from all lookup local",
        "ip rule add pref 1024 from all fwmark 0x80/0x80 lookup main",
        "ip rule add pref 32766 from all lookup main",
    ]


@pytest.mark.parametrize(
    ("node_port", "external", "marked"),
    [(True, False, True), (True, True, True), (False, False, True), (False, True, False)],
)
def test_mark_rule_table(node_port: bool, external: bool, marked: bool) -> None:
    spec = dataclasses.replace(HOST, node_port_support=node_port, external_snat=external)
    assert any(isinstance(item, Rule) and item.priority == 1024 for item in plan_host(spec, "eth0")) is marked


def test_host_plan_of_strict_branch_enis_moves_the_local_rule_and_back() -> None:
    strict = dataclasses.replace(HOST, pod_eni_strict=True, disable_tcp_early_demux=True)
    before = Observed(rules=(Rule(4, 0, 255), Rule(4, 32766, 254)))
    there = [str(op) for op in diff(plan_host(strict, "eth0"), before, owned_by_host(strict))]
    assert "sysctl -w net/ipv4/tcp_early_demux=0" in there
    assert there.index("ip rule add pref 20 from all lookup local") < there.index(
        "ip rule del pref 0 from all lookup local"
    )
    back = diff(plan_host(HOST, "eth0"), Observed(rules=(Rule(4, 20, 255),)), owned_by_host(HOST))
    assert [str(op) for op in back if "local" in str(op)] == [
        "ip rule add pref 0 from all lookup local",
        "ip rule del pref 20 from all lookup local",
    ]


def test_host_plan_of_ipv6() -> None:
    spec = dataclasses.replace(HOST, ipv6=True, pod_eni_strict=True)
    planned = commands(plan_host(spec, "eth0"))
    assert "sysctl -w net/ipv6/conf/all/forwarding=1" in planned
    assert "sysctl -w net/ipv6/conf/eth0/accept_ra=2" in planned
    assert "ip -6 rule add pref 0 from fe80:ec2::1/128 ipproto 58 lookup local" in planned
    assert "ip -6 rule add pref 1024 from all fwmark 0x80/0x80 lookup main" in planned


def test_external_service_cidrs_replace_earlier_ones_and_nothing_else() -> None:
    spec = dataclasses.replace(HOST, external_service_cidrs=("192.0.2.0/24",))
    held = (Rule(4, 0, 255), Rule(4, 1535, 254, dst="198.51.100.0/24"), Rule(4, 1535, 9, dst="198.51.100.0/24"))
    ops = [
        str(op) for op in diff(plan_host(spec, "eth0"), Observed(rules=held), owned_by_host(spec)) if "1535" in str(op)
    ]
    assert ops == [
        "ip rule add pref 1535 from all to 192.0.2.0/24 lookup main",
        "ip rule del pref 1535 from all to 198.51.100.0/24 lookup main",
    ]


def test_others_marks_at_the_same_priority_are_left() -> None:
    owned = owned_by_host(HOST)
    assert owned(Rule(4, 1024, 254, fwmark=0x80, fwmask=0x80))
    assert not owned(Rule(4, 1024, 254, fwmark=0x4000, fwmask=0x4000))
    assert not owned(Rule(4, 1024, 99, fwmark=0x80, fwmask=0x80))
    assert not owned(Rule(6, 1024, 254, fwmark=0x80, fwmask=0x80))


def test_eni_plan() -> None:
    assert commands(plan_eni(ENI, "eth1", 2)) == [
        "ip link set eth1 mtu 9001 up",
        "ip addr add 10.0.2.20/24 dev eth1 noprefixroute",
        "ip route replace 10.0.2.1/32 dev eth1 scope link table 2",
        "ip route replace default via 10.0.2.1 dev eth1 table 2",
        "ip rule add pref 32765 from 10.0.2.20/32 lookup 2",
    ]
    trunk = dataclasses.replace(ENI, is_trunk=True)
    assert not any(isinstance(item, Rule) for item in plan_eni(trunk, "eth1", 2))


def test_eni_plan_of_ipv6_uses_the_vpcs_fixed_gateway() -> None:
    spec = dataclasses.replace(ENI, primary_ip="2600::2", subnet="2600::/64")
    assert commands(plan_eni(spec, "eth1", 2))[2:4] == [
        "ip -6 route replace fe80:ec2::1/128 dev eth1 table 2",
        "ip -6 route replace default via fe80:ec2::1 dev eth1 table 2",
    ]


@pytest.mark.parametrize(
    ("device", "card", "given", "rules", "table"),
    [
        (1, 0, 0, (), 2),
        (2, 0, 3, (), 3),
        (1, 1, 0, (), 10101),
        (1, 1, 10101, (Rule(4, 32765, 10, src="10.0.2.20/32"),), 10),  # numbered by a release before 1.20
        (1, 1, 0, (Rule(4, 32765, 10, src="10.0.2.20/32"), Rule(4, 32765, 11, src="10.0.2.20/32")), 10101),
        (1, 0, 2, (Rule(4, 32765, 10, src="10.0.2.20/32"),), 2),
    ],
)
def test_table_of_an_eni(device: int, card: int, given: int, rules: tuple[Rule, ...], table: int) -> None:
    spec = dataclasses.replace(ENI, device_number=device, network_card=card, route_table=given)
    assert choose_table(spec, rules) == table


@pytest.mark.parametrize("table", [253, 254, 255])
def test_the_kernels_own_tables_are_refused(table: int) -> None:
    with pytest.raises(ReasonError) as caught:
        choose_table(dataclasses.replace(ENI, route_table=table), ())
    assert caught.value.reason is Reason.TABLE_CONFLICT


def test_primary_eni_has_no_table_of_its_own() -> None:
    with pytest.raises(ReasonError):
        choose_table(dataclasses.replace(ENI, device_number=0, route_table=0), ())


def test_what_is_right_on_a_live_eni_is_left_alone() -> None:
    links = (LinkFacts(3, "eth1", ENI.mac, 9001),)
    planned = plan_eni(ENI, "eth1", 2)
    rules = tuple(item for item in planned if isinstance(item, Rule))
    routes = tuple(item for item in planned if isinstance(item, Route))
    addresses = tuple(item for item in planned if isinstance(item, Address))
    connected = Route(254, "10.0.2.0/24", "eth1", prefsrc="10.0.2.20")
    others = Route(254, "10.0.3.0/24", "eth1")
    observed = Observed(links, rules, (*routes, connected, others), addresses)
    ops = diff(planned, observed, owned_by_eni(ENI, "eth1", 2))
    assert [str(op) for op in ops] == ["ip route del 10.0.2.0/24 dev eth1 scope link src 10.0.2.20 table main"]


def test_another_address_first_in_the_subnet_is_replaced_without_losing_ours() -> None:
    """Its removal takes the other addresses of its subnet along; what was lost is put back at once."""
    links = (LinkFacts(3, "eth1", ENI.mac, 9001),)
    planned = plan_eni(ENI, "eth1", 2)
    observed = Observed(links, addresses=(Address("eth1", "10.0.2.99/24"), Address("eth1", "169.254.7.7/16")))
    ops = [str(op) for op in diff(planned, observed, owned_by_eni(ENI, "eth1", 2))]
    removal = ops.index("ip addr del 10.0.2.99/24 dev eth1 noprefixroute")
    assert ops[removal + 1] == "ip addr add 10.0.2.20/24 dev eth1 noprefixroute"
    assert not [op for op in ops if "169.254.7.7" in op], "link-local addresses are not ours"


@pytest.mark.parametrize(
    ("table", "extra"), [(254, []), (0, []), (4, ["ip rule add pref 1536 from 10.0.1.33/32 lookup 4"])]
)
def test_host_side_of_a_pod(table: int, extra: list[str]) -> None:
    assert commands(plan_pod_host(dataclasses.replace(POD, route_table=table))) == [
        "sysctl -w net/ipv6/conf/enicc21c2d7785/accept_ra=0",
        "sysctl -w net/ipv6/conf/enicc21c2d7785/accept_redirects=1",
        "sysctl -w net/ipv6/conf/enicc21c2d7785/forwarding=0",
        "ip link set enicc21c2d7785 mtu 9001 up",
        "ip route replace 10.0.1.33/32 dev enicc21c2d7785 scope link table main",
        "ip rule add pref 512 from all to 10.0.1.33/32 lookup main",
        *extra,
    ]


def test_inside_of_a_pod() -> None:
    assert commands(plan_pod_inside(POD, "02:aa:00:00:00:01")) == [
        "ip link set eth0 mtu 9001 up",
        "ip route replace 169.254.1.1/32 dev eth0 scope link table main",
        "ip route replace default via 169.254.1.1 dev eth0 table main",
        "ip addr add 10.0.1.33/32 dev eth0 noprefixroute",
        "ip neigh replace 169.254.1.1 lladdr 02:aa:00:00:00:01 dev eth0 nud permanent",
    ]


def test_inside_of_a_pods_second_network_card() -> None:
    spec = dataclasses.replace(POD, index=1, ifname="mNicIf1", route_table=10101)
    assert commands(plan_pod_inside(spec, "02:aa:00:00:00:01"))[1:3] == [
        "ip route replace 169.254.1.2/32 dev mNicIf1 scope link table 1",
        "ip rule add pref 1 from 10.0.1.33/32 lookup 1",
    ]
    assert "ip route replace default via 169.254.1.2 dev mNicIf1 table 1" in commands(
        plan_pod_inside(spec, "02:aa:00:00:00:01")
    )


def test_inside_of_an_ipv6_pod() -> None:
    spec = dataclasses.replace(POD, address="2001:db8::33")
    planned = commands(plan_pod_inside(spec, "02:aa:00:00:00:01"))
    assert planned[:2] == [
        "sysctl -w net/ipv6/conf/eth0/disable_ipv6=0",
        "sysctl -w net/ipv6/conf/lo/disable_ipv6=0",
    ]
    assert "ip -6 route replace fe80::1/128 dev eth0 table main" in planned
    assert "ip -6 addr add 2001:db8::33/128 dev eth0 noprefixroute" in [
        op.replace("ip addr", "ip -6 addr") for op in planned
    ]


def test_other_plugins_objects_inside_a_pod_are_not_ours() -> None:
    owned = owned_inside(POD)
    assert owned(Address("eth0", "10.0.1.99/32"))
    assert not owned(Address("eth0", "fe80::1/64"))
    assert not owned(Address("net1", "10.0.1.99/32"))
    assert not owned(Route(254, "10.0.0.0/8", "eth0"))


def test_links_are_found_by_mac_and_stacked_ones_are_passed_over() -> None:
    links = (
        LinkFacts(9, "br0", "02:00:00:00:01:0a", kind="bridge"),
        LinkFacts(7, "ens5.10", "02:00:00:00:01:0a", kind="vlan"),
        LinkFacts(2, "ens5", "02:00:00:00:01:0a"),
    )
    found = find_by_mac(links, "02:00:00:00:01:0a")
    assert found is not None and found.name == "ens5"
    assert find_by_mac(links, "02:00:00:00:01:0b") is None


def test_prefixes_of_pods_that_run_since_before_the_setting_changed_are_kept() -> None:
    links = (
        LinkFacts(5, "enib5faff8a083", kind="veth", peer_index=2),
        LinkFacts(6, "vlanb5faff8a083", kind="veth", peer_index=2),
        LinkFacts(7, "eth0"),
    )
    assert pod_link_prefixes(links, "veth") == ("veth", "eni")
    assert pod_link_prefixes(links, "eni") == ("eni",)


def test_only_our_unlisted_links_are_left_over() -> None:
    links = (
        LinkFacts(5, "enib5faff8a083", kind="veth"),
        LinkFacts(6, "eni9571956a6cc", kind="veth"),
        LinkFacts(7, "cali571956a6cc", kind="veth"),
        LinkFacts(8, "enia0b7655f3c9", kind="dummy"),
    )
    left = leftover_links(links, frozenset({"eni", "vlan"}), frozenset({"enib5faff8a083"}))
    assert [link.name for link in left] == ["eni9571956a6cc"]


def test_objects_on_missing_links_are_left_out() -> None:
    planned = plan_pod_host(POD)
    absent = tuple(Sysctl(path, "") for path in sysctls_of(POD))
    assert [str(op) for op in diff(planned, Observed(sysctls=absent), lambda _: False)] == [
        "ip rule add pref 512 from all to 10.0.1.33/32 lookup main"
    ]


def test_sysctls_that_the_kernel_does_not_have_are_left_out_when_optional() -> None:
    observed = Observed(sysctls=(Sysctl("a", ""), Sysctl("b", "")))
    ops = diff((Sysctl("a", "1"), Sysctl("b", "1", optional=False)), observed, lambda _: False)
    assert [str(op) for op in ops] == ["sysctl -w b=1"]


def test_a_link_that_is_right_is_not_set_again() -> None:
    facts = LinkFacts(3, "eth1", "02:00:00:00:02:14", 9001)
    for wanted, changes in (
        (Link("eth1"), 0),
        (Link("eth1", mtu=9001, mac="02:00:00:00:02:14"), 0),
        (Link("eth1", mtu=1500), 1),
        (Link("eth1", mac="02:00:00:00:02:15"), 1),
        (Link("eth1", up=False), 1),
    ):
        assert len(diff((wanted,), Observed((facts,)), lambda _: False)) == changes, wanted


def test_a_wrong_neighbour_entry_is_replaced_and_not_then_deleted() -> None:
    planned = plan_pod_inside(POD, "02:aa:00:00:00:01")
    wrong = Neighbour("eth0", "169.254.1.1", "02:aa:00:00:00:02")
    observed = Observed((LinkFacts(2, "eth0", mtu=9001),), neighbours=(wrong,))
    ops = [str(op) for op in diff(planned, observed, owned_inside(POD)) if "neigh" in str(op)]
    assert ops == ["ip neigh replace 169.254.1.1 lladdr 02:aa:00:00:00:01 dev eth0 nud permanent"]


BRANCH = BranchSpec(7, "02:00:00:00:07:07", "10.0.3.0/24", "10.0.3.1", "02:00:00:00:02:14", strict=True)
STRICT = dataclasses.replace(POD, host_veth="vlancc21c2d7785", address="10.0.3.33", branch=BRANCH)
STANDARD = dataclasses.replace(STRICT, host_veth="enicc21c2d7785", branch=dataclasses.replace(BRANCH, strict=False))
SHARED = [
    "ip link add vlan.eth.7 link eth1 address 02:00:00:00:07:07 type vlan id 7",
    "ip link set vlan.eth.7 up",
    "ip route replace 10.0.3.1/32 dev vlan.eth.7 scope link table 107",
    "ip route replace default via 10.0.3.1 dev vlan.eth.7 table 107",
]


def without_sysctls(items: object) -> list[str]:
    return [line for line in commands(items) if not line.startswith("sysctl")]


def test_strict_branch_pod_is_reached_through_its_branch_only() -> None:
    assert without_sysctls(plan_pod_host(STRICT, trunk_link="eth1")) == [
        "ip link set vlancc21c2d7785 mtu 9001 up",
        *SHARED,
        "ip route replace 10.0.3.33/32 dev vlancc21c2d7785 scope link table 107",
        "ip rule add pref 10 from all iif vlan.eth.7 lookup 107",
        "ip rule add pref 10 from all iif vlancc21c2d7785 lookup 107",
    ]
    v6 = dataclasses.replace(
        STRICT,
        address="2001:db8::33",
        branch=dataclasses.replace(BRANCH, gateway="fe80:ec2::1", subnet="2001:db8::/64"),
    )
    assert "ip -6 rule add pref 10 from all iif vlan.eth.7 lookup 107" in commands(plan_pod_host(v6, trunk_link="eth1"))


def test_standard_branch_pod_is_reached_as_any_pod() -> None:
    assert without_sysctls(plan_pod_host(STANDARD, trunk_link="eth1")) == [
        "ip link set enicc21c2d7785 mtu 9001 up",
        *SHARED,
        "ip route replace 10.0.3.33/32 dev enicc21c2d7785 scope link table main",
        "ip rule add pref 512 from all to 10.0.3.33/32 lookup main",
        "ip rule add pref 1536 from 10.0.3.33/32 lookup 107",
    ]


@pytest.mark.parametrize("vlan_id", [153, 154, 155])
def test_vlan_ids_that_would_give_the_kernels_tables_are_refused(vlan_id: int) -> None:
    with pytest.raises(ReasonError) as caught:
        branch_table(dataclasses.replace(BRANCH, vlan_id=vlan_id))
    assert caught.value.reason is Reason.TABLE_CONFLICT
    assert branch_table(BRANCH) == 107


def test_rules_of_both_enforcing_modes_are_purged() -> None:
    assert [str(op) for op in pod_rules_to_purge(STRICT)] == [
        "ip rule del pref 512 from all to 10.0.3.33/32 lookup main",
        "ip rule del pref 1536 from 10.0.3.33/32",
        "ip rule del pref 10 from all lookup 107",
    ]


def test_a_vlan_link_of_another_branch_is_replaced_and_its_routes_are_made_anew() -> None:
    trunk = LinkFacts(3, "eth1", "02:00:00:00:02:14", 9001)
    veth = LinkFacts(9, "vlancc21c2d7785", mtu=9001)
    planned = plan_pod_host(STRICT, trunk_link="eth1")
    routes = tuple(item for item in planned if isinstance(item, Route))
    rules = tuple(item for item in planned if isinstance(item, Rule))
    sysctls = tuple(item for item in planned if isinstance(item, Sysctl))
    owned = owned_on_host(frozenset({STRICT.address}), frozenset({"vlan.eth.7", STRICT.host_veth}))

    def ops(vlan: LinkFacts | None) -> list[str]:
        links = (trunk, veth) if vlan is None else (trunk, veth, vlan)
        observed = Observed(links, rules, routes, sysctls=sysctls)
        return [str(op) for op in diff(planned, observed, owned) if "sysctl" not in str(op)]

    assert ops(LinkFacts(12, "vlan.eth.7", BRANCH.mac, kind="vlan", peer_index=3)) == []
    assert ops(None) == SHARED
    for wrong in (
        LinkFacts(12, "vlan.eth.7", "02:00:00:00:07:08", kind="vlan", peer_index=3),
        LinkFacts(12, "vlan.eth.7", BRANCH.mac, kind="vlan", peer_index=4),
        LinkFacts(12, "vlan.eth.7", BRANCH.mac, kind="veth", peer_index=3),
    ):
        assert ops(wrong) == ["ip link del vlan.eth.7 (index 12)", *SHARED]


def test_branch_rules_and_links_are_ours_by_name() -> None:
    owned = owned_pods(frozenset({"eni", "vlan"}))
    assert owned(Rule(4, 10, 107, iif="vlan.eth.7")) and owned(Rule(4, 10, 107, iif="vlancc21c2d7785"))
    assert not owned(Rule(4, 10, 107, iif="eth7")) and not owned(Rule(4, 10, 107))
    links = (LinkFacts(5, "vlan.eth.7", kind="vlan"), LinkFacts(6, "eth0.7", kind="vlan"))
    assert [link.name for link in leftover_links(links, frozenset({"eni"}), frozenset())] == ["vlan.eth.7"]
