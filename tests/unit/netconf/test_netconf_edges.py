"""Edges: messages in, bytes and errnos out, drift and fights."""

from __future__ import annotations

import asyncio
import dataclasses
import errno

import pytest
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError
from vpccni_netconf import convert
from vpccni_netconf.adapters import decode, encode, encode_links, errno_map
from vpccni_netconf.domain.drift import Change, Interests, concerns, is_about, is_due_again, is_fight, latest
from vpccni_netconf.domain.objects import Address, Link, LinkFacts, Neighbour, Observed, Route, Rule
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink, Ensure, PurgeRules, Remove
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.drift_events import DriftBoard, DriftEvent
from vpccni_netconf.observe import ObservedPod, fold


def pod(**changes: object) -> pb.PodSpec:
    given: dict[str, object] = {
        "container_id": "c1",
        "ifname": "eth0",
        "netns": "/ns",
        "host_veth": "enicc21c2d7785",
        "address": "10.0.1.33",
        "route_table": 254,
    }
    return pb.PodSpec(**(given | changes))  # type: ignore[arg-type]


def test_a_pod_is_read_with_the_originals_defaults() -> None:
    spec = convert.pod_spec(pod())
    assert spec == PodSpec("c1", "eth0", "/ns", "enicc21c2d7785", "10.0.1.33", 254, 9001)
    assert convert.pod_spec(pod(route_table=1)).route_table == 254, "what releases before 1.20 called main"
    assert convert.pod_spec(pod(address="2001:DB8:0::1")).address == "2001:db8::1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("container_id", ""),
        ("ifname", "a" * 16),
        ("ifname", "a/b"),
        ("host_veth", ""),
        ("address", ""),
        ("address", "10.0.1.33/32"),
        ("mtu", 575),
        ("mtu", 9002),
        ("index", 251),
    ],
)
def test_a_malformed_field_of_a_pod_is_named_with_its_value(field: str, value: object) -> None:
    with pytest.raises(ReasonError) as caught:
        convert.pod_spec(pod(**{field: value}))
    assert caught.value.reason is Reason.REQUEST_INVALID
    assert caught.value.message.startswith(f"{field}={value!r}: must be ")


def test_a_netns_is_needed_only_by_calls_that_enter_it() -> None:
    assert convert.pod_spec(pod(netns="")).netns == ""
    with pytest.raises(ReasonError):
        convert.pod_spec(pod(netns=""), need_netns=True)


def test_host_settings_are_canonical() -> None:
    host = pb.HostSpec(
        primary_mac="02:00:00:00:01:0A", primary_ip="10.0.1.10", vpc_cidrs=["10.0.3.4/16", "10.0.0.0/16"], eni_mtu=0
    )
    spec = convert.host_spec(host)
    assert (spec.primary_mac, spec.vpc_cidrs) == ("02:00:00:00:01:0a", ("10.0.0.0/16",))
    assert (spec.veth_prefix, spec.connmark, spec.randomize_snat, spec.eni_mtu) == ("eni", 0x80, "prng", 9001)


@pytest.mark.parametrize(
    "changes",
    [
        {"primary_mac": "x"},
        {"primary_ip": ""},
        {"vpc_cidrs": ["10.0.0.0/33"]},
        {"randomize_snat": "dice"},
        {"veth_prefix": "abcde"},
        {"eni_mtu": 10000},
        {"exclude_snat_cidrs": ["nonsense"]},
    ],
)
def test_a_malformed_host_setting_is_refused(changes: dict[str, object]) -> None:
    given: dict[str, object] = {"primary_mac": "02:00:00:00:01:0a", "primary_ip": "10.0.1.10"}
    with pytest.raises(ReasonError) as caught:
        convert.host_spec(pb.HostSpec(**(given | changes)))  # type: ignore[arg-type]
    assert caught.value.reason is Reason.REQUEST_INVALID


def test_shapes_are_filled_with_the_values_of_each_message() -> None:
    """The second message of a shape comes from bytes that were encoded for the first."""
    for number in (1, 2, 3):
        rule = Rule(4, 512, 254, dst=f"10.0.1.{number}/32")
        message = next(decode.messages(memoryview(bytes(encode.rule_message(rule, add=True)))))
        assert decode.rule(message.body) == rule
        route = Route(10101, f"10.0.{number}.0/24", "x", gateway=f"10.0.9.{number}", prefsrc="10.0.1.1", metric=7)
        message = next(decode.messages(memoryview(bytes(encode.route_message(route, number, add=True)))))
        assert decode.route(message.body, {number: "x"}) == route
        address = Address("x", f"2001:db8::{number}/64")
        message = next(decode.messages(memoryview(bytes(encode.address_message(address, number, add=True)))))
        assert decode.address(message.body, {number: "x"}) == address
        neighbour = Neighbour("x", f"10.0.0.{number}", f"02:00:00:00:00:0{number}")
        message = next(decode.messages(memoryview(bytes(encode.neighbour_message(neighbour, number, add=True)))))
        assert decode.neighbour(message.body, {number: "x"}) == neighbour
        link = Link("x", mtu=9000 + number, mac=f"02:00:00:00:00:0{number}")
        message = next(decode.messages(memoryview(bytes(encode_links.link_message(link, number)))))
        facts = decode.link_facts(message.body)
        assert (facts.index, facts.mtu, facts.mac, facts.up) == (number, link.mtu, link.mac, True)


