"""Addresses and names of egress links."""

from __future__ import annotations

import ipaddress

import pytest
from vpccni_ipam.domain.egress import egress_link, next_address

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
