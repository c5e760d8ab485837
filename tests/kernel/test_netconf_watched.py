"""What netconf leaves for later and what it watches, against the real kernel: leftovers, connections, events, the packet filter's
fingerprint."""

from __future__ import annotations

import os
import socket

import pytest
from netconf_node import INTERNET, Node, eventually, sh
from vpccni_netconf.adapters.conntrack import ConntrackSocket
from vpccni_netconf.adapters.events import RtnlEvents
from vpccni_netconf.adapters.filter_fingerprint import FilterFingerprint
from vpccni_netconf.adapters.kernel import LinuxKernel
from vpccni_netconf.adapters.leftovers import Leftovers
from vpccni_netconf.domain.objects import LinkFacts, Route, Rule
from vpccni_netconf.domain.ops import Ensure, Remove

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_leftover_links_go_in_one_group_and_others_stay(node: Node, kernel: LinuxKernel) -> None:
    names = [f"eni0000000000{n}" for n in range(6)]
    for name in names:
        node.exec("ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name[-1]}")
    leftovers = node.run(Leftovers)
    indexes = node.run(lambda: {name: socket.if_nametoindex(name) for name in names})
    for name in names[:5]:
        leftovers.delete_link(indexes[name], name)
    assert leftovers.is_leaving(indexes[names[4]])
    leftovers.close()
    left = " ".join(node.links())
    assert not [name for name in names[:5] if name in left]
    assert names[5] in left
    assert not leftovers.is_leaving(indexes[names[0]])


def test_connections_of_an_address_are_flushed_and_no_others(node: Node) -> None:
    node.exec("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-d", INTERNET, "-j", "MASQUERADE")
    for address in ("10.0.1.77", "10.0.1.78"):
        node.exec("ip", "addr", "add", f"{address}/32", "dev", "lo")
        sh("ip", "-n", node.vpc, "neigh", "replace", address, "lladdr", "02:00:00:00:01:0a", "dev", "gw0")
        node.exec("ping", "-c", "1", "-W", "3", "-I", address, INTERNET)
    sh("ip", "netns", "exec", node.vpc, "ping", "-c", "1", "-W", "3", "-I", "10.0.1.1", "10.0.1.77")

    def flush(*addresses: str) -> int:
        def body() -> int:
            table = ConntrackSocket()
            try:
                return table.flush(addresses)
            finally:
                table.close()

        return node.run(body)

    assert flush("10.0.1.77") == 2, "what it sent (translated), and what it was sent"
    assert flush("10.0.1.77", "10.0.1.99", "10.0.1.98") == 0
    assert flush("10.0.1.97", "10.0.1.78", "10.0.1.98") == 1, "many addresses: one unfiltered walk"
    assert flush("2001:db8::1") == 0


def test_events_tell_what_others_do_and_not_what_we_do(node: Node, kernel: LinuxKernel) -> None:
    events = node.run(lambda: RtnlEvents((kernel.port,), {"eth0"}.__contains__))
    ours, theirs = Rule(4, 512, 254, dst="10.0.1.33/32"), Rule(4, 512, 254, dst="10.0.1.34/32")
    try:
        node.run(lambda: kernel.host.apply([Ensure(ours), Ensure(theirs), Remove(ours)]))
        node.exec("ip", "rule", "del", "to", "10.0.1.34", "pref", "512")
        node.exec("ip", "route", "add", "10.0.9.9", "dev", "eth0")
        node.exec("ip", "route", "replace", "10.0.9.9", "dev", "eth0", "scope", "link", "src", "10.0.1.10")
        node.exec("ip", "link", "set", "eth1", "mtu", "1300")
        node.exec("ip", "link", "set", "eth0", "mtu", "1400")
        found: list[tuple[object, bool]] = []

        def seen() -> bool:
            changes, lost = node.run(events.drain)
            assert not lost
            found.extend((change.item, change.gone) for change in changes)
            return any(isinstance(item, LinkFacts) and item.mtu == 1400 for item, _ in found)

        eventually(seen, "the link's event")
        assert (theirs, True) in found
        assert (Route(254, "10.0.9.9/32", "eth0", prefsrc="10.0.1.10"), False) in found, "a replaced route"
        assert not [item for item, _ in found if item == ours]
        assert {item.mtu for item, _ in found if isinstance(item, LinkFacts) and item.name == "eth1"} == {0}, "not read"
    finally:
        events.close()


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_the_fingerprint_changes_with_the_rules_only(node: Node, tool: str) -> None:
    mark = node.run(FilterFingerprint)

    def read() -> tuple[int, ...]:
        return node.run(mark.read)

    try:
        node.exec(tool, "-t", "nat", "-N", "AWS-SNAT-CHAIN-0")
        before = read()
        assert read() == before
        node.exec(tool, "-t", "nat", "-A", "AWS-SNAT-CHAIN-0", "-j", "RETURN")
        after = read()
        assert after != before
        node.exec(tool, "-t", "nat", "-F", "AWS-SNAT-CHAIN-0")
        assert read() != after
    finally:
        mark.close()
