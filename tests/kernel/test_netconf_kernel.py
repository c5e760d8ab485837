"""netconf's adapters against the real kernel, in namespaces of their own."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import pytest
from netconf_node import Node
from vpccni_api.reasons import Reason, ReasonError
from vpccni_netconf.adapters.kernel import LinuxKernel
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Object, Route, Rule, Sysctl
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink, Ensure, PurgeRules, Remove
from vpccni_netconf.ports import Query

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

EVERYTHING = Query((4,), rules=True, tables=(254, 7), addresses=True, neighbours=True)


OBJECTS: list[Object] = [
    Link("eth1", mtu=9001),
    Address("eth1", "10.0.2.20/24"),
    Route(7, "10.0.2.1/32", "eth1"),
    Route(7, "0.0.0.0/0", "eth1", gateway="10.0.2.1"),
    Route(254, "10.0.9.9/32", "eth1", metric=50),
    Neighbour("eth1", "10.0.2.1", "02:aa:bb:cc:dd:ee"),
    Rule(4, 512, 254, dst="10.0.1.33/32"),
    Rule(4, 1024, 254, fwmark=0x80, fwmask=0x80),
    Rule(4, 1536, 10203, src="10.0.2.33/32"),
    Rule(4, 10, 107, iif="vlan.eth.7"),
    Rule(4, 20, 255),
]


def test_every_object_is_seen_again_as_it_was_made(node: Node, kernel: LinuxKernel) -> None:
    def body() -> None:
        assert kernel.host.apply([Ensure(item) for item in OBJECTS]) == len(OBJECTS)
        seen = kernel.host.observe(EVERYTHING)
        link = seen.link("eth1")
        assert link is not None and (link.up, link.mtu, link.mac) == (True, 9001, "02:00:00:00:02:14")
        there = {*seen.rules, *seen.routes, *seen.addresses, *seen.neighbours}
        assert [item for item in OBJECTS if item not in there and not isinstance(item, Link)] == []
        assert not [route for route in seen.routes if route.dst == "10.0.2.0/24"], "no connected route"
        removable = [i for i in OBJECTS if isinstance(i, Rule | Route | Address | Neighbour)]
        kernel.host.apply([Remove(item) for item in removable])
        seen = kernel.host.observe(EVERYTHING)
        left = {*seen.rules, *seen.routes, *seen.addresses, *seen.neighbours}
        assert not left & set(removable)
        assert kernel.host.apply([Remove(item) for item in removable]) == 0, "already gone is success"

    node.run(body)


def test_ipv6_objects(node: Node, kernel: LinuxKernel) -> None:
    items: list[Object] = [
        Link("eth1"),
        Address("eth1", "2001:db8::20/64"),
        Route(7, "fe80:ec2::1/128", "eth1"),
        Route(7, "::/0", "eth1", gateway="fe80:ec2::1"),
        Rule(6, 1536, 7, src="2001:db8::33/128"),
        Rule(6, 0, 255, src="fe80:ec2::1/128", ip_proto=58),
    ]

    def body() -> None:
        kernel.host.apply([Ensure(item) for item in items])
        seen = kernel.host.observe(Query((6,), rules=True, tables=(254, 7), addresses=True))
        there = {*seen.rules, *seen.routes, *seen.addresses}
        assert [item for item in items if item not in there and not isinstance(item, Link)] == []

    node.run(body)


def test_a_refusal_names_the_command_the_kernels_words_and_the_errno(node: Node, kernel: LinuxKernel) -> None:
    def body() -> None:
        outcome = kernel.host.attempt(
            [
                Ensure(Route(254, "0.0.0.0/0", "eth0", gateway="192.0.2.1", metric=9)),
                Ensure(Link("nosuch")),
                Ensure(Rule(4, 512, 254, dst="10.0.1.33/32")),
            ]
        )
        assert outcome.changes == 1, "what can be done is done"
        (_, first), (_, second) = sorted(outcome.failures, key=lambda failure: failure[1].reason)
        assert first.reason is Reason.KERNEL_REFUSED
        assert first.message.startswith("ip route replace default via 192.0.2.1 dev eth0 metric 9 table main: ")
        assert "invalid gateway" in first.message and "(ENETUNREACH)" in first.message
        assert second.reason is Reason.LINK_MISSING and "ip link set nosuch up" in second.message

    node.run(body)


def test_purge_takes_every_rule_that_matches_and_no_other(node: Node, kernel: LinuxKernel) -> None:
    for table in ("7", "8", "9"):
        for cidr in ("10.0.0.0/16", "10.1.0.0/16"):
            node.exec("ip", "rule", "add", "from", "10.0.2.33", "to", cidr, "lookup", table, "pref", "1536")
    node.exec("ip", "rule", "add", "from", "10.0.2.34", "lookup", "7", "pref", "1536")

    def body() -> None:
        pattern = Rule(4, 1536, 0, src="10.0.2.33/32")
        wanted = Rule(4, 1536, 2, src="10.0.2.33/32")
        assert kernel.host.apply([PurgeRules(pattern), Ensure(wanted)]) == 7
        rules = [rule for rule in kernel.host.observe(EVERYTHING).rules if rule.priority == 1536]
        assert rules == [Rule(4, 1536, 7, src="10.0.2.34/32"), wanted]

    node.run(body)


def test_a_pod_link_is_born_with_its_peer_in_the_node(node: Node, kernel: LinuxKernel) -> None:
    pod = node.add_pod("10.0.1.33")
    made = CreatePodLink("eth0", "eni0123456789a", 8000, "02:11:22:33:44:55", 2)

    def body() -> None:
        with kernel.pod(pod.netns) as inside:
            inside.apply([made])
            own = inside.observe(Query()).link("eth0")
            peer = kernel.host.observe(Query()).link("eni0123456789a")
            assert own is not None and peer is not None
            assert (own.index, own.mtu, own.kind, own.peer_index) == (2, 8000, "veth", peer.index)
            assert (peer.mac, peer.mtu, peer.up) == ("02:11:22:33:44:55", 8000, False)
            assert "numtxqueues 1 " in node.exec("ip", "-d", "link", "show", "eni0123456789a")
            with pytest.raises(ReasonError) as caught:
                inside.apply([dataclasses.replace(made, host_veth="eni0123456789b")])
            assert caught.value.reason is Reason.LINK_EXISTS
            another = dataclasses.replace(made, ifname="eth7", host_veth="eni0123456789c")
            assert inside.apply([another]) == 1, "a taken index is no obstacle"
            assert inside.observe(Query()).link("eth7") is not None
            kernel.host.apply([DeleteLink(peer.index, peer.name)])
            assert inside.observe(Query()).link("eth0") is None
            assert kernel.host.apply([DeleteLink(peer.index, peer.name)]) == 0

    node.run(body)


def test_the_thread_is_back_in_the_node_after_a_pod(node: Node, kernel: LinuxKernel) -> None:
    pod = node.add_pod("10.0.1.33")

    def body() -> None:
        before = os.stat("/proc/thread-self/ns/net").st_ino
        with kernel.pod(pod.netns) as inside:
            assert os.stat("/proc/thread-self/ns/net").st_ino == before
            inside.observe(Query(sysctls=("net/ipv4/conf/lo/rp_filter",)))
            inside.apply([Ensure(Sysctl("net/ipv4/conf/lo/rp_filter", "2"))])
        assert os.stat("/proc/thread-self/ns/net").st_ino == before
        assert kernel.host.observe(Query(sysctls=("net/ipv4/conf/lo/rp_filter",))).sysctls[0].value != "2"

    node.run(body)
    assert node.in_pod(pod, "cat", "/proc/sys/net/ipv4/conf/lo/rp_filter") == "2\n"


def test_a_missing_path_is_not_created(node: Node, kernel: LinuxKernel, tmp_path: pathlib.Path) -> None:
    def body() -> None:
        with pytest.raises(ReasonError) as caught, kernel.pod(str(tmp_path / "none")):
            pass
        assert caught.value.reason is Reason.NETNS_GONE

    node.run(body)
    assert list(tmp_path.iterdir()) == []


def test_sysctls_are_written_only_when_they_differ_and_missing_ones_are_named(node: Node, kernel: LinuxKernel) -> None:
    def body() -> None:
        wanted = Ensure(Sysctl("net/ipv4/conf/eth0/rp_filter", "2"))
        assert [kernel.host.apply([wanted]), kernel.host.apply([wanted])] == [1, 0]
        assert kernel.host.apply([Ensure(Sysctl("net/ipv4/conf/none/rp_filter", "2"))]) == 0
        with pytest.raises(ReasonError) as caught:
            kernel.host.apply([Ensure(Sysctl("net/ipv4/conf/none/rp_filter", "2", optional=False))])
        assert "sysctl -w net/ipv4/conf/none/rp_filter=2" in caught.value.message

    node.run(body)


def test_a_thousand_objects_are_read_without_loss(node: Node, kernel: LinuxKernel) -> None:
    """More than one receive buffer, more than one batch."""
    rules = [Rule(4, 512, 254, dst=f"10.{n // 250}.7.{n % 250}/32") for n in range(1000)]

    def body() -> None:
        assert kernel.host.apply([Ensure(rule) for rule in rules]) == 1000
        seen = kernel.host.observe(EVERYTHING).rules
        assert [rule for rule in seen if rule.priority == 512] == rules
        assert kernel.host.apply([Remove(rule) for rule in rules]) == 1000
        assert kernel.host.apply([Remove(rule) for rule in rules]) == 0, "a thousand errors are read, too"

    node.run(body)
