"""A node is switched from the original CNI to ours with its pods running, and is left so that it could be switched back."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.datapath import original
from vpccni_lab.datapath.original import LAYOUTS, OriginalPod
from vpccni_lab.demo import leftovers
from vpccni_lab.fabric import namespaces, plan
from vpccni_lab.nodes.node import Node
from vpccni_lab.probe import reach
from vpccni_lab.probe.ping import PingStream
from vpccni_lab.probe.reach import Endpoint, Probe
from vpccni_lab.probe.stream import TcpStream
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod, Pods
from vpccni_lab.spec import NodeSpec

from .conftest import FAST

pytestmark = pytest.mark.lab
NODES = {"nftables": ("1.23 nftables", "nft"), "legacy": ("1.23 iptables", "legacy"), "old": ("1.7", "nft")}
"""Node -> layout, and what iptables is there."""
BACKEND = {"nftables": "nftables", "legacy": "iptables-legacy", "old": "iptables-nft"}


class Switched:
    """A lab whose nodes were the original's; streams run over the switch."""

    def __init__(self, lab: LabClient) -> None:
        self.lab = lab
        self.internet = Endpoint("internet", namespaces.path(lab.state.name, "internet"), plan.INTERNET_HOST)
        self.pods: dict[str, list[OriginalPod]] = {}
        self.streams: dict[str, list[TcpStream]] = {}
        self.pings: dict[str, PingStream] = {}

    def node(self, name: str) -> Node:
        return self.lab.node(name)

    def end(self, name: str, index: int) -> Endpoint:
        return podlib.endpoint(self.node(name), self.pods[name][index].pod)


@pytest.fixture(scope="module")
def switched(make_lab: Callable[..., LabClient]) -> Iterator[Switched]:
    specs = [
        NodeSpec(name, "a", "t3.medium", cni="later", iptables=ipt, env={"VPCCNI_NETCONF_PACKET_FILTER": BACKEND[name]})
        for name, (_, ipt) in NODES.items()
    ]
    lab = make_lab(nodes=tuple(specs), env={**FAST, "WARM_IP_TARGET": "1"}, traces=False)
    world = Switched(lab)
    for name, (layout, ipt) in NODES.items():
        world.pods[name] = original.lay_out(lab, name, layout, ipt)
    with contextlib.ExitStack() as stack:
        for number, name in enumerate(NODES):
            # before any of ours runs: the layout itself must work; a listening port on the internet host for each stream
            first, second = world.end(name, 0), world.end(name, 2)
            world.streams[name] = [
                stack.enter_context(TcpStream(pod, world.internet, listen=8000 + 2 * number + index))
                for index, pod in enumerate((first, second))
            ]
            world.pings[name] = stack.enter_context(PingStream(first, second))
        for name in NODES:
            for service in ("netconf", "eni-manager", "ipam"):
                lab.service(name, service, "start")
        for name in NODES:
            lab.wait_ready(name)
            for stream in world.streams[name]:
                stream.wait_rounds(20)
        yield world


def rules(node: Node) -> list[dict[str, object]]:
    return list(json.loads(node.run(["ip", "-j", "rule"]).stdout))


@pytest.mark.parametrize("name", NODES)
def test_no_packet_is_lost(switched: Switched, name: str) -> None:
    for stream in switched.streams[name]:
        assert stream.result.broken == ""
        assert stream.result.rounds > 20
        assert stream.result.source == switched.lab.public()[switched.node(name).address]
    assert switched.pings[name].result.sent > 20
    for stream in switched.streams[name]:
        assert stream.wait_rounds(5)


@pytest.mark.parametrize("name", NODES)
def test_every_pod_has_its_rules_once(switched: Switched, name: str) -> None:
    found = rules(switched.node(name))
    for item in switched.pods[name]:
        to = [rule["table"] for rule in found if rule.get("dst") == item.pod.address]
        leaving = [rule["table"] for rule in found if rule["priority"] == 1536 and rule.get("src") == item.pod.address]
        assert to == ["main"]
        assert leaving == ([str(item.table)] if item.device else [])


