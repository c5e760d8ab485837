"""Sysctls that are looked at over and over, in a namespace of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from netconf_node import Node
from vpccni_netconf.adapters.sysctl_watch import SysctlFiles

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
PATH = "net/ipv6/conf/veth1/accept_ra"


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.exec("ip", "link", "add", "veth1", "type", "veth", "peer", "name", "veth2")
        made.exec("sysctl", "-qw", "net.ipv6.conf.veth1.accept_ra=0")
        yield made


def test_what_strays_is_seen_also_on_a_link_that_was_made_anew(node: Node) -> None:
    files, wanted = SysctlFiles(), {PATH: "0", "net/ipv4/conf/all/forwarding": "1", "net/no/such/file": "1"}

    def strayed() -> tuple[str, ...]:
        return node.run(lambda: files.strayed(wanted))

    assert not strayed()
    node.exec("sysctl", "-qw", "net.ipv6.conf.veth1.accept_ra=2")
    assert strayed() == (PATH,)
    node.exec("sysctl", "-qw", "net.ipv6.conf.veth1.accept_ra=0")
    assert not strayed()
    node.exec("ip", "link", "del", "veth1")
    assert not strayed(), "a file that is not there is nothing that strays"
    node.exec("ip", "link", "add", "veth1", "type", "veth", "peer", "name", "veth2")
    assert strayed() == (PATH,), "its own default is not what was wanted"
    assert not node.run(lambda: files.strayed({"net/ipv4/conf/all/forwarding": "1"}))
