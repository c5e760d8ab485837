"""Steps from what the router holds to what EC2's records ask for."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from vpccni_lab.ec2.records import Attachment, Eni
from vpccni_lab.fabric import filters, plan
from vpccni_lab.fabric.plan import AddLink, AddRoute, DelLink, DelRoute, Wire


def eni(number: int = 1, status: str = "attached", **more: object) -> Eni:
    base = Eni(
        id=f"eni-{number:017x}",
        mac=f"02:00:00:00:00:{number:02x}",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        az="us-west-2a",
        private_ip=f"10.0.1.{number}",
        attachment=Attachment("eni-attach-1", "i-1", 0, 0, status, 0.0),
    )
    return dataclasses.replace(base, **more)


def wire(number: int = 1, **more: object) -> Wire:
    found = plan.wire_of(eni(number))
    assert found is not None
    return dataclasses.replace(found, **more)


def test_a_wire_routes_every_address_and_prefix_that_ec2_assigned() -> None:
    record = eni(
        secondary_ips=("10.0.1.33",),
        prefixes=("10.0.1.48/28",),
        ipv6_addresses=("2001:db8::5",),
        ipv6_prefixes=("2001:db8:0:0:1::/80",),
    )
    found = plan.wire_of(record)
    assert found is not None
    assert found.routes4 == {"10.0.1.1/32", "10.0.1.33/32", "10.0.1.48/28"}
    assert found.routes6 == {"2001:db8::5/128", "2001:db8:0:0:1::/80"}
    assert (found.link, found.next_hop4, found.next_hop6) == ("e-000000000001", "10.0.1.1", "fe80::ff:fe00:1")


def test_only_an_eni_that_is_on_the_wire_has_a_link() -> None:
    assert plan.wire_of(eni(status="detaching")) is not None
    assert plan.wire_of(eni(status="attaching")) is None
    assert plan.wire_of(eni(attachment=None)) is None
    assert plan.wire_of(eni(interface_type="efa-only")) is None


def test_steps_for_a_new_and_for_a_gone_eni() -> None:
    one = wire(routes4=frozenset({"10.0.1.1/32", "10.0.1.9/32"}))
    assert plan.steps({}, {"a": one}) == [AddLink(one), AddRoute(one, "10.0.1.1/32"), AddRoute(one, "10.0.1.9/32")]
    assert plan.steps({"a": one}, {}) == [DelLink(one)]
    assert plan.steps({"a": one}, {"a": one}) == []


def test_an_address_that_moves_is_added_at_its_new_place_before_it_goes_from_the_old() -> None:
    a, b = wire(1), wire(2)
    moved = "10.0.1.77/32"
    a_with, b_with = (dataclasses.replace(w, routes4=w.routes4 | {moved}) for w in (a, b))
    assert plan.steps({"a": a_with, "b": b}, {"a": a, "b": b_with}) == [
        AddRoute(b_with, moved),
        DelRoute(a_with, moved),
    ]


def test_an_eni_that_changes_hosts_gets_a_new_link() -> None:
    here, there = wire(), wire(host="i-2")
    assert plan.steps({"a": here}, {"a": there}) == [DelLink(here), AddLink(there), AddRoute(there, "10.0.1.1/32")]


routes = st.frozensets(st.integers(0, 5).map(lambda n: f"10.9.0.{n}/32"), max_size=4)
wires = st.dictionaries(
    st.integers(1, 4).map(str),
    st.builds(lambda h, r: wire(host=h, routes4=r), st.sampled_from("xy"), routes),
    max_size=4,
)


@given(wires, wires)
def test_steps_lead_from_any_state_to_any_other(have: dict[str, Wire], want: dict[str, Wire]) -> None:
    have = {k: dataclasses.replace(w, eni_id=k, link=f"e-{k}") for k, w in have.items()}
    want = {k: dataclasses.replace(w, eni_id=k, link=f"e-{k}") for k, w in want.items()}
    held = {(w.link, w.host): set(w.routes) for w in have.values()}
    for step in plan.steps(have, want):
        key = (step.wire.link, step.wire.host)
        match step:
            case AddLink():
                assert key not in held
                held[key] = set()
            case DelLink():
                del held[key]
            case AddRoute(_, cidr):
                held[key].add(cidr)
            case DelRoute(_, cidr):
                held[key].remove(cidr)
    assert held == {(w.link, w.host): set(w.routes) for w in want.values()}


def test_gateway_and_link_local_address() -> None:
    assert plan.gateway("10.0.16.0/20") == "10.0.16.1"
    assert plan.link_local("06:f5:6b:1f:0b:d9") == "fe80::4f5:6bff:fe1f:bd9"


def test_scripts_for_nft_hold_what_was_asked_for() -> None:
    assert filters.unchecked([]) == "flush set inet vpc unchecked\n"
    assert '{ "e-1", "e-2" }' in filters.unchecked(["e-2", "e-1"])
    script = filters.public_addresses({"10.0.1.5": "203.0.113.1"})
    assert "to_public { 10.0.1.5 : 203.0.113.1 }" in script
    assert "to_private { 203.0.113.1 : 10.0.1.5 }" in script
