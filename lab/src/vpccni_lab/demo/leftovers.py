"""What is left on a node of pods that were removed: kernel objects, and entries of ipam."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from typing import Any, Final

import grpc
from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc

from vpccni_lab.demo.ask import Row
from vpccni_lab.nodes.node import Node

IPAM_SOCKET: Final = "/run/aws-node/ipam.sock"
_POLL: Final = 0.2
LINKS_GONE_WITHIN: Final = 5.0
"""Seconds; DEL answers when nothing leads to the link any more, the kernel takes the link itself away a little later."""


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
    left = _settle(lambda: _lines(nodes, addresses, veth_prefix), LINKS_GONE_WITHIN)
    said = f"{left[0]} and {len(left) - 1} more" if left else "none left"
    kernel = Row("after DEL: links, rules, routes", "none left", said, not left)
    held = {node.name: int(inspect(node).assigned) for node in nodes}
    entries = ", ".join(f"{name}: {number}" for name, number in held.items() if number)
    store = Row("after DEL: entries of ipam", "none left", entries or "none left", not entries)
    return [kernel, store, _pool(nodes, within)]


def _lines(nodes: list[Node], addresses: dict[str, set[str]], veth_prefix: str) -> list[str]:
    return [f"{node.name}: {line}" for node in nodes for line in in_kernel(node, addresses[node.name], veth_prefix)]


def _settle(look: Callable[[], list[str]], within: float) -> list[str]:
    """Looks until there is nothing to see, at most ``within`` seconds."""
    deadline = time.monotonic() + within
    while (seen := look()) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return seen


def _pool(nodes: list[Node], within: float) -> Row:
    def off_target() -> list[str]:
        views = [(node.name, inspect(node)) for node in nodes]
        return [f"{name}: deficit {v.deficit}, {v.cooling} cooling" for name, v in views if v.deficit or v.cooling]

    off, expected = _settle(off_target, within), "at its target"
    return Row("after DEL: pool", expected, ", ".join(off) or expected, not off)
