"""The fabric with real packets: two hosts with ENIs, the internet host, the peered network; IPv4 and IPv6."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from vpccni_lab.ec2.records import Attachment, Eni
from vpccni_lab.fabric import namespaces, network, plan
from vpccni_lab.linux import netlink as nl
from vpccni_lab.linux import syscalls
from vpccni_lab.probe import reach
from vpccni_lab.probe.reach import Endpoint, Probe

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
LAB = "h3fab"


def eni(number: int, instance: str, index: int, ip: str, **more: object) -> Eni:
    return dataclasses.replace(
        Eni(
            id=f"eni-{number:017x}",
            mac=f"02:00:00:00:00:{number:02x}",
            vpc_id="vpc-1",
            subnet_id="subnet-1",
            az="us-west-2a",
            private_ip=ip,
            attachment=Attachment(f"eni-attach-{number}", instance, index, 0, "attached", 0.0),
        ),
        **more,
    )


def give(netns: Path, link: str, *cidrs: str, gateway: str = "") -> None:
    """What cloud-init or a CNI would do in a host."""
    with nl.RouteSocket(netns) as sock:
        index = sock.index(link)
        changes = [nl.link_up(index), *(nl.addr_add(index, cidr) for cidr in cidrs)]
        if gateway:
            changes.append(nl.route_replace("0.0.0.0/0", index, gateway))
            changes.append(nl.route_replace("::/0", index, plan.GATEWAY6))
        sock.apply(changes)


@dataclasses.dataclass
class Vpc:
    fabric: network.Fabric
    enis: dict[int, Eni]
    a: Path
    b: Path

    def sync(self) -> list[plan.Step]:
        return self.fabric.sync(self.enis.values())


@pytest.fixture(scope="module")
def vpc() -> Iterator[Vpc]:
    fabric = network.Fabric(LAB)
    hosts = [namespaces.path(LAB, name) for name in ("a", "b")]
    try:
        fabric.build()
        for instance, where in zip(("i-a", "i-b"), hosts, strict=True):
            namespaces.create(where, {"ipv6/conf/all/forwarding": "1", "ipv4/conf/all/rp_filter": "0"})
            fabric.add_host(instance, where)
        fabric.set_vpc_cidrs([ip_network("10.0.0.0/16"), ip_network("10.1.0.0/16"), ip_network("2001:db8:0:100::/56")])
        fabric.add_subnet("10.0.1.0/24")
        fabric.add_subnet("10.1.1.0/24")
        enis = {
            1: eni(1, "i-a", 0, "10.0.1.10", ipv6_addresses=("2001:db8:0:100::a",)),
            2: eni(2, "i-b", 0, "10.1.1.20", ipv6_addresses=("2001:db8:0:101::b",)),
        }
        world = Vpc(fabric, enis, *hosts)
        world.sync()
        give(hosts[0], "eth0", "10.0.1.10/24", "2001:db8:0:100::a/128", gateway="10.0.1.1")
        give(hosts[1], "eth0", "10.1.1.20/24", "2001:db8:0:101::b/128", gateway="10.1.1.1")
        fabric.set_public({"10.0.1.10": "203.0.113.5"})
        yield world
    finally:
        fabric.close()
        for where in hosts:
            syscalls.drop_netns(str(where))


@pytest.fixture
def a(vpc: Vpc) -> Endpoint:
    return Endpoint("a", vpc.a, "10.0.1.10")


@pytest.fixture
def b(vpc: Vpc) -> Endpoint:
    return Endpoint("b", vpc.b, "10.1.1.20")


def test_hosts_of_both_cidrs_reach_each_other_with_their_own_source(a: Endpoint, b: Endpoint) -> None:
    for ask in (reach.udp, reach.tcp):
        seen = ask([Probe(a, b), Probe(b, a)])
        assert [s.source for s in seen] == ["10.0.1.10", "10.1.1.20"]
        assert all(s.answered for s in seen)


def test_ipv6_between_hosts_and_to_the_internet_without_translation(vpc: Vpc) -> None:
    a6, b6 = Endpoint("a6", vpc.a, "2001:db8:0:100::a"), Endpoint("b6", vpc.b, "2001:db8:0:101::b")
    inet = Endpoint("internet", vpc.fabric.internet, plan.INTERNET_HOST6)
    seen = reach.udp([Probe(a6, b6), Probe(b6, a6), Probe(a6, inet), Probe(inet, a6)])
    assert [s.source for s in seen] == [
        "2001:db8:0:100::a",
        "2001:db8:0:101::b",
        "2001:db8:0:100::a",
        plan.INTERNET_HOST6,
    ]
    assert all(s.answered for s in seen)


def test_internet_only_with_a_public_address_and_then_one_to_one(vpc: Vpc, a: Endpoint, b: Endpoint) -> None:
    inet = Endpoint("internet", vpc.fabric.internet, plan.INTERNET_HOST)
    before = vpc.fabric.counters().no_public_ip
    out, refused, inward = reach.udp([Probe(a, inet), Probe(b, inet), Probe(inet, a, to="203.0.113.5")], timeout=0.6)
    assert (out.source, out.answered) == ("203.0.113.5", True)
    assert refused == reach.Seen()
    assert (inward.source, inward.answered) == (plan.INTERNET_HOST, True)
    assert vpc.fabric.counters().no_public_ip > before


def test_peered_network_sees_untranslated_sources(vpc: Vpc, a: Endpoint) -> None:
    peer = Endpoint("peer", vpc.fabric.peer, plan.PEER_HOST)
    seen = reach.udp([Probe(a, peer), Probe(peer, a)])
    assert [s.source for s in seen] == ["10.0.1.10", plan.PEER_HOST]


def test_9001_bytes_pass_and_9002_do_not(a: Endpoint, b: Endpoint) -> None:
    fits, too_big = reach.udp(
        [Probe(a, b, size=9001, dont_fragment=True), Probe(a, b, size=9002, dont_fragment=True)], timeout=0.6
    )
    assert fits.ok
    assert not too_big.source and too_big.error


@pytest.mark.parametrize(("spoof", "of"), [("10.1.1.20", "b's"), ("10.0.1.77", "nobody's"), ("192.0.2.1", "a foreign")])
def test_a_source_that_the_eni_does_not_hold_is_dropped_and_counted(
    vpc: Vpc, a: Endpoint, b: Endpoint, spoof: str, of: str
) -> None:
    before = vpc.fabric.counters().spoofed
    (seen,) = reach.udp(
        [Probe(a, b if spoof != b.address else Endpoint("peer", vpc.fabric.peer, plan.PEER_HOST), spoof=spoof)],
        timeout=0.3,
    )
    assert seen.source == "", of
    assert vpc.fabric.counters().spoofed >= before + 1


def test_source_check_can_be_switched_off_per_eni(vpc: Vpc, a: Endpoint, b: Endpoint) -> None:
    vpc.enis[1] = dataclasses.replace(vpc.enis[1], source_dest_check=False)
    vpc.sync()
    try:
        assert reach.udp([Probe(a, b, spoof="10.0.1.77")], timeout=0.3)[0].source == "10.0.1.77"
    finally:
        vpc.enis[1] = dataclasses.replace(vpc.enis[1], source_dest_check=True)
        vpc.sync()
    assert reach.udp([Probe(a, b, spoof="10.0.1.77")], timeout=0.3)[0].source == ""


def test_only_assigned_addresses_and_prefixes_are_routed(vpc: Vpc, a: Endpoint) -> None:
    pods = ["10.1.1.33", "10.1.1.49", "2001:db8:0:101:1::7"]
    give(vpc.b, "lo", *(f"{ip}/{128 if ':' in ip else 32}" for ip in pods))
    a6 = Endpoint("a6", vpc.a, "2001:db8:0:100::a")
    probes = [Probe(a6 if ":" in ip else a, Endpoint(ip, vpc.b, ip)) for ip in pods]
    plain = vpc.enis[2]
    assert [s.source for s in reach.udp(probes, timeout=0.3)] == ["", "", ""]
    vpc.enis[2] = dataclasses.replace(
        plain, secondary_ips=("10.1.1.33",), prefixes=("10.1.1.48/28",), ipv6_prefixes=("2001:db8:0:101:1::/80",)
    )
    vpc.sync()
    assert all(s.ok for s in reach.udp(probes))
    assert vpc.sync() == []
    vpc.enis[2] = plain
    vpc.sync()
    assert [s.source for s in reach.udp(probes, timeout=0.3)] == ["", "", ""]


def test_second_eni_appears_with_its_mac_down_and_goes_again(vpc: Vpc, a: Endpoint) -> None:
    vpc.enis[3] = eni(3, "i-b", 1, "10.1.1.21", secondary_ips=("10.1.1.22",))
    vpc.sync()
    shown = subprocess.run(["ip", "-n", vpc.b.name, "link", "show", "eth1"], capture_output=True, text=True).stdout
    assert "02:00:00:00:00:03" in shown and "mtu 9001" in shown and "state DOWN" in shown
    assert vpc.fabric.link_in_host(vpc.enis[3].id) == "eth1"
    give(vpc.b, "eth1", "10.1.1.21/24")
    assert reach.udp([Probe(a, Endpoint("eth1", vpc.b, "10.1.1.21"))], timeout=0.6)[0].source == "10.0.1.10"
    # the address moves to the first ENI: routed there at once
    give(vpc.b, "lo", "10.1.1.22/32")
    vpc.enis[3] = dataclasses.replace(vpc.enis[3], secondary_ips=())
    vpc.enis[2] = dataclasses.replace(vpc.enis[2], secondary_ips=("10.1.1.22",))
    vpc.sync()
    assert reach.udp([Probe(a, Endpoint("moved", vpc.b, "10.1.1.22"))])[0].ok
    del vpc.enis[3]
    vpc.enis[2] = dataclasses.replace(vpc.enis[2], secondary_ips=())
    vpc.sync()
    gone = subprocess.run(["ip", "-n", vpc.b.name, "link", "show", "eth1"], capture_output=True, text=True)
    assert gone.returncode != 0


def test_links_of_further_network_cards_take_the_next_free_name(vpc: Vpc) -> None:
    vpc.enis[4] = eni(4, "i-b", 1, "10.1.1.24")
    second_card = eni(5, "i-b", 1, "10.1.1.25")
    assert second_card.attachment is not None
    vpc.enis[5] = dataclasses.replace(
        second_card, attachment=dataclasses.replace(second_card.attachment, network_card=1)
    )
    vpc.sync()
    assert [vpc.fabric.link_in_host(vpc.enis[n].id) for n in (4, 5)] == ["eth1", "eth2"]
    del vpc.enis[4], vpc.enis[5]
    vpc.sync()
    assert vpc.fabric.link_in_host(second_card.id) is None


def test_what_the_kernel_refuses_is_raised_and_tried_again(vpc: Vpc) -> None:
    vpc.enis[6] = eni(6, "i-b", 1, "10.1.1.26", mac="01:00:00:00:00:06")  # a multicast MAC: no link may have it
    with pytest.raises(nl.KernelRefusedError, match="link add e-000000000006"):
        vpc.sync()
    vpc.enis[6] = dataclasses.replace(vpc.enis[6], mac="02:00:00:00:00:06")
    vpc.sync()
    assert vpc.fabric.link_in_host(vpc.enis[6].id) == "eth1"
    del vpc.enis[6]
    vpc.sync()
