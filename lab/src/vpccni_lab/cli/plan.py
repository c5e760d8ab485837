"""``vpclab plan``: what a warm-target setting costs, before anyone rolls it out. Needs no lab and no root."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.cli.args import assignments
from vpccni_lab.cli.output import table
from vpccni_lab.fleet.plan import Burst, Held, Plan, make_plan

_MOST_ROWS: Final = 40


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares this module's command."""
    plan = commands.add_parser(
        "plan",
        help="what a warm-target setting costs: ENIs, addresses, EC2 calls, ADD waits",
        description="vpclab plan --env WARM_IP_TARGET=2 --env MINIMUM_IP_TARGET=10 --instance-type m5.large --pods 0..29",
    )
    plan.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="setting of ipam; repeat")
    plan.add_argument("--instance-type", default="m5.large", metavar="TYPE")
    plan.add_argument("--pods", default="0..20", metavar="N..M", help="pods on the node (default 0..20)")
    plan.add_argument(
        "--all", action="store_true", help="a row for every number of pods, not only where something changes"
    )
    plan.set_defaults(run=run_plan, rootless=True)


def run_plan(args: argparse.Namespace) -> int:
    """Prints the plan."""
    low, high = pods_of(args.pods)
    made = make_plan(assignments(args.env, "--env"), args.instance_type, low, high)
    print(shown(made, every=args.all))
    if made.most < high:
        print(f"{args.instance_type} has addresses for {made.most} pods with these settings, not for {high}")
    return 0


def pods_of(text: str) -> tuple[int, int]:
    """``N..M`` or one number. Raises ReasonError(CONFIG_INVALID)."""
    first, dots, last = text.partition("..")
    try:
        return int(first), int(last if dots else first)
    except ValueError:
        raise ReasonError(Reason.CONFIG_INVALID, f"--pods {text!r}: N..M, such as 0..29") from None


def shown(plan: Plan, *, every: bool) -> str:
    """The plan as text."""
    rows = list(plan.steps) if every or len(plan.steps) <= 2 else _turning_points(plan.steps)
    lines = [
        table(
            ["PODS", "ENIS", "ADDRESSES", "PREFIXES", "IDLE", "EC2 CALLS", "ADD WAIT"],
            [(h.pods, h.enis, h.addresses, h.prefixes, h.idle, h.calls, f"{h.wait_s:.2f} s") for h in rows],
        ),
        "",
        f"node start: {plan.start_calls} EC2 calls; at rest: {plan.calls_at_rest:.2f} per node-hour",
        _burst("all at once", plan.up),
        _burst("and gone again", plan.down),
    ]
    return "\n".join(lines)


def _turning_points(steps: Sequence[Held]) -> list[Held]:
    """First, last, and every step where what is held changes."""
    kept = [
        after
        for before, after in itertools.pairwise(steps)
        if (before.enis, before.addresses) != (after.enis, after.addresses)
    ]
    kept = [steps[0], *kept, *([steps[-1]] if not kept or kept[-1] != steps[-1] else [])]
    return kept if len(kept) <= _MOST_ROWS else [*kept[: _MOST_ROWS - 1], kept[-1]]


def _burst(what: str, burst: Burst) -> str:
    calls = ", ".join(f"{action} {number}" for action, number in burst.calls.items()) or "none"
    text = f"{what} ({burst.begin} to {burst.end} pods): EC2 calls: {calls}"
    if burst.waits:
        p50, p99 = burst.percentile(0.5), burst.percentile(0.99)
        text += f"; ADD wait p50 {p50:.2f} s, p99 {p99:.2f} s, longest {burst.waits[-1]:.2f} s"
    return text
