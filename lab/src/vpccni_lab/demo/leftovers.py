"""What is left on a node of pods that were removed: kernel objects, and entries of ipam."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import Any, Final

import grpc
from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc

from vpccni_lab.demo.ask import Row
from vpccni_lab.nodes.node import Node

IPAM_SOCKET: Final = "/run/aws-node/ipam.sock"
_POLL: Final = 0.2


def inspect(node: Node, timeout: float = 5.0) -> Any:
    """ipam's InspectResponse. Raises grpc.RpcError."""
    with grpc.insecure_channel(f"unix:{node.file(IPAM_SOCKET)}") as channel:
        return ipam_pb2_grpc.IpamStub(channel).Inspect(ipam_pb2.InspectRequest(), timeout=timeout)


def in_kernel(node: Node, addresses: Collection[str], veth_prefix: str) -> list[str]:
    """Links, rules and routes of pods with these addresses that the node still has, each as a line for people."""
    links = [link["ifname"] for link in _ip(node, "link") if link["ifname"].startswith(veth_prefix)]
    rules = [
        f"rule {rule['priority']} from {rule.get('src')} to {rule.get('dst')}"
        for family in ("-4", "-6")
        for rule in _ip(node, family, "rule")
        if rule.get("src") in addresses or rule.get("dst") in addresses
    ]
    routes = [
        f"route {route['dst']} table {route.get('table', 'main')}"
        for family in ("-4", "-6")
        for route in _ip(node, family, "route", "show", "table", "all")
        if route["dst"].partition("/")[0] in addresses
    ]
    return [*(f"link {name}" for name in links), *rules, *routes]


def _ip(node: Node, *words: str) -> list[dict[str, Any]]:
    said = node.run(["ip", "-j", *words]).stdout
    return list(json.loads(said or "[]"))


def rows(nodes: list[Node], addresses: dict[str, set[str]], veth_prefix: str, within: float) -> list[Row]:
    """The demo's last rows: after DEL of all pods nothing is left, and each pool is back at its target within ``within`` s."""
    left = {node.name: in_kernel(node, addresses[node.name], veth_prefix) for node in nodes}
    lines = [f"{name}: {line}" for name, of_node in left.items() for line in of_node]
    kernel = Row(
        "after DEL: links, rules, routes",
        "none left",
        lines[0] + f" and {len(lines) - 1} more" if lines else "none left",
        not lines,
    )
    held = {node.name: int(inspect(node).assigned) for node in nodes}
    entries = ", ".join(f"{name}: {number}" for name, number in held.items() if number)
    store = Row("after DEL: entries of ipam", "none left", entries or "none left", not entries)
    return [kernel, store, _pool(nodes, within)]


def _pool(nodes: list[Node], within: float) -> Row:
    deadline, expected = time.monotonic() + within, "at its target"
    while True:
        views = {node.name: inspect(node) for node in nodes}
        off = {name: view for name, view in views.items() if view.deficit or view.cooling}
        if not off or time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    text = ", ".join(f"{name}: deficit {view.deficit}, {view.cooling} cooling" for name, view in off.items())
    return Row("after DEL: pool", expected, text or expected, not off)
