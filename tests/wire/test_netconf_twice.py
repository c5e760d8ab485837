"""A second apply of the same state makes no netlink and no packet filter change, in every mode; counted at the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
from collections.abc import Iterator

import pytest
from netconf_node import Client, Node, branch_of, eni_spec, has_vlan, host_spec, serving
from netconf_scenario import BACKENDS
from netlink_monitor import NetlinkMonitor
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_netconf.adapters.filter_fingerprint import FilterFingerprint

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NODE_IP6 = "2001:db8::10"
IPV4 = {
    "default": host_spec(),
    "no node ports": host_spec(node_port_support=False),
    "SNAT off": host_spec(external_snat=True),
    "SNAT off, no node ports": host_spec(external_snat=True, node_port_support=False),
    "hashrandom": host_spec(randomize_snat="hashrandom"),
    "ports kept": host_spec(randomize_snat="none"),
    "everything excluded": host_spec(exclude_snat_cidrs=["0.0.0.0/0"]),
    "external services": host_spec(external_service_cidrs=["192.0.2.0/24", "198.51.100.0/25"]),
    "another prefix": host_spec(veth_prefix="veth", connmark=0x200),
    "no early demultiplexing": host_spec(disable_tcp_early_demux=True),
    "strict branch ENIs": host_spec(pod_eni_strict=True),
    "IPv6 egress": host_spec(v6_egress=True, egress_ip=NODE_IP6),
}
IPV6 = {
    "default": host_spec(ipv6=True, primary_ip=NODE_IP6, vpc_cidrs=["2001:db8::/64"], exclude_snat_cidrs=[]),
    "IPv4 egress": host_spec(
        ipv6=True,
        primary_ip=NODE_IP6,
        vpc_cidrs=["2001:db8::/64"],
        exclude_snat_cidrs=[],
        v4_egress=True,
        egress_ip="10.0.1.10",
    ),
}


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        made.exec("ip", "addr", "add", f"{NODE_IP6}/64", "dev", "eth0", "nodad")
        yield made


def with_egress(pod: pb.PodSpec, address: str, number: int) -> pb.PodSpec:
    pod.egress.address, pod.egress.host_veth = address, f"veth{number:08x}"
    pod.egress.host_mac, pod.egress.mac = f"02:00:00:00:0e:{number:02x}", f"02:00:00:00:0d:{number:02x}"
    return pod


def ipv4_pods(node: Node) -> list[pb.PodSpec]:
    """On the primary ENI, on a second one, with egress, on two network cards; where there are VLANs, with branch ENIs."""
    first, second = node.add_pod("10.0.1.33"), node.add_pod("10.0.2.34", 2)
    egress = with_egress(node.add_pod("10.0.2.35", 2), "fd00::ac:10", 1)
    card = node.add_pod("10.0.2.36", 2)
    card.netns, card.container_id, card.ifname, card.index = first.netns, first.container_id, "mNicIf1", 1
    pods = [first, second, egress, card]
    if has_vlan():
        pods.append(branch_of(node.add_pod("10.0.3.33", 0), strict=True))
    return pods


def ipv6_pods(node: Node) -> list[pb.PodSpec]:
    pods = [node.add_pod("10.0.1.33"), with_egress(node.add_pod("10.0.1.34"), "169.254.172.10", 1)]
    for number, pod in enumerate(pods):
        pod.address = f"2001:db8::{number:x}33"
    return pods


async def apply(client: Client, host: pb.HostSpec, pods: list[pb.PodSpec]) -> int:
    """Everything that ipam sends; the changes that netconf says it made."""
    changes = int((await client.set_up(host)).changes)
    if not host.ipv6:
        eni = eni_spec(is_trunk=has_vlan())
        changes += (await client.call("ApplyEni", pb.ApplyEniRequest(eni=eni))).changes
    for pod in pods:
        changes += (await client.setup_pod(pod)).changes
    return changes + int((await client.call("ApplyPods", pb.ApplyPodsRequest(pods=pods))).changes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_a_second_apply_changes_nothing(node: Node, tmp_path: pathlib.Path, backend: str, six: bool) -> None:
    pods = ipv6_pods(node) if six else ipv4_pods(node)

    async def body(client: Client) -> None:
        for mode, host in (IPV6 if six else IPV4).items():
            assert await apply(client, host, pods) > 0, mode
            with contextlib.ExitStack() as stack:
                fingerprint = stack.enter_context(contextlib.closing(node.run(FilterFingerprint)))
                monitors = {
                    path: stack.enter_context(contextlib.closing(node.run(NetlinkMonitor, path)))
                    for path in ["", *{pod.netns for pod in pods}]
                }
                before = node.run(fingerprint.read)
                assert await apply(client, host, pods) == 0, mode
                assert {path: found for path, made in monitors.items() if (found := made.kinds())} == {}, mode
                assert node.run(fingerprint.read) == before, mode

    async def run() -> None:
        async with process.client() as client:
            await body(client)

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend) as process:
        asyncio.run(run())
