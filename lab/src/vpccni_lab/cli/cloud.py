"""Commands on the cloud: calls, fault."""

from __future__ import annotations

import argparse
import collections
import time
from collections.abc import Iterable
from typing import Any

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.cli.args import assignments
from vpccni_lab.cli.lab import add_lab_flag
from vpccni_lab.cli.output import table
from vpccni_lab.client import LabClient

Counts = Iterable[tuple[str, str, str, int]]
_LISTS = ("actions", "callers", "subnets")
_FLOATS = ("seconds", "rate", "burst", "for_seconds")
_INTEGERS = ("count", "status", "one_in")
_FLAGS = ("per_caller", "executes")
_TEXTS = ("code", "message", "id")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares this module's commands."""
    calls = commands.add_parser("calls", help="EC2 (or IMDS) calls by caller, action and result")
    calls.add_argument("--recent", type=int, default=0, metavar="N", help="the newest N calls, one by one")
    calls.add_argument("--caller", default="", help="only this node's")
    calls.add_argument("--action", default="", help="only this action")
    calls.add_argument("--imds", action="store_true", help="instance metadata requests instead of EC2 calls")
    calls.add_argument(
        "--minutes", type=float, default=0.0, metavar="N", help="EC2 calls of the next N minutes, per node and hour"
    )
    calls.add_argument("--reset", action="store_true", help="start counting anew")
    add_lab_flag(calls)
    calls.set_defaults(run=run_calls)
    fault = commands.add_parser(
        "fault",
        help="make EC2 or IMDS fail: set, list, clear",
        description="vpclab fault set throttle actions=Assign* rate=0.5 burst=2 callers=node-a for_seconds=30",
    )
    fault.add_argument("do", choices=["set", "list", "clear"])
    fault.add_argument(
        "what", nargs="*", metavar="KIND FIELD=VALUE… | ID", help="kinds and fields: docs/lab.md, Faults"
    )
    add_lab_flag(fault)
    fault.set_defaults(run=run_fault)


def run_calls(args: argparse.Namespace) -> int:
    """Shows what was called."""
    if args.minutes:
        return _run_rates(args)
    with LabClient(args.lab) as lab:
        answer = lab.call("calls", imds=args.imds, recent=args.recent, caller=args.caller, action=args.action)
        if args.reset:
            lab.call("calls-reset")
    if args.recent:
        print(table(["TIME", "CALLER", "ACTION", "RESULT", "MS", "PARAMETERS"], map(_call_row, answer["recent"])))
    else:
        rows = [
            (caller, action, code, number)
            for caller, action, code, number in answer["counts"]
            if args.caller in ("", caller) and args.action in ("", action)
        ]
        print(table(["CALLER", "ACTION", "RESULT", "NUMBER"], rows))
    return 0


def _run_rates(args: argparse.Namespace) -> int:
    with LabClient(args.lab) as lab:
        nodes = len(lab.nodes("vpccni"))
        before = lab.ec2_counts()
        time.sleep(args.minutes * 60)
        rates = per_node_hour(before, lab.ec2_counts(), nodes, args.minutes / 60)
    rows = [(action, f"{rate:.2f}") for action, rate in sorted(rates.items())]
    print(table(["ACTION", "PER NODE-HOUR"], [*rows, ("all", f"{sum(rates.values()):.2f}")]))
    return 0


def per_node_hour(before: Counts, after: Counts, nodes: int, hours: float) -> dict[str, float]:
    """EC2 calls between two readings of ``LabClient.ec2_counts``, by action. ``nodes`` and ``hours`` are more than 0."""
    made: collections.Counter[str] = collections.Counter()
    for counts, sign in ((after, 1), (before, -1)):
        for _, action, _, number in counts:
            made[action] += sign * number
    return {action: number / nodes / hours for action, number in made.items() if number}


def _call_row(call: dict[str, Any]) -> tuple[object, ...]:
    when = time.strftime("%H:%M:%S", time.localtime(call["time"]))
    return (when, call["caller"], call["action"], call["code"], f"{call['duration'] * 1000:.1f}", call["parameters"])


def run_fault(args: argparse.Namespace) -> int:
    """Sets, lists or clears faults."""
    with LabClient(args.lab) as lab:
        match args.do:
            case "set":
                print(lab.add_fault(parse_fault(args.what)))
            case "clear":
                for fault_id in args.what or [""]:
                    lab.clear_faults(fault_id)
            case _:
                rows = [
                    (fault.pop("id"), fault.pop("kind"), fault.pop("acted"), fault.pop("left") or "-", _fields(fault))
                    for fault in lab.faults()
                ]
                print(table(["ID", "KIND", "ACTED", "LEFT", "FIELDS"], rows))
    return 0


def parse_fault(words: list[str]) -> dict[str, Any]:
    """``KIND FIELD=VALUE…`` as the fields of a fault. Raises ReasonError CONFIG_INVALID, REQUEST_INVALID."""
    if not words:
        raise ReasonError(Reason.REQUEST_INVALID, "fault set: name a kind, such as throttle (docs/lab.md, Faults)")
    fault: dict[str, Any] = {"kind": words[0]}
    for name, value in assignments(words[1:], "fault field").items():
        fault[name] = _value(name, value)
    return fault


def _value(name: str, value: str) -> Any:
    known = (*_LISTS, *_FLOATS, *_INTEGERS, *_FLAGS, *_TEXTS)
    if name not in known:
        raise ReasonError(Reason.CONFIG_INVALID, f"fault field {name}: one of {', '.join(sorted(known))}")
    try:
        if name in _LISTS:
            return value.split(",")
        if name in _FLOATS:
            return float(value)
        if name in _INTEGERS:
            return int(value)
    except ValueError as exc:
        raise ReasonError(Reason.CONFIG_INVALID, f"fault field {name} = {value!r}: must be a number") from exc
    return value == "true" if name in _FLAGS else value


def _fields(fault: dict[str, Any]) -> str:
    return " ".join(f"{key}={','.join(value) if isinstance(value, list) else value}" for key, value in fault.items())
