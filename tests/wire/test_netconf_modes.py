"""IPv6 pods, pods on several network cards, pods with a branch ENI, settings changed while pods run, few capabilities."""

from __future__ import annotations

import asyncio
import os
import pathlib
from collections.abc import Iterator

import pytest
from netconf_node import (
    INTERNET,
    NODE_IP,
    PRIMARY_MAC,
    Client,
    Node,
    branch_of,
    eni_spec,
    eventually,
    has_vlan,
    host_spec,
    serving,
    sh,
)
from netconf_scenario import scenario
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


def test_ipv6_pods_talk_at_once_and_leave_nothing(node: Node, tmp_path: pathlib.Path) -> None:
    """No duplicate-address wait: the first packet leaves right after the answer."""
    host = host_spec(ipv6=True, primary_ip="2001:db8::10", vpc_cidrs=["2001:db8::/64"], exclude_snat_cidrs=[])
    pods = []
    for number in (1, 2):
        pod = node.add_pod(f"10.0.1.{number}")
        pod.address = f"2001:db8::{number:x}33"
        pods.append(pod)
    node.exec("ip", "addr", "add", "2001:db8::10/64", "dev", "eth0", "nodad")

    async def body(client: Client) -> None:
        await client.set_up(host)
        before = node.exec("ip", "-6", "rule"), node.links()
        for pod in pods:
            assert (await client.setup_pod(pod)).changes > 0
        assert node.pings(pods[0], pods[1].address), "pod to pod"
        assert node.pings(pods[0], "2001:db8::10"), "pod to node"
        inside = [" ".join(line.split()) for line in node.in_pod(pods[0], "ip", "-6", "route").splitlines()]
        assert "default via fe80::1 dev eth0 metric 1024 pref medium" in inside
        assert f"512: from all to {pods[0].address} lookup main" in node.exec("ip", "-6", "rule").replace("\t", " ")
        for pod in pods:
            assert (await client.setup_pod(pod)).changes == 0
            assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=pod))).differences
        assert (await client.call("ApplyHost", pb.ApplyHostRequest(host=host))).changes == 0
        assert "169.254.172.0/22" in node.exec("iptables-nft-save", "-t", "filter")
        assert "AWS" not in node.exec("iptables-nft-save", "-t", "nat"), "IPv6 is not translated"
        node.exec("ip", "-6", "rule", "del", "to", pods[0].address)
        await asyncio.to_thread(
            eventually, lambda: pods[0].address in node.exec("ip", "-6", "rule"), "IPv6 rules are looked after, too"
        )
        for pod in pods:
            await client.teardown_pod(pod)
        await asyncio.to_thread(
            eventually, lambda: (node.exec("ip", "-6", "rule"), node.links()) == before, "the node is as before"
        )

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_pod_on_two_network_cards(node: Node, tmp_path: pathlib.Path) -> None:
    first, second = node.add_pod("10.0.1.33"), node.add_pod("10.0.2.34", 2)
    second.netns, second.container_id = first.netns, first.container_id
    second.ifname, second.index = "mNicIf1", 1

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        for pod in (first, second):
            await client.setup_pod(pod)
        lines = [
            " ".join(line.split()) for line in node.in_pod(first, "ip", "route", "show", "table", "1").splitlines()
        ]
        assert lines == ["default via 169.254.1.2 dev mNicIf1", "169.254.1.2 dev mNicIf1 scope link"]
        assert "1: from 10.0.2.34 lookup 1" in node.in_pod(first, "ip", "rule").replace("\t", " ")
        node.in_pod(first, "ping", "-c", "1", "-W", "3", "-I", "10.0.2.34", "10.0.2.1")
        node.in_pod(first, "ping", "-c", "1", "-W", "3", "-I", "10.0.1.33", "10.0.1.1")
        for pod in (first, second):
            assert (await client.setup_pod(pod)).changes == 0
            await client.teardown_pod(pod)

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_branch_without_a_trunk_is_refused_and_changes_nothing(node: Node, tmp_path: pathlib.Path) -> None:
    pod = branch_of(node.add_pod("10.0.3.33", 0), strict=True)
    pod.branch.trunk_mac = "02:00:00:00:09:09"

    async def body(client: Client) -> None:
        before = node.snapshot()
        with pytest.raises(ReasonError) as caught:
            await client.setup_pod(pod)
        assert caught.value.reason is Reason.LINK_MISSING and "02:00:00:00:09:09" in caught.value.message
        pod.branch.vlan_id = 154
        with pytest.raises(ReasonError) as caught:
            await client.setup_pod(pod)
        assert caught.value.reason is Reason.TABLE_CONFLICT
        assert node.snapshot() == before

    with serving(node, tmp_path) as process:
        scenario(process, body)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "standard"])
