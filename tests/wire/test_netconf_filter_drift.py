"""The packet filter stays as netconf wants it, and what is not netconf's stays as others want it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest
from netconf_node import Client, Node, eni_spec, host_spec, serving
from netconf_scenario import BACKENDS, metric, scenario, until

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


def filter_text(node: Node, backend: str) -> str:
    flavour = "legacy" if backend == "iptables-legacy" else "nft"
    both = "".join(node.exec(f"{name}-{flavour}-save") for name in ("iptables", "ip6tables"))
    lines = [line for line in both.splitlines() if line.startswith(("-A", ":AWS"))]
    native = node.exec("nft", "-s", "list", "table", "ip", "aws-cni", check=False) if backend == "nftables" else ""
    return "\n".join((*sorted(lines), native))


def test_what_is_not_ours_is_left_alone(node: Node, tmp_path: pathlib.Path) -> None:
    foreign = [
        "ip rule add pref 700 to 10.0.9.9 lookup main",
        "ip rule add pref 1024 fwmark 0x4000/0x4000 lookup 99",
        "ip route add 10.0.9.9 via 10.0.1.1",
        "ip route add 10.0.8.0/24 dev eth1 table 2",
        "ip addr add 169.254.7.7/16 dev eth1",
        "iptables-nft -t nat -A POSTROUTING -s 10.0.9.9 -j ACCEPT",
        "iptables-nft -t nat -N KUBE-SERVICES",
    ]

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        for command in foreign:
            node.exec(*command.split())
        before = (node.rules(), node.routes(), node.routes("2"), filter_text(node, "iptables-nft"))
        node.exec("ip", "rule", "del", "from", "10.0.2.20")
        node.exec("iptables-nft", "-t", "nat", "-F", "AWS-SNAT-CHAIN-0")
        await until(
            lambda: (node.rules(), node.routes(), node.routes("2"), filter_text(node, "iptables-nft")) == before,
            "ours is back, theirs was not touched",
        )

    with serving(node, tmp_path, VPCCNI_NETCONF_REPAIR_INTERVAL="1") as process:
        scenario(process, body)


async def counted(node: Node, before: float) -> None:
    await until(lambda: metric(node, "vpccni_netconf_repairs_total") > before, "the repair is counted")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_packet_filter_comes_back(node: Node, tmp_path: pathlib.Path, backend: str) -> None:
    tool = "iptables-legacy" if backend == "iptables-legacy" else "iptables-nft"
    damage = [
        f"{tool} -t nat -F AWS-SNAT-CHAIN-0",
        f"{tool} -t nat -D AWS-SNAT-CHAIN-0 1",
        f"{tool} -t nat -F POSTROUTING",
        f"{tool} -t mangle -F PREROUTING",
        f"ip6{tool[2:]} -t nat -F AWS-EGRESS-CHAIN-0",
        f"ip6{tool[2:]} -t nat -F POSTROUTING",
        f"ip6{tool[2:]} -F FORWARD",
    ]
    damage += ["nft delete table ip aws-cni", "nft flush chain ip aws-cni snat-mark"] if backend == "nftables" else []

    async def body(client: Client) -> None:
        await client.set_up(host_spec(v6_egress=True, egress_ip="2001:db8::10"))
        whole = filter_text(node, backend)
        assert whole.count("fd00::ac:0/118") == 2
        for command in damage:
            before = metric(node, "vpccni_netconf_repairs_total")
            node.exec(*command.split())
            await until(lambda: filter_text(node, backend) == whole, f"the rules are back after {command}")
            await counted(node, before)
        assert metric(node, f'awscni_connmark_backend{{backend="{backend}"}}') == 1
        assert metric(node, 'awscni_connmark_reconcile_total{result="success"}') > len(damage)

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend) as process:
        scenario(process, body)