@pytest.mark.parametrize("name", NODES)
def test_older_chains_are_gone_and_ours_are_the_originals(switched: Switched, name: str) -> None:
    node, ipt = switched.node(name), NODES[name][1]
    saved = node.run([f"iptables-{ipt}-save", "-t", "nat"]).stdout
    assert "CHAN" not in saved
    assert "AWS-SNAT-CHAIN-1" not in saved
    assert "AWS-CONNMARK-CHAIN-1" not in saved
    assert "--state NEW" not in saved
    assert saved.count("--to-source") == 1
    assert (
        '-A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL '
        f"-j SNAT --to-source {node.address} --random-fully"
    ) in saved
    native = node.run(["nft", "list", "table", "ip", "aws-cni"])
    assert (native.returncode == 0) == (BACKEND[name] == "nftables")
    assert ("AWS-CONNMARK-CHAIN-0" in saved) == (BACKEND[name] != "nftables")


@pytest.mark.parametrize("name", NODES)
def test_pods_of_before_are_known_and_new_ones_get_other_addresses(switched: Switched, name: str) -> None:
    node, taken = switched.node(name), {item.pod.address for item in switched.pods[name]}
    assert leftovers.inspect(node).assigned == len(taken)
    with Pods(node, original.CONF) as runtime:
        (pod,) = runtime.run([podlib.new_pod(name, "new")])
        assert isinstance(pod, Pod), pod
        assert pod.address not in taken
        (seen,) = reach.udp([Probe(podlib.endpoint(node, pod), switched.end(name, 2))], timeout=3)
        assert seen.source == pod.address
        assert seen.answered
        assert runtime.remove([pod]) == [pod]


@pytest.mark.parametrize("name", NODES)
def test_del_with_the_originals_result_cleans_up(switched: Switched, name: str) -> None:
    node, item = switched.node(name), switched.pods[name][3]
    with Pods(node, original.CONF) as runtime:
        assert runtime.remove([item.pod]) == [item.pod]
    left = leftovers._settle(lambda: leftovers.in_kernel(node, {item.pod.address}, item.veth), 5.0)
    assert left == []


@pytest.mark.parametrize("name", NODES)
def test_what_we_leave_is_in_the_originals_form(switched: Switched, name: str) -> None:
    """Its checkpoint reader wants these fields, and host links whose names end with the hash of the pod's name."""
    node = switched.node(name)
    for service in ("ipam", "eni-manager", "netconf"):
        switched.lab.service(name, service, "stop")
    checkpoint = json.loads(node.file(original.CHECKPOINT).read_text())
    assert checkpoint["version"] == "vpc-cni-ipam/1"
    links = {link["ifname"] for link in json.loads(node.run(["ip", "-j", "link"]).stdout)}
    left = {item.pod.address: item for item in switched.pods[name][:3]}
    assert {entry["ipv4"] for entry in checkpoint["allocations"]} == set(left)
    for entry in checkpoint["allocations"]:
        item, metadata = left[entry["ipv4"]], entry["metadata"]
        assert (entry["networkName"], entry["containerID"], entry["ifName"]) == (
            "aws-cni",
            item.pod.container_id,
            "eth0",
        )
        digest = hashlib.sha1(f"{metadata['k8sPodNamespace']}.{metadata['k8sPodName']}".encode()).hexdigest()
        assert f"eni{digest[:11]}" in links
    tables = {(rule["priority"], rule["table"]) for rule in rules(node)}
    assert {(512, "main"), (1024, "main"), (1536, "2"), (32765, "2")} <= tables
    # pods need none of us
    for stream in switched.streams[name]:
        assert stream.wait_rounds(5)
        assert stream.result.broken == ""


def test_pings_over_the_whole_of_it(switched: Switched) -> None:
    """Last: the services were started, used and stopped meanwhile."""
    for name in NODES:
        switched.pings[name].__exit__(None, None, None)
        assert switched.pings[name].result.lost == ()


def test_layouts_are_all_covered() -> None:
    assert {layout for layout, _ in NODES.values()} == set(LAYOUTS)
