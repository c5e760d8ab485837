"""``vpccni top nodes|subnets``: the cluster in one table, from what each node says of itself; the neediest first."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from vpccni_api.reasons import ReasonError

from vpccni_cli import node, service, text
from vpccni_cli.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Without --from: this node only. `kubectl vpccni top` collects every node's line (--collect) and hands them to --from -."
    parser.add_argument("subject", choices=("nodes", "subnets"), help="what to list")
    parser.add_argument("--collect", action="store_true", help="print this node's line for --from, and nothing else")
    parser.add_argument(
        "--from", dest="source", default="", metavar="FILE", help="one line for each node; -: standard input"
    )
    service.configure_leaves(parser)
    node.configure(parser)


def run(args: argparse.Namespace) -> int:
    if args.collect:
        sys.stdout.write(json.dumps(collect(args)) + "\n")
        return 0
    reports = read(args.source) if args.source else [collect(args)]
    rows = nodes(reports) if args.subject == "nodes" else subnets(reports)
    silent = [one for one in reports if "error" in one]
    lines = _nodes_table(rows) if args.subject == "nodes" else _subnets_table(rows)
    if args.subject == "subnets":
        lines += [line for one in silent for line in text.field("failed", f"{one['node']}: {one['error']}")]
    text.emit(args, {args.subject: rows, "silent": silent}, lines)
    return 1 if silent else 0


def collect(args: argparse.Namespace) -> dict[str, Any]:
    """What this node says of itself; ``error`` when ipam does not answer."""
    try:
        with node.Node(args.socket, args.timeout) as asked:
            found = asked.inspect()
    except ReasonError as error:
        return {"node": service.node_name(), "error": str(error)}
    growth = found.get("growth", {})
    report = {
        "node": found["node"],
        "version": found["version"],
        **{name: found[name] for name in ("total", "assigned", "free", "cooling", "quarantined", "deficit")},
        "waiting": growth.get("waiting_adds", 0),
        "reason": growth.get("last_reason", "") or growth.get("add_reason", ""),
        "down": [item["name"] for item in found["dependencies"] if not item["ok"]],
        "drift": sum(found["drift"].values()),
        "enis": [_eni(eni) for eni in found["enis"] if eni["eni_id"] and not eni["branch_vlan"]],
    }
    return report | _ec2(args)


def _eni(eni: dict[str, Any]) -> dict[str, Any]:
    held = [address for cidr in eni["cidrs"] for address in cidr["addresses"]]
    return {
        "subnet": eni["subnet_id"],
        "size": sum(cidr["size"] for cidr in eni["cidrs"]),
        "used": sum(1 for address in held if address.get("key", {}).get("container_id")),
    }


def _ec2(args: argparse.Namespace) -> dict[str, Any]:
    """eni-manager's part; a node is listed without it too."""
    try:
        with service.EniManager(args.eni_manager_socket, args.timeout) as asked:
            found = asked.inspect()
    except ReasonError as error:
        return {"calls": 0, "throttled": 0, "subnets": [], "ec2_error": str(error)}
    return {
        "calls": sum(api["calls"] for api in found["apis"]),
        "throttled": sum(api["throttled"] for api in found["apis"]),
        "subnets": found["subnets"],
    }


def read(source: str) -> list[dict[str, Any]]:
    """Lines of ``--collect``. Raises UsageError."""
    try:
        if source == "-":
            lines = sys.stdin.read().splitlines()
        else:
            with open(source, encoding="utf-8") as file:
                lines = file.read().splitlines()
    except OSError as error:
        raise UsageError(f"--from {source!r}: {error.strerror}") from error
    try:
        found = [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise UsageError(f"--from {source!r}: {error}; allowed: lines of `vpccni top nodes --collect`") from error
    if not all(isinstance(one, dict) and "node" in one for one in found):
        raise UsageError(f"--from {source!r}: a line without node; allowed: lines of `vpccni top nodes --collect`")
    return found


def nodes(reports: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Silent nodes first, then by ADDs that wait, by failed growth, by fewest free addresses."""

    def need(one: dict[str, Any]) -> tuple[Any, ...]:
        if "error" in one:
            return (0, one["node"])
        return (1, -one["waiting"], not one["reason"], not one["down"], one["free"], one["node"])

    return sorted(reports, key=need)


def subnets(reports: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every subnet that a node knows or has ENIs in, fewest free addresses first. ``free``: the least that a node was told
    last, -1 when none knows."""
    found: dict[str, dict[str, Any]] = {}

    def row(subnet_id: str) -> dict[str, Any]:
        empty = {
            "subnet": subnet_id,
            "zone": "",
            "cidr": "",
            "free": -1,
            "nodes": 0,
            "enis": 0,
            "held": 0,
            "used": 0,
            "refused_why": "",
        }
        return found.setdefault(subnet_id, empty)

    for one in reports:
        for seen in one.get("subnets", ()):
            line = row(seen["subnet_id"])
            free = [value for value in (line["free"], seen["free"]) if value >= 0]
            line.update(zone=seen["availability_zone"], cidr=seen["cidr"], free=min(free, default=-1))
            line["refused_why"] = line["refused_why"] or seen["refused_why"]
        for eni in one.get("enis", ()):
            line = row(eni["subnet"])
            line["enis"] += 1
            line["held"] += eni["size"]
            line["used"] += eni["used"]
        for subnet_id in {eni["subnet"] for eni in one.get("enis", ())}:
            row(subnet_id)["nodes"] += 1
    return sorted(found.values(), key=lambda line: (line["free"] if line["free"] >= 0 else 1 << 40, line["subnet"]))


_NODE_MOST = 28


def _nodes_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    head = ("node", "pods", "free", "cooling", "waiting", "short", "throttled", "reason")
    body = []
    for one in rows:
        name = text.cut(one["node"] or "(not known)", _NODE_MOST)
        if "error" in one:
            body.append((name, *("-" for _ in head[1:-1]), one["error"]))
            continue
        why = ", ".join(filter(None, (one["reason"], *(f"{name} down" for name in one["down"])))) or "-"
        short = max(0, one["deficit"])
        counts = (one["assigned"], one["free"], one["cooling"], one["waiting"], short, one["throttled"])
        body.append((name, *map(str, counts), why))
    return text.table(head, body)


def _subnets_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    head = ("subnet", "zone", "free", "nodes", "ENIs", "held", "used", "for new ENIs")
    return text.table(
        head,
        [
            (
                one["subnet"] or "(not known)",
                one["zone"] or "-",
                str(one["free"]) if one["free"] >= 0 else "-",
                *(str(one[name]) for name in ("nodes", "enis", "held", "used")),
                one["refused_why"] or "used",
            )
            for one in rows
        ],
    )