def test_foreign_kinds_of_rules_and_routes_are_not_mistaken_for_ours() -> None:
    plain = bytearray(encode.rule_message(Rule(4, 512, 254, dst="10.0.1.1/32"), add=True))
    body = bytes(plain)[16:]
    assert decode.rule(memoryview(body)) is not None
    unreachable = bytes(body[:7]) + b"\x07" + body[8:]
    assert decode.rule(memoryview(unreachable)) is None
    inverted = body[:8] + b"\x02\0\0\0" + body[12:]
    assert decode.rule(memoryview(inverted)) is None
    route = bytes(encode.route_message(Route(254, "10.0.1.1/32", "x"), 3, add=True))[16:]
    assert decode.route(memoryview(route), {4: "other"}) is None, "a link that is not there"
    blackhole = route[:7] + b"\x06" + route[8:]
    assert decode.route(memoryview(blackhole), {3: "x"}) is None


RULE, ROUTE = Rule(4, 512, 254, dst="10.0.1.1/32"), Route(254, "10.0.1.1/32", "x")
CREATE = CreatePodLink("eth0", "enicc21c2d7785", 9001, "02:00:00:00:00:01", 2)


@pytest.mark.parametrize(
    ("op", "number", "fine"),
    [
        (Ensure(RULE), errno.EEXIST, False),
        (Ensure(Address("x", "10.0.0.1/32")), errno.EEXIST, True),
        (Ensure(ROUTE), errno.EEXIST, False),
        (Remove(RULE), errno.ENOENT, True),
        (Remove(RULE), errno.ESRCH, False),
        (PurgeRules(RULE), errno.ENOENT, True),
        (Remove(ROUTE), errno.ESRCH, True),
        (Remove(ROUTE), errno.ENOENT, False),
        (Remove(Address("x", "10.0.0.1/32")), errno.EADDRNOTAVAIL, True),
        (DeleteLink(5, "x"), errno.ENODEV, True),
        (DeleteLink(5, "x"), errno.EPERM, False),
        (CREATE, errno.EEXIST, False),
    ],
)
def test_which_errno_means_that_there_was_nothing_to_do(op: object, number: int, fine: bool) -> None:
    assert errno_map.tolerated(op, number) is fine  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "number", "reason"),
    [
        (CREATE, errno.EEXIST, Reason.LINK_EXISTS),
        (CREATE, errno.EPERM, Reason.KERNEL_REFUSED),
        (Ensure(ROUTE), errno.ENODEV, Reason.LINK_MISSING),
        (Ensure(ROUTE), errno.ENETUNREACH, Reason.KERNEL_REFUSED),
        (Remove(RULE), errno.EPERM, Reason.KERNEL_REFUSED),
    ],
)
def test_errno_becomes_a_reason_with_the_command(op: object, number: int, reason: Reason) -> None:
    error = errno_map.refused(op, number, "The kernel's words.")  # type: ignore[arg-type]
    assert error.reason is reason
    assert error.message.startswith(f"{op}: The kernel's words: ")
    assert error.message.endswith(f"({errno.errorcode[number]})")


INTERESTS = Interests({"eth0": Link("eth0", mtu=9001), "eth1": Link("eth1", mtu=9001)}, frozenset({2}))
POD_LINK = Link("enicc21c2d7785", mtu=9001, mac="02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        (Change(RULE, True), True),
        (Change(Rule(4, 700, 254), True), False),
        (Change(Rule(4, 32765, 2, src="10.0.2.20/32"), True), True),
        (Change(ROUTE, True), False),
        (Change(Route(254, "10.0.0.0/16", "other"), True), False),
        (Change(Route(254, "10.0.0.0/16", "eth1"), True), True),
        (Change(Route(2, "0.0.0.0/0", "eth1", "10.0.2.1"), True), True),
        (Change(Route(3, "0.0.0.0/0", "eth1", "10.0.2.1"), True), False),
        (Change(Address("eth1", "10.0.2.20/24"), True), True),
        (Change(Address("eth1", "10.0.2.99/24"), False), True),
        (Change(Address("other", "10.0.2.20/24"), True), False),
        (Change(LinkFacts(2, "eth0", mtu=9001), False), False),
        (Change(LinkFacts(2, "eth0", mtu=1500), False), True),
        (Change(LinkFacts(2, "eth0", mtu=9001, up=False), False), True),
        (Change(LinkFacts(2, "eth0", mtu=9001), True), True),
        (Change(LinkFacts(2, "other", mtu=9001), True), False),
    ],
)
def test_which_changes_concern_us(change: Change, ours: bool) -> None:
    assert concerns(change, INTERESTS) is ours


