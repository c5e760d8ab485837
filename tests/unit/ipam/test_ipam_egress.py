"""Addresses and names of egress links."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest
from vpccni_ipam.domain.checkpoint import Ledger, decode
from vpccni_ipam.domain.egress import Egress, egress_link, next_address
from vpccni_ipam.domain.model import Assignment, InstanceLimits, Moment, NodeFacts, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.result import compose, kept_facts
from vpccni_ipam.egress_links import EgressLinks
from vpccni_ipam.ports import HostSpec

RANGES = {4: ipaddress.ip_network("169.254.172.0/22"), 6: ipaddress.ip_network("fd00::ac:0/118")}


@pytest.mark.parametrize(("family", "first"), [(4, "169.254.175.254"), (6, "fd00::ac:3fe")])
def test_addresses_are_given_from_the_end_of_the_range(family: int, first: str) -> None:
    assert next_address(family, ()) == first
    assert next_address(family, {first}) == str(ipaddress.ip_address(first) - 1)


@pytest.mark.parametrize("family", [4, 6])
def test_every_address_is_given_once_and_none_that_is_not_for_pods(family: int) -> None:
    taken: set[str] = set()
    last = ""
    while (found := next_address(family, taken, last)) is not None:
        assert found not in taken
        taken.add(found)
        last = found
    network = RANGES[family]
    assert {ipaddress.ip_address(address) for address in taken} == {network[n] for n in range(2, 1023)}


@pytest.mark.parametrize("family", [4, 6])
def test_a_released_address_rests_until_all_others_were_given(family: int) -> None:
    first = next_address(family, ()) or ""
    given = [first]
    for _ in range(1020):
        given.append(next_address(family, (), given[-1]) or "")
    assert len(set(given)) == 1021
    assert next_address(family, (), given[-1]) == first


def test_names_and_macs_follow_from_the_sandbox() -> None:
    link = egress_link("169.254.175.254", "cc21c2d7785", "c1")
    assert (link.host_veth, link.ifname) == ("vethcc21c2d7", "v4if0")
    assert link == egress_link("169.254.175.254", "cc21c2d7785", "c1")
    other = egress_link("fd00::ac:3fe", "cc21c2d7785", "c2")
    assert other.ifname == "v6if0"
    macs = {link.mac, link.host_mac, other.mac, other.host_mac}
    assert len(macs) == 4 and all(int(mac[:2], 16) & 3 == 2 for mac in macs), "local and unicast"


POD, KEY = PodIdentity("default", "web"), PodKey("aws-cni", "c1", "eth0")
FACTS = NodeFacts(
    "i-1", "m5.large", "02:00:00:00:01:0a", "10.0.1.10", (), InstanceLimits(3, 10), primary_ipv6="2001:db8::1"
)
V4, V6 = HostSpec(ipv6=True, v4_egress=True), HostSpec(v6_egress=True)


def held(*links: Egress) -> list[Assignment]:
    return [
        Assignment(KEY._replace(container_id=f"c{n}"), POD, Wiring(f"eni{n}", egress=link), "10.0.1.33", 0)
        for n, link in enumerate(links)
    ]


@pytest.mark.parametrize(("spec", "first"), [(V4, "169.254.175.254"), (V6, "fd00::ac:3fe")])
def test_a_new_pod_gets_a_link_of_the_other_family_and_keeps_it(spec: HostSpec, first: str) -> None:
    links = EgressLinks(spec, list)
    links.node_is(FACTS)
    wiring = links.with_link(Wiring("enicc21c2d7785"), POD, KEY)
    assert wiring.egress is not None and wiring.egress.address == first
    assert links.with_link(wiring, POD, KEY) is wiring
    second = links.with_link(Wiring("eni2"), POD, KEY._replace(container_id="c2"))
    assert second.egress is not None and second.egress.address not in ("", first)
    assert links.with_link(Wiring("eni3", index=1), POD, KEY).egress is None, "one of each pod"


@pytest.mark.parametrize(
    ("spec", "facts"),
    [
        (HostSpec(), FACTS),
        (HostSpec(ipv6=True), FACTS),
        (V6, dataclasses.replace(FACTS, primary_ipv6="")),
        (V4, dataclasses.replace(FACTS, primary_ip="")),
    ],
)
def test_no_link_where_it_is_off_or_the_node_has_no_address_to_translate_to(spec: HostSpec, facts: NodeFacts) -> None:
    links = EgressLinks(spec, list)
    links.node_is(facts)
    assert links.with_link(Wiring("eni1"), POD, KEY).egress is None


def test_addresses_of_others_and_of_running_pods_are_not_given_again() -> None:
    mine = egress_link("169.254.175.254", "0", "c0")
    pods = held(mine)
    links = EgressLinks(V4, lambda: pods)
    links.kernel_has(frozenset({"169.254.175.254", "169.254.175.253"}))
    assert links.with_link(Wiring("eni1"), POD, KEY).egress.address == "169.254.175.252"  # type: ignore[union-attr]  # given


def test_translation_stays_while_a_pod_has_a_link() -> None:
    assert not EgressLinks(HostSpec(), list).host_spec().v6_egress
    assert EgressLinks(HostSpec(), lambda: held(egress_link("fd00::ac:3fe", "0", "c0"))).host_spec().v6_egress


def test_the_link_survives_in_the_checkpoint_and_comes_last_in_the_result() -> None:
    link = egress_link("169.254.175.254", "cc21c2d7785", "c1")
    item = Assignment(KEY, POD, Wiring("enicc21c2d7785", "/ns", egress=link), "2001:db8::33", 7, "eni-1", 0, 254)
    ledger = Ledger()
    ledger.put(item)
    assert decode(ledger.render(), Moment(0, 0), 30).assignments == (item,)
    result = compose(item)
    assert [(i.name, i.mac, i.sandbox) for i in result.interfaces[-2:]] == [
        ("vethcc21c2d7", link.host_mac, ""),
        ("v4if0", link.mac, "/ns"),
    ]
    assert [ip.address for ip in result.ips] == ["2001:db8::33/128"], "an interface more, no address more"
    facts = kept_facts(result, POD, KEY)
    assert facts is not None and (facts.host_veth, facts.address) == ("enicc21c2d7785", "2001:db8::33")
