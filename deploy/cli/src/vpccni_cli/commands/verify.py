"""``vpccni verify``: CHECK of every pod interface that ipam has a record of."""

from __future__ import annotations

import argparse
from typing import Any

from vpccni_api.reasons import ReasonError

from vpccni_cli import node, text


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 when all pods are as recorded, 1 when one differs or ipam does not answer. Changes nothing."
    )
    node.configure(parser)


def run(args: argparse.Namespace) -> int:
    try:
        found = differences(args)
    except ReasonError as error:
        return text.emit_error(args, error)
    wrong = found["wrong"]
    lines = text.field("verify", f"{found['checked']} pod interfaces, {len(wrong)} differ from what is recorded")
    for item in wrong:
        pod, problem = item["pod"], item["problem"]
        lines += ["", *text.field("pod", f"{pod.get('namespace')}/{pod.get('name')}, {item['address']}")]
        lines += text.field("failed", f"{problem['reason']}: {problem['message']}")
        lines += text.field("cure", problem["cure"])
    text.emit(args, found, lines)
    return 1 if wrong else 0


def differences(args: argparse.Namespace) -> dict[str, Any]:
    """``checked``: their number; ``wrong``: those that differ. Raises ReasonError when ipam cannot be asked."""
    with node.Node(args.socket, args.timeout) as asked:
        # One after the other: pods that start now come first.
        checked = [(line, asked.check(line)) for _, _, line in node.assigned(asked.inspect())]
    wrong = [
        {"pod": line.get("pod", {}), "address": line["address"], "problem": text.as_json(difference)}
        for line, difference in checked
        if difference
    ]
    return {"checked": len(checked), "wrong": wrong}