def test_a_route_concerns_us_when_it_is_a_pods() -> None:
    assert concerns(Change(ROUTE, True), INTERESTS, pods_route=True)


def test_a_pods_link_concerns_us_when_it_strays() -> None:
    right = LinkFacts(9, POD_LINK.name, "02:00:00:00:00:01", 9001)
    assert not concerns(Change(right, False), INTERESTS, POD_LINK)
    assert concerns(Change(LinkFacts(9, POD_LINK.name, "02:00:00:00:00:02", 9001), False), INTERESTS, POD_LINK)
    assert concerns(Change(right, True), INTERESTS, POD_LINK)


def test_only_the_last_word_on_a_link_counts() -> None:
    down, up = LinkFacts(9, "x", up=False), LinkFacts(9, "x")
    rule = Change(RULE, True)
    assert latest([Change(down, False), rule, Change(up, False)]) == [rule, Change(up, False)]


def test_what_is_fought_over_is_told_from_everything_else() -> None:
    rule, route = Rule(4, 512, 254, dst="10.0.0.7/32"), Route(254, "10.0.0.7/32", "eni1")
    link = LinkFacts(7, "eni1", mtu=9001, up=False)
    assert is_about(Change(rule, gone=True), rule) and is_about(Change(route, gone=False), route)
    assert is_about(Change(link, gone=False), Link("eni1", mtu=9001))
    assert not is_about(Change(link, gone=False), Link("eni2", mtu=9001))
    assert not is_about(Change(rule, gone=True), dataclasses.replace(rule, priority=1536))
    assert not is_about(Change(route, gone=True), rule)


def test_a_fight_is_four_repairs_of_one_object_within_a_minute() -> None:
    assert not is_fight((0.0, 20.0, 40.0), 40.0)
    assert is_fight((0.0, 20.0, 40.0, 59.0), 59.0)
    assert not is_fight((0.0, 20.0, 40.0, 61.0), 61.0)


def test_observed_state_is_folded_by_address() -> None:
    observed = Observed(
        links=(
            LinkFacts(5, "enicc21c2d7785", kind="veth"),
            LinkFacts(6, "eni9571956a6cc", kind="veth"),
            LinkFacts(2, "eth0"),
        ),
        rules=(
            Rule(4, 512, 254, dst="10.0.2.33/32"),
            Rule(4, 1536, 2, src="10.0.2.33/32"),
            Rule(4, 512, 254, dst="10.0.1.99/32"),
            Rule(4, 512, 254, dst="10.0.0.0/16"),
        ),
        routes=(Route(254, "10.0.2.33/32", "enicc21c2d7785"), Route(254, "10.0.7.7/32", "eth0")),
    )
    assert fold(observed, frozenset({"eni", "vlan"})) == (
        ObservedPod("enicc21c2d7785", "10.0.2.33", 2, link=True, route=True, to_rule=True, from_rule=True),
        ObservedPod("", "10.0.1.99", 254, to_rule=True),
        ObservedPod("eni9571956a6cc", link=True),
    )


def test_drift_events_reach_every_subscriber_and_end_with_the_service() -> None:
    async def body() -> None:
        board = DriftBoard()
        first, second = board.subscribe(), board.subscribe()
        event = DriftEvent("rule", "ip rule add …", "repaired", "", 1)
        board.publish(event)
        board.unsubscribe(second)
        board.publish(event)
        board.close()
        assert [await first.get() for _ in range(3)] == [event, event, None]
        assert await second.get() == event and second.empty()
        assert await board.subscribe().get() is None

    asyncio.run(body())


def test_a_subscriber_that_does_not_read_loses_the_oldest() -> None:
    async def body() -> None:
        board = DriftBoard()
        queue = board.subscribe()
        for number in range(1500):
            board.publish(DriftEvent("rule", "", "repaired", "", number))
        first = await queue.get()
        assert queue.qsize() == 999 and first is not None and first.unix_ns == 500

    asyncio.run(body())


def test_what_strays_on_and_on_is_put_right_ever_less_often() -> None:
    assert [looks for looks in range(1, 200) if is_due_again(looks)] == [1, 2, 3, 4, 8, 16, 32, 64, 128, 192]
