"""The packet table's expectations, and what they make of packets that went another way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from vpccni_lab.datapath import observe, rows
from vpccni_lab.datapath.branch_rows import MODES as BRANCH_MODES
from vpccni_lab.datapath.branch_rows import STANDARD, STRICT, plans
from vpccni_lab.datapath.labs import MODES, link_of, spec_of
from vpccni_lab.datapath.rows import SETTINGS, SETTINGS6, Place
from vpccni_lab.datapath.table import settings_of
from vpccni_lab.demo.expect import Party, RowPlan
from vpccni_lab.probe.reach import PORT, Endpoint, Seen
from vpccni_lab.spec import checked


def party(name: str, address: str, node: str = "", eni: str = "") -> Party:
    return Party(Endpoint(name, Path("/proc") / name, address), node, eni)


PLACE = Place(
    node=party("a", "10.0.1.1", "a"),
    pods=(party("p0", "10.0.1.11", "a", "eth0"), party("p1", "10.0.1.12", "a", "eth1")),
    mates=(party("p2", "10.0.1.13", "a", "eth0"),),
    other=party("b", "10.0.2.1", "b"),
    their=(party("q0", "10.0.2.11", "b", "eth0"), party("q1", "10.0.2.12", "b", "eth1")),
    second=(party("plain", "10.1.1.5", "plain"),),
    internet=party("internet", "198.51.100.10"),
    peer=party("peer", "10.99.0.10"),
    public="203.0.113.1",
)
ON, OFF, EXCLUDED = SETTINGS[:3]


def sources(plans: list[RowPlan], name: str) -> set[tuple[str, str, str]]:
    (plan,) = (plan for plan in plans if plan.name == name)
    return {(q.probe.src.name, q.probe.dst.name, q.source) for q in plan.questions}


@pytest.mark.parametrize(
    ("setting", "internet", "peer"),
    [(ON, "203.0.113.1", "10.0.1.1"), (OFF, "", "10.0.1.12"), (EXCLUDED, "203.0.113.1", "10.0.1.12")],
)
def test_sources_outside_the_vpc_follow_the_setting(setting: rows.Setting, internet: str, peer: str) -> None:
    plans = rows.rows(PLACE, setting)
    assert ("p1", "internet", internet) in sources(plans, "pod -> internet")
    assert ("p1", "peer", peer) in sources(plans, "pod -> peered network")
    assert ("p1", "plain", "10.0.1.12") in sources(plans, "pod -> second VPC CIDR")
    assert sources(plans, "pod -> pod, other node, across ENIs") == {
        ("p0", "q1", "10.0.1.11"),
        ("p1", "q0", "10.0.1.12"),
    }
    assert len(sources(plans, "pod -> pod, same node")) == 6


def test_egress_is_seen_as_the_node_under_every_setting_and_is_not_for_other_pods() -> None:
    pods = (party("p0", "fd00::ac:3fe", "a", "eth0"), party("p1", "fd00::ac:3fd", "a", "eth1"))
    internet, peer = party("internet", "2001:db8:ffff::10"), party("peer", "fd00:99::10")
    place = dataclasses.replace(PLACE, egress=rows.Egress(pods, internet, peer, "2001:db8::1", "2001:db8::1"))
    for setting in (ON, OFF, EXCLUDED):
        plans = rows.rows(place, setting)
        for name, target in (("internet", "internet"), ("peered network", "peer")):
            seen = sources(plans, f"pod -> {name} by IPv6")
            assert seen == {("p0", target, "2001:db8::1"), ("p1", target, "2001:db8::1")}
        assert sources(plans, "pod -> pod by IPv6") == {("p0", "p1", ""), ("p1", "p0", "")}
    assert not [plan for plan in rows.rows(PLACE, ON) if "IPv6" in plan.name]


def test_every_eni_has_a_node_port_and_the_last_is_elsewhere() -> None:
    plans = {plan.name: plan for plan in rows.rows(PLACE, OFF)}
    ways = (
        " -> pod on eth0",
        " -> pod on eth1",
        ", translated -> pod on eth0",
        ", translated -> pod on eth1",
        " -> pod of another node",
    )
    for number, way in enumerate(ways):
        (question,) = plans[f"internet -> NodePort{way}"].questions
        assert question.probe.target == ("203.0.113.1", rows.NODE_PORT + number)
        assert question.source == ("10.0.1.1" if number >= 2 else "198.51.100.10")
    (question,) = plans["internet -> hostPort"].questions
    assert question.probe.target == ("203.0.113.1", rows.HOST_PORT)


def test_ports_differ_between_settings_and_pods() -> None:
    used = [
        question.probe.source_port
        for setting in SETTINGS
        for plan in rows.port_rows(PLACE, setting)
        for question in plan.questions
    ]
    assert len(used) == len(set(used)) == 3 * 2 * rows.PORTS
    assert max(used) < 32_768, "from there on the kernel chooses ports for the other probes"
    assert rows.port_rows(PLACE, OFF) == []


def test_verdict_on_ports() -> None:
    sent = list(range(20_001, 20_101))
    assert rows.judge_ports(sent, sent) == "kept"
    assert rows.judge_ports(sent, [(port * 7919) % 64_000 + 1024 for port in sent]) == "spread at random"
    shifted = [port + 50 for port in sent]
    assert rows.judge_ports(sent, shifted) not in ("kept", "spread at random")
    assert rows.judge_ports(sent, sent[:50] + [p + 30_000 for p in sent[50:]]) not in ("kept", "spread at random")


def test_a_packet_from_elsewhere_is_a_row_that_differs() -> None:
    (plan,) = (plan for plan in rows.rows(PLACE, ON) if plan.name == "pod -> internet")
    good, other = Seen("203.0.113.1", answered=True), Seen("10.0.1.12", answered=True)
    assert observe._judge("m", "s", "b", plan, [good, good], [good, good]).ok
    row = observe._judge("m", "s", "b", plan, [good, other], [good, good])
    assert not row.ok
    assert "source 10.0.1.12, not 203.0.113.1" in row.observed
    assert not observe._judge("m", "s", "b", plan, [good, good], [good, Seen()]).ok
    (ports,) = rows.port_rows(PLACE, SETTINGS[4])
    moved = [Seen("10.0.1.1", answered=True, port=q.probe.source_port + 1) for q in ports.questions]
    assert not observe._judge("m", "s", "b", ports, moved, []).ok


def test_services_as_kube_proxy_writes_them() -> None:
    program, text = rows.service_rules(PLACE, "iptables-legacy")
    assert program == "iptables-legacy-restore --noflush"
    assert f"-A KUBE-SERVICES -p tcp -m tcp --dport 30101 -j DNAT --to-destination 10.0.1.12:{PORT}" in text
    program, text = rows.service_rules(PLACE, "nftables")
    assert program == "nft -f -"
    assert f"fib daddr type local udp dport 30104 meta mark set meta mark or 0x4000 dnat to 10.0.2.11:{PORT}" in text
    six = dataclasses.replace(
        PLACE, node=party("a", "2001:db8::1", "a"), pods=(party("p0", "2001:db8::7", "a", "eth0"),)
    )
    program, text = rows.service_rules(six, "iptables-nft")
    assert program == "ip6tables-nft-restore --noflush"
    assert f"--to-destination [2001:db8::7]:{PORT}" in text


def test_labs_of_all_modes_make_sense() -> None:
    for mode in MODES:
        spec = checked(spec_of(mode, "x"))
        assert {node.iptables for node in spec.nodes} == {"legacy", "nft", ""}
        assert settings_of(mode) == (SETTINGS6 if mode.six else SETTINGS)


def test_the_eni_of_an_address() -> None:
    nothing = {"secondary_ips": [], "prefixes": [], "ipv6_addresses": [], "ipv6_prefixes": []}
    enis = [
        {**nothing, "link": "eth0", "secondary_ips": ["10.0.1.11"]},
        {**nothing, "link": "eth1", "prefixes": ["10.0.1.32/28"]},
    ]
    assert [link_of(address, enis) for address in ("10.0.1.11", "10.0.1.40")] == ["eth0", "eth1"]


GUARDED = party("guarded", "10.0.1.14", "a", "branch 3")


@pytest.mark.parametrize(
    ("mode", "setting", "internet", "peer"),
    [
        (STANDARD, ON, "203.0.113.1", "10.0.1.1"),
        (STANDARD, OFF, "", "10.0.1.12"),
        (STANDARD, EXCLUDED, "203.0.113.1", "10.0.1.12"),
        (STRICT, ON, "", "10.0.1.12"),
        (STRICT, EXCLUDED, "", "10.0.1.12"),
    ],
)
def test_strict_pods_are_never_translated(mode: str, setting: rows.Setting, internet: str, peer: str) -> None:
    found = plans(PLACE, GUARDED, setting, mode, first=False)
    assert ("p1", "internet", internet) in sources(found, "pod -> internet")
    assert ("p1", "peer", peer) in sources(found, "pod -> peered network")


@pytest.mark.parametrize(("mode", "local", "port"), [(STRICT, "", ""), (STANDARD, "10.0.1.1", "198.51.100.10")])
def test_strict_pods_are_behind_the_vpc_for_their_node(mode: str, local: str, port: str) -> None:
    found = plans(PLACE, GUARDED, ON, mode, first=True)
    assert sources(found, "security group: node -> its pod") == {("a", "guarded", local)}
    assert sources(found, "internet -> NodePort -> pod on eth0") == {("internet", "p0", port)}
    assert sources(found, "internet -> hostPort") == {("internet", "p0", port)}
    assert sources(found, "internet -> NodePort, translated -> pod on eth0") == {("internet", "p0", "10.0.1.1")}
    assert sources(found, "node -> hostPort of its own") == {("a", "p0", "10.0.1.1")}


@pytest.mark.parametrize("mode", BRANCH_MODES)
def test_what_no_setting_changes_is_asked_once(mode: str) -> None:
    once = {plan.name for plan in plans(PLACE, GUARDED, ON, mode, first=True)}
    again = {plan.name for plan in plans(PLACE, GUARDED, ON, mode, first=False)}
    assert {"pod -> pod, same node", "kubelet's probe (TCP)", "second VPC CIDR -> pod"} <= once - again
    assert again == {plan.name for plan in plans(PLACE, GUARDED, OFF, mode, first=False)} | (
        {"source ports of translated pods"} if mode == STANDARD else set()
    )
