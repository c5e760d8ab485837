"""A node with IPv6: its own address, a /80 prefix, and the way to the internet without translation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.fabric import namespaces, plan
from vpccni_lab.linux import netlink as nl
from vpccni_lab.probe import reach
from vpccni_lab.probe.reach import Endpoint, Probe
from vpccni_lab.spec import NodeSpec, SubnetSpec

pytestmark = pytest.mark.lab


def test_node_and_prefix_reach_the_internet_as_themselves(make_lab: Callable[..., LabClient]) -> None:
    lab = make_lab(
        ipv6_cidrs=("2001:db8:0:100::/56",),
        subnets=(SubnetSpec("a", "10.0.1.0/24", ipv6_cidr="2001:db8:0:101::/64"),),
        nodes=(NodeSpec("node-a", "a", ipv6=1, cni="none"),),
    )
    node, (eni,) = lab.node("node-a"), lab.enis()["node-a"]
    internet = Endpoint("internet", namespaces.path(lab.state.name, "internet"), plan.INTERNET_HOST6)
    own = Endpoint("node6", node.netns, eni["ipv6_addresses"][0])
    seen = reach.udp([Probe(own, internet), Probe(internet, own)], timeout=3)
    assert [s.source for s in seen] == [own.address, plan.INTERNET_HOST6]

    lab.ec2("AssignIpv6Addresses", NetworkInterfaceId=eni["id"], Ipv6PrefixCount=1)
    (prefix,) = lab.enis()["node-a"][0]["ipv6_prefixes"]
    pod = Endpoint("pod6", node.netns, prefix.partition("/")[0] + "7")
    with nl.RouteSocket(node.netns) as sock:
        sock.apply([nl.addr_add(sock.index("lo"), f"{pod.address}/128")])
    assert reach.udp([Probe(internet, pod)], timeout=3)[0].ok
