"""``python -m vpccni_netconf.clean`` on a node that netconf had set up: nothing of ours is left, everything of others is."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator

import pytest
from netconf_node import Client, Node, eni_spec, eventually, host_spec, serving
from netconf_scenario import scenario

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

# Others' rules at our priorities and in our tables, and chains beside ours.
FOREIGN_RULES = (
    ("from", "10.9.9.9", "lookup", "44", "pref", "32765"),
    ("fwmark", "0x4000/0x4000", "lookup", "main", "pref", "1024"),
    ("to", "10.44.0.0/16", "lookup", "main", "pref", "512"),
)
CAPABILITIES = "net_admin,net_raw"
CLEAN = ("-m", "vpccni_netconf.clean")


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        for rule in FOREIGN_RULES:
            made.exec("ip", "rule", "add", *rule)
        made.exec("ip", "route", "add", "default", "via", "10.0.1.1", "table", "44")
        yield made


def rules(node: Node) -> tuple[list[str], list[str]]:
    return node.rules(), node.exec("ip", "-6", "rule").splitlines()


def filters(node: Node, tools: tuple[str, ...]) -> list[str]:
    """Every rule, and every chain that is not built in."""
    lines = [line for tool in tools for line in node.exec(f"{tool}-save").splitlines()]
    return [line for line in lines if line.startswith("-A") or (line.startswith(":") and " - [" in line)]


def clean(node: Node, *options: str) -> None:
    """With the capabilities that the chart gives it. AssertionError with its output when it is refused."""
    drop = [
        f"{one}={'-all,' + ','.join(f'+{c}' for c in CAPABILITIES.split(','))}"
        for one in ("--bounding-set", "--inh-caps")
    ]
    node.exec("setpriv", *drop, sys.executable, *CLEAN, *options)


@pytest.mark.parametrize("backend", ["iptables-nft", "iptables-legacy", "nftables"])
def test_nothing_of_ours_is_left(node: Node, tmp_path: pathlib.Path, backend: str) -> None:
    tools = (
        ("iptables-legacy", "ip6tables-legacy") if backend == "iptables-legacy" else ("iptables-nft", "ip6tables-nft")
    )
    node.exec(tools[0], "-t", "nat", "-N", "KUBE-MARK")
    node.exec(tools[0], "-t", "nat", "-A", "PREROUTING", "-j", "KUBE-MARK")
    before = (rules(node), filters(node, tools), node.exec("nft", "list", "tables"))
    host = host_spec(external_service_cidrs=["172.30.0.0/16"], v6_egress=True)
    pod = node.add_pod("10.0.2.33", 2)

    async def body(client: Client) -> None:
        await client.set_up(host, eni_spec())
        await client.setup_pod(pod)
        with pytest.raises(AssertionError, match=r"1 pods of this node have links of ours \(eni"):
            clean(node)
        assert filters(node, tools) != before[1]
        await client.teardown_pod(pod)
        eventually(lambda: not [link for link in node.links() if link.startswith("eni")], "the pod's link is gone")

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend) as process:
        scenario(process, body)
    assert rules(node) != before[0]
    clean(node)
    assert (rules(node), filters(node, tools)) == before[:2]
    assert "aws-cni" not in node.exec("nft", "list", "tables")
    assert node.routes("2") == []
    assert node.routes("44") == ["default via 10.0.1.1 dev eth0"]
    clean(node)
    assert (rules(node), filters(node, tools)) == before[:2]


def test_the_local_tables_rule_is_put_back(node: Node, tmp_path: pathlib.Path) -> None:
    """Strict branch ENI pods move it; rules of pods that are gone go too; a mark of one's own is found."""
    before = rules(node)

    async def body(client: Client) -> None:
        await client.set_up(host_spec(pod_eni_strict=True, connmark=0x100, veth_prefix="pod"))
        node.exec("ip", "rule", "add", "to", "10.0.1.77", "lookup", "main", "pref", "512")
        node.exec("ip", "rule", "add", "from", "10.0.1.77", "lookup", "2", "pref", "1536")

    with serving(node, tmp_path) as process:
        scenario(process, body)
    assert "20: from all lookup local" in node.rules()
    clean(node, "--veth-prefix", "pod", "--connmark", "0x100")
    assert rules(node) == before
