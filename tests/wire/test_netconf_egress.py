"""Egress links: IPv4 for the pods of an IPv6 cluster and IPv6 for those of an IPv4 cluster, translated to the node's address.

Names, addresses and routes are held against what the original's egress plugin leaves.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import pytest
from netconf_node import INTERNET, NODE_IP, Client, Node, eventually, host_spec, serving, sh
from netconf_scenario import BACKENDS, scenario
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NODE_IP6 = "2001:db8::10"
INTERNET6 = "2001:db8:ffff::1"
HOST_MAC, POD_MAC = "02:00:00:00:0e:01", "02:00:00:00:0d:01"
HOST_LINK_LOCAL = "fe80::ff:fe00:e01"


@dataclasses.dataclass(frozen=True)
class Case:
    """One direction. ``inside``: routes of the pod's egress link, ``on_host``: that of the node, as `ip route` shows them."""

    host: pb.HostSpec
    address: str
    ifname: str
    internet: str
    node: str
    inside: tuple[str, ...]
    on_host: str


V4 = Case(
    host_spec(
        ipv6=True, primary_ip=NODE_IP6, vpc_cidrs=["2001:db8::/64"], exclude_snat_cidrs=[], v4_egress=True, egress_ip=NODE_IP
    ),
    "169.254.172.10",
    "v4if0",
    INTERNET,
    NODE_IP,
    (
        "169.254.172.0/22 via 169.254.172.1 dev v4if0 src 169.254.172.10",
        "169.254.172.1 dev v4if0 scope link src 169.254.172.10",
        "default via 169.254.172.1 dev v4if0",
    ),
    "169.254.172.10 dev veth00000001 scope link",
)  # fmt: skip
V6 = Case(
    host_spec(v6_egress=True, egress_ip=NODE_IP6),
    "fd00::ac:10",
    "v6if0",
    INTERNET6,
    NODE_IP6,
    (f"default via {HOST_LINK_LOCAL} dev v6if0 metric 1024 pref medium",),
    "fd00::ac:10 dev veth00000001 metric 1024 pref medium",
)
CASES = pytest.mark.parametrize("case", [V4, V6], ids=["v4", "v6"])


@pytest.fixture
def node() -> Iterator[Node]:
    """Both families reach the internet from the node's own addresses, and from no other."""
    with Node() as made:
        made.exec("ip", "addr", "add", f"{NODE_IP6}/64", "dev", "eth0", "nodad")
        made.exec("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
        for address, link in (("2001:db8::1/64", "gw0"), (f"{INTERNET6}/128", "lo")):
            sh("ip", "-n", made.vpc, "addr", "add", address, "dev", link, "nodad")
        yield made


def pod_of(node: Node, case: Case, number: int = 1) -> pb.PodSpec:
    pod = node.add_pod(f"10.0.1.{32 + number}")
    if case is V4:
        pod.address = f"2001:db8::{number:x}33"
    base, _, last = case.address.rpartition("." if case is V4 else ":")
    last = str(int(last) + number - 1)
    pod.egress.address = f"{base}{'.' if case is V4 else ':'}{last}"
    pod.egress.host_veth = f"veth{number:08x}"
    pod.egress.host_mac, pod.egress.mac = f"{HOST_MAC[:-1]}{number}", f"{POD_MAC[:-1]}{number}"
    return pod


def routes(node: Node, pod: pb.PodSpec | None, family: str, dev: str) -> list[str]:
    argv = ("ip", family, "route")
    lines = (node.in_pod(pod, *argv) if pod is not None else node.exec(*argv)).splitlines()
    shown = [" ".join(line.split()) for line in lines]
    return sorted(line for line in shown if f"dev {dev}" in line and not line.startswith("fe80::/64"))


def whole(node: Node) -> str:
    return node.snapshot() + node.exec("ip", "-6", "route") + node.exec("ip", "-6", "rule")


@pytest.mark.parametrize("backend", BACKENDS)
@CASES
def test_pods_reach_the_other_family_as_the_node(node: Node, tmp_path: pathlib.Path, case: Case, backend: str) -> None:
    pods = [pod_of(node, case, number) for number in (1, 2)]
    family = "-4" if case is V4 else "-6"

    async def body(client: Client) -> None:
        await client.set_up(case.host)
        before = whole(node)
        for pod in pods:
            await client.setup_pod(pod)
            assert node.pings(pod, case.internet), "the first packet, right after the answer"
        assert routes(node, pods[0], family, case.ifname) == sorted(case.inside)
        assert routes(node, None, family, "veth00000001") == [case.on_host]
        assert not node.pings(pods[0], pods[1].egress.address), "egress addresses are not for talking to each other"
        for pod in pods:
            assert (await client.setup_pod(pod)).changes == 0
            assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=pod))).differences
        assert (await client.call("ApplyHost", pb.ApplyHostRequest(host=case.host))).changes == 0
        assert (await client.call("ApplyPods", pb.ApplyPodsRequest(pods=pods))).changes == 0
        observed = await client.call("Observe", pb.ObserveRequest())
        assert set(observed.egress_addresses) == {pod.egress.address for pod in pods}
        for pod in pods:
            await client.teardown_pod(pod)
        await asyncio.to_thread(eventually, lambda: whole(node) == before, "the node is as before")

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend) as process:
        scenario(process, body)


