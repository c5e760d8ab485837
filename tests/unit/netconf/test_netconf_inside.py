"""What a change inside a pod's namespace means, and what is left to the pod."""

from __future__ import annotations

import dataclasses

import pytest
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.drift import Change, concerns_inside, not_replaced
from vpccni_netconf.domain.objects import Address, LinkFacts, Neighbour, Observed, Route, Rule
from vpccni_netconf.domain.ops import Ensure
from vpccni_netconf.domain.plan_pod import plan_pod_inside
from vpccni_netconf.domain.spec import EgressSpec, PodSpec

MAC = "02:00:00:00:aa:01"
EGRESS = EgressSpec("fd00::ac:10", "veth00000001", "02:00:00:00:0e:01", "02:00:00:00:0d:01")
POD = PodSpec("c1", "eth0", "/ns/1", "enicc21c2d7785", "10.0.2.33", 2, egress=EGRESS)
SECOND_CARD = dataclasses.replace(POD, ifname="mNicIf1", index=1, egress=None)
WANTED = plan_pod_inside(POD, MAC)
DEFAULT = Route(254, "0.0.0.0/0", "eth0", gateway="169.254.1.1")


@pytest.mark.parametrize(
    ("item", "gone", "concerned"),
    [
        (dataclasses.replace(DEFAULT, dev="?"), True, True),
        (Route(254, "::/0", "?", gateway="fe80::ff:fe00:e01"), True, True),
        (Route(254, "10.9.0.0/16", "?", gateway="169.254.1.1"), True, False),
        (Address("?", "10.0.2.33/32"), True, True),
        (Address("?", "fd00::ac:10/118"), True, True),
        (Address("?", "192.0.2.1/24"), True, False),
        (Neighbour("?", "169.254.1.1", ""), True, True),
        (Neighbour("?", "169.254.1.1", "02:00:00:00:99:99"), False, True),
        (Neighbour("?", "169.254.1.1", MAC), False, False),
        (Neighbour("?", "192.0.2.7", ""), True, False),
        (LinkFacts(2, "eth0", mtu=9001, up=False), False, True),
        (LinkFacts(2, "eth0", mtu=1400), False, True),
        (LinkFacts(2, "eth0", mtu=9001), False, False),
        (LinkFacts(100, "v6if0", mac="02:00:00:00:0d:01", mtu=9001), False, False),
        (LinkFacts(100, "v6if0", mac="02:00:00:00:0d:02", mtu=9001), False, True),
        (LinkFacts(9, "tun0", mtu=1400, up=False), False, False),
    ],
)
def test_only_what_is_ours_concerns_us(
    item: LinkFacts | Route | Address | Neighbour, gone: bool, concerned: bool
) -> None:
    assert concerns_inside(Change(item, gone), WANTED) is concerned


def test_rules_of_further_network_cards_are_ours() -> None:
    rule = Rule(4, 1, 1, src="10.0.2.33/32")
    wanted = plan_pod_inside(SECOND_CARD, MAC)
    assert concerns_inside(Change(rule, gone=True), wanted)
    assert not concerns_inside(Change(dataclasses.replace(rule, priority=5), gone=True), wanted)


def test_a_route_that_the_pod_put_in_the_place_of_ours_is_left_alone() -> None:
    links = (LinkFacts(2, "eth0", mtu=9001), LinkFacts(9, "tun0"))
    of_a_vpn = Route(254, "0.0.0.0/0", "tun0")
    theirs = Observed(links, routes=(of_a_vpn,))
    assert DEFAULT not in not_replaced(WANTED, theirs)
    both = Observed(links, routes=(of_a_vpn, DEFAULT))
    assert DEFAULT in not_replaced(WANTED, both) and Ensure(DEFAULT) not in diff(WANTED, both, lambda _: False)
    deleted = Observed(links)
    assert Ensure(DEFAULT) in diff(not_replaced(WANTED, deleted), deleted, lambda _: False)
