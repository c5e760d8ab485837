"""``vpccni verify``: CHECK of every pod interface that ipam has a record of."""

from __future__ import annotations

import argparse

from vpccni_api.reasons import ReasonError

from vpccni_cli import node, text


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 when all pods are as recorded, 1 when one differs or ipam does not answer. Changes nothing."
    )
    node.configure(parser)


def run(args: argparse.Namespace) -> int:
    try:
        with node.Node(args.socket, args.timeout) as asked:
            # One after the other: pods that start now come first.
            checked = [(line, asked.check(line)) for _, _, line in node.assigned(asked.inspect())]
    except ReasonError as error:
        return text.emit_error(args, error)
    wrong = [(line, difference) for line, difference in checked if difference]
    lines = text.field("verify", f"{len(checked)} pod interfaces, {len(wrong)} differ from what is recorded")
    for line, difference in wrong:
        pod = line.get("pod", {})
        lines += ["", *text.field("pod", f"{pod.get('namespace')}/{pod.get('name')}, {line['address']}")]
        lines += text.problem(difference)
    value = {
        "checked": len(checked),
        "wrong": [
            {"pod": line.get("pod"), "address": line["address"], "problem": text.as_json(difference)}
            for line, difference in wrong
        ],
    }
    text.emit(args, value, lines)
    return 1 if wrong else 0