@CASES
def test_pods_that_nobody_lists_lose_their_egress_link(node: Node, tmp_path: pathlib.Path, case: Case) -> None:
    """Those that the original wired keep theirs: its pods are listed without one."""
    ours, gone = pod_of(node, case), pod_of(node, case, 2)

    async def body(client: Client) -> None:
        await client.set_up(case.host)
        for pod in (ours, gone):
            await client.setup_pod(pod)
        listed = pb.PodSpec()
        listed.CopyFrom(ours)
        listed.ClearField("egress")
        await client.call("ApplyPods", pb.ApplyPodsRequest(pods=[listed]))
        await asyncio.to_thread(
            eventually, lambda: gone.egress.host_veth not in " ".join(node.links()), "the leftover is deleted"
        )
        assert node.pings(ours, case.internet)

    with serving(node, tmp_path) as process:
        scenario(process, body)


CHAIN = "CNI-E4-5740307710ebfd5fb24f5"


def lay_out_as_the_original(node: Node, pod: pb.PodSpec) -> None:
    """The egress link and the chain that the original's egress plugin leaves; the pod is otherwise ours."""
    name = pod.netns.rsplit("/", 1)[-1]
    sh("ip", "-n", name, "link", "add", "v4if0", "type", "veth", "peer", "name", "veth1a2b3c4d", "netns", node.netns)
    node.exec("ip", "link", "set", "veth1a2b3c4d", "up")
    node.exec("ip", "addr", "add", "169.254.172.1/32", "dev", "veth1a2b3c4d", "scope", "link")
    node.exec("ip", "route", "add", "169.254.172.2", "dev", "veth1a2b3c4d", "scope", "link")
    sh("ip", "-n", name, "link", "set", "v4if0", "up")
    sh("ip", "-n", name, "addr", "add", "169.254.172.2/22", "dev", "v4if0", "noprefixroute")
    sh("ip", "-n", name, "route", "add", "169.254.172.1", "dev", "v4if0", "scope", "link", "src", "169.254.172.2")
    sh("ip", "-n", name, "route", "add", "default", "via", "169.254.172.1", "dev", "v4if0")
    comment = ("-m", "comment", "--comment", 'name: "aws-cni" id: "c1"')
    node.exec("iptables-nft", "-t", "nat", "-N", CHAIN)
    node.exec("iptables-nft", "-t", "nat", "-A", CHAIN, "-d", "224.0.0.0/4", *comment, "-j", "ACCEPT")
    node.exec(
        "iptables-nft", "-t", "nat", "-A", CHAIN, *comment, "-j", "SNAT", "--to-source", NODE_IP, "--random-fully"
    )
    node.exec("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "169.254.172.2", *comment, "-j", CHAIN)


def test_pods_of_the_original_keep_their_egress_and_its_chains_are_taken_over(
    node: Node, tmp_path: pathlib.Path
) -> None:
    pod = pod_of(node, V4)
    pod.ClearField("egress")
    node.exec("sysctl", "-qw", "net.ipv4.ip_forward=1")

    async def body(client: Client) -> None:
        await client.setup_pod(pod)
        lay_out_as_the_original(node, pod)
        assert node.pings(pod, INTERNET)
        await client.set_up(V4.host)
        await client.call("ApplyPods", pb.ApplyPodsRequest(pods=[pod]))
        assert CHAIN not in node.exec("iptables-nft-save", "-t", "nat")
        assert node.pings(pod, INTERNET), "translated by the chain of the whole range"
        observed = await client.call("Observe", pb.ObserveRequest())
        assert list(observed.egress_addresses) == ["169.254.172.2"], "ipam will not give it to another pod"
        assert "veth1a2b3c4d" in " ".join(node.links())

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_an_egress_address_of_another_range_or_family_is_refused(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        pod = pod_of(node, V6)
        for address in ("169.254.172.10", "10.0.0.1", "fd00::ad:1", "x"):
            pod.egress.address = address
            with pytest.raises(ReasonError) as caught:
                await client.setup_pod(pod)
            assert caught.value.reason is Reason.REQUEST_INVALID and "egress.address" in caught.value.message

    with serving(node, tmp_path) as process:
        scenario(process, body)