def test_branch_eni_pods(node: Node, tmp_path: pathlib.Path, strict: bool) -> None:
    if not has_vlan():
        pytest.skip("this kernel has no VLAN links (CONFIG_VLAN_8021Q)")
    pod = branch_of(node.add_pod("10.0.3.33", 0), strict=strict)
    sh("ip", "-n", node.vpc, "link", "add", "link", "gw1", "name", "gw1.7", "type", "vlan", "id", "7")
    sh("ip", "-n", node.vpc, "addr", "add", "10.0.3.1/24", "dev", "gw1.7")
    sh("ip", "-n", node.vpc, "link", "set", "gw1.7", "up")
    sh("ip", "-n", node.vpc, "neigh", "replace", pod.address, "lladdr", "02:00:00:00:07:07", "dev", "gw1.7")

    async def body(client: Client) -> None:
        await client.set_up(host_spec(pod_eni_strict=strict), eni_spec(is_trunk=True))
        before = node.rules(), node.routes(), node.links()
        await client.setup_pod(pod)
        assert len(node.routes("107")) == (3 if strict else 2)
        assert len([rule for rule in node.rules() if rule.startswith("10:")]) == (2 if strict else 0)
        assert node.pings(pod, "10.0.3.1") and node.pings(pod, NODE_IP)
        assert (await client.setup_pod(pod)).changes == 0
        assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=pod))).differences
        node.exec("ip", "link", "del", "vlan.eth.7")
        await asyncio.to_thread(eventually, lambda: node.pings(pod, "10.0.3.1"), "the branch's link is made again")
        await client.teardown_pod(pod)
        await asyncio.to_thread(
            eventually, lambda: (node.rules(), node.routes(), node.links()) == before, "the node is as before"
        )

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_settings_change_under_running_pods(node: Node, tmp_path: pathlib.Path) -> None:
    """Each change is whole: what the new settings do not ask for is gone, and pods of the old prefix keep their marks."""
    pod = node.add_pod("10.0.2.33", 2)

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        await client.setup_pod(pod)
        first = node.exec("iptables-nft-save", "-t", "nat"), node.rules()
        await client.set_up(host_spec(external_snat=True, node_port_support=False))
        nat = node.exec("iptables-nft-save", "-t", "nat")
        assert "SNAT --to-source" not in nat and "CONNMARK" not in nat
        assert "AWS" not in node.exec("iptables-nft-save", "-t", "mangle")
        assert not [rule for rule in node.rules() if rule.startswith("1024:")]
        await client.set_up(host_spec(veth_prefix="veth", external_service_cidrs=["192.0.2.0/24"]))
        nat = node.exec("iptables-nft-save", "-t", "nat")
        assert nat.index("-i veth+") < nat.index("-i eni+") < nat.index('"AWS, CONNMARK" -j CONNMARK --restore')
        assert "1535: from all to 192.0.2.0/24 lookup main" in node.rules()
        assert node.pings(pod, INTERNET)
        await client.set_up(host_spec())
        assert [line for line in node.exec("iptables-nft-save", "-t", "nat").splitlines() if line.startswith("-A")] == [
            line for line in first[0].splitlines() if line.startswith("-A")
        ]
        assert node.rules() == first[1]

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_leftovers_of_the_original_are_taken_over(node: Node, tmp_path: pathlib.Path) -> None:
    """A pod wired by the original (MAC of its own, older rules per VPC CIDR) is kept running and becomes ours."""
    pod = node.add_pod("10.0.2.33", 2)
    name = pod.netns.rsplit("/", 1)[-1]
    sh("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", pod.host_veth, "netns", node.netns)
    node.exec("ip", "link", "set", pod.host_veth, "mtu", "9001", "up")
    sh("ip", "-n", name, "link", "set", "eth0", "mtu", "9001", "up")
    sh("ip", "-n", name, "route", "add", "169.254.1.1", "dev", "eth0")
    sh("ip", "-n", name, "route", "add", "default", "via", "169.254.1.1")
    sh("ip", "-n", name, "addr", "add", "10.0.2.33/32", "dev", "eth0")
    mac = node.exec("cat", f"/sys/class/net/{pod.host_veth}/address").strip()
    sh("ip", "-n", name, "neigh", "add", "169.254.1.1", "lladdr", mac, "dev", "eth0")
    node.exec("ip", "route", "add", "10.0.2.33", "dev", pod.host_veth)
    node.exec("ip", "rule", "add", "to", "10.0.2.33", "lookup", "main", "pref", "512")
    for cidr in ("10.0.0.0/16", "10.1.0.0/16"):
        node.exec("ip", "rule", "add", "from", "10.0.2.33", "to", cidr, "lookup", "2", "pref", "1536")
    known = pb.PodSpec()
    known.CopyFrom(pod)
    known.netns = ""

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        observed = await client.call("Observe", pb.ObserveRequest(veth_prefix="eni"))
        assert [(o.host_veth, o.address, o.route_table) for o in observed.pods] == [(pod.host_veth, "10.0.2.33", 2)]
        await client.call("ApplyPods", pb.ApplyPodsRequest(pods=[known]))
        assert [rule for rule in node.rules() if rule.startswith("1536:")] == ["1536: from 10.0.2.33 lookup 2"]
        assert node.exec("cat", f"/sys/class/net/{pod.host_veth}/address").strip() == mac
        assert node.pings(pod, INTERNET)
        assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=pod))).differences
        assert (await client.teardown_pod(known)).changes == 4
        await asyncio.to_thread(eventually, lambda: pod.host_veth not in " ".join(node.links()), "the link is gone")

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_three_capabilities_are_enough(node: Node, tmp_path: pathlib.Path) -> None:
    """NET_ADMIN, SYS_ADMIN (setns) and NET_RAW (iptables); user root without any other."""
    pod = node.add_pod("10.0.1.33")

    async def body(client: Client) -> None:
        await client.set_up()
        await client.setup_pod(pod)
        assert node.pings(pod, INTERNET)
        await client.teardown_pod(pod)

    with serving(node, tmp_path, capabilities="net_admin,sys_admin,net_raw") as process:
        scenario(process, body)
    assert PRIMARY_MAC in " ".join(node.links())


def test_without_sys_admin_the_reason_is_the_refusal_and_names_what_is_missing(
    node: Node, tmp_path: pathlib.Path
) -> None:
    pod = node.add_pod("10.0.1.33")

    async def body(client: Client) -> None:
        await client.set_up()
        with pytest.raises(ReasonError) as caught:
            await client.setup_pod(pod)
        assert caught.value.reason is Reason.KERNEL_REFUSED and "CAP_SYS_ADMIN" in caught.value.message

    with serving(node, tmp_path, capabilities="net_admin,net_raw") as process:
        scenario(process, body)
