"""A pod on two network cards, with packets: each address is reached and leaves by its own card's ENI."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.demo import leftovers
from vpccni_lab.fabric import namespaces
from vpccni_lab.fabric.plan import INTERNET_HOST
from vpccni_lab.nodes.node import Node
from vpccni_lab.probe import reach
from vpccni_lab.probe.reach import Endpoint, Probe
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod, Pods
from vpccni_lab.spec import NodeSpec

from .conftest import FAST

pytestmark = pytest.mark.lab
NODES = (NodeSpec("node-a", "a", instance_type="c6in.32xlarge"), NodeSpec("node-b", "b", cni="none"))
MULTI = {"k8s.amazonaws.com/nicConfig": "multi-nic-attachment"}


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    return make_lab(nodes=NODES, env={**FAST, "ENABLE_MULTI_NIC": "true", "WARM_IP_TARGET": "2"}, traces=False)


@pytest.fixture(scope="module")
def node(lab: LabClient) -> Node:
    return lab.node("node-a")


@pytest.fixture(scope="module")
def pods(node: Node) -> Iterator[Pods]:
    with Pods(node) as made:
        yield made


@pytest.fixture(scope="module")
def wide(pods: Pods) -> Pod:
    """The pod on both cards."""
    return start(pods, podlib.new_pod("node-a", "wide", annotations=MULTI))


def start(pods: Pods, pod: Pod) -> Pod:
    (outcome,) = pods.run([pod])
    assert isinstance(outcome, Pod), outcome
    return outcome


def ends(node: Node, pod: Pod) -> list[Endpoint]:
    """One endpoint per address."""
    first = podlib.endpoint(node, pod)
    return [dataclasses.replace(first, address=address) for address in pod.addresses]


def inside(node: Node, pod: Pod, *command: str) -> str:
    return node.run(["nsenter", f"--net={pod.netns}", *command]).stdout


def link_of(lab: LabClient, node: Node, address: str) -> str:
    """The node's link of the ENI that has the address."""
    (mac,) = [eni["mac"] for eni in lab.enis()["node-a"] if address in eni["secondary_ips"]]
    (name,) = [link["ifname"] for link in json.loads(node.run(["ip", "-j", "link"]).stdout) if link["address"] == mac]
    return str(name)


def sent_by(node: Node, link: str) -> int:
    return int(json.loads(node.run(["ip", "-j", "-s", "link", "show", link]).stdout)[0]["stats64"]["tx"]["packets"])


def test_each_interface_has_routes_and_a_rule_of_its_own(node: Node, wide: Pod) -> None:
    first, second = wide.addresses
    assert inside(node, wide, "ip", "-br", "-4", "addr", "show", "eth0").split()[2] == f"{first}/32"
    assert inside(node, wide, "ip", "-br", "-4", "addr", "show", "mNicIf1").split()[2] == f"{second}/32"
    assert inside(node, wide, "ip", "-4", "rule").splitlines()[1].split() == ["1:", "from", second, "lookup", "1"]
    routes = {line.strip() for line in inside(node, wide, "ip", "-4", "route", "show", "table", "1").splitlines()}
    assert routes == {"default via 169.254.1.2 dev mNicIf1", "169.254.1.2 dev mNicIf1 scope link"}
    assert "default via 169.254.1.1 dev eth0" in inside(node, wide, "ip", "-4", "route")
    rules = node.run(["ip", "-4", "rule", "show", "priority", "1536"]).stdout
    assert f"from {second} lookup 10100" in rules
    assert first not in rules


def test_each_address_is_reached_and_leaves_by_its_own_card(lab: LabClient, node: Node, wide: Pod, pods: Pods) -> None:
    other = lab.node("node-b").endpoint
    narrow = start(pods, podlib.new_pod("node-a", "narrow"))
    assert len(narrow.addresses) == 1
    both = ends(node, wide)
    outside = (other, node.endpoint, podlib.endpoint(node, narrow))
    to_pod = [Probe(src, end) for src in outside for end in both]
    assert [
        (probe.src.name, seen.ok) for probe, seen in zip(to_pod, reach.udp(to_pod), strict=True) if not seen.ok
    ] == []

    own, others = (link_of(lab, node, end.address) for end in both)
    for end in both:
        before = sent_by(node, own), sent_by(node, others)
        burst = [Probe(end, other, source=end.address, source_port=7100 + n) for n in range(20)]
        assert [(seen.source, seen.answered) for seen in reach.udp(burst)] == [(end.address, True)] * 20
        assert sent_by(node, own) - before[0] >= 20 > sent_by(node, others) - before[1]
        own, others = others, own
    assert lab.dropped()["spoofed"] == 0
    assert pods.remove([narrow]) == [narrow]


def test_from_both_cards_the_internet_sees_the_node(lab: LabClient, node: Node, wide: Pod) -> None:
    internet = Endpoint("internet", namespaces.path(lab.state.name, "internet"), INTERNET_HOST)
    public = lab.public()[node.endpoint.address]
    probes = [Probe(end, internet, source=end.address, source_port=7200) for end in ends(node, wide)]
    assert [(seen.source, seen.answered) for seen in reach.udp(probes)] == [(public, True)] * 2


def test_check_restart_and_del(lab: LabClient, node: Node, wide: Pod, pods: Pods) -> None:
    pods.check(wide)
    for service in ("netconf", "ipam"):
        lab.service("node-a", service, "kill")
        lab.service("node-a", service, "start")
    lab.wait_ready("node-a")
    pods.check(wide)
    other = lab.node("node-b").endpoint
    assert all(seen.ok for seen in reach.udp([Probe(other, end) for end in ends(node, wide)]))
    assert pods.remove([wide]) == [wide]
    left = time.monotonic() + 10  # links go in the background
    while leftovers.in_kernel(node, set(wide.addresses), "eni") and time.monotonic() < left:
        time.sleep(0.05)
    assert leftovers.in_kernel(node, set(wide.addresses), "eni") == []
    again = start(pods, podlib.new_pod("node-a", "wide", annotations=MULTI))
    assert len(again.addresses) == 2
    assert pods.remove([again]) == [again]
