"""What tracing costs an ADD: spans off, exported, and with a collector that is away, on three nodes of one lab side by side.

ADDs go to the nodes by turns, so that a noisy minute hits all, and after each third of them the nodes change roles, so that
no node's own quirks count. Times are the plugin's whole process, as the runtime sees it; CPU is that of ipam and netconf,
the exporting threads' included. Prints a table with the budgets, writes build/tracing.json. Exit status 0 whether or not a
budget is met.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from observed import REPO
from vpccni_lab import lifecycle
from vpccni_lab.cli.output import Progress, table
from vpccni_lab.client import LabClient
from vpccni_lab.runtime.pods import Pods, new_pod
from vpccni_lab.spec import LabSpec, NodeSpec, SubnetSpec

OTLP: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
ROLES: Final[Mapping[str, str | None]] = {
    "off": None,
    "on": "http://169.254.169.254:4317",
    "away": "http://127.0.0.1:9",
}
NODES: Final = ("node-a", "node-b", "node-c")
SERVICES: Final = ("netconf", "eni-manager", "ipam")
BUDGET: Final = {"on": 1.1, "away": 1.02}
WARM_UP: Final = 10
SETTLE_S: Final = 2.0


def spec(pods: int) -> LabSpec:
    """Pools that hold every pod beforehand: no ADD waits."""
    return LabSpec(
        name="tracecost",
        cidrs=("10.0.0.0/16",),
        subnets=(SubnetSpec("big", "10.0.0.0/19"),),
        nodes=tuple(NodeSpec(name, "big", instance_type="m5.24xlarge") for name in NODES),
        env={"WARM_IP_TARGET": "10", "MINIMUM_IP_TARGET": str(pods + 20), "VPCCNI_SHRINK_PACE": "3600"},
        traces=False,
    )


class Measured:
    """By role: seconds of each ADD, in the order of the turns; CPU seconds of ipam and netconf."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {role: [] for role in ROLES}
        self.cpu_s = dict.fromkeys(ROLES, 0.0)

    def add_round(self, lab: LabClient, number: int, count: int) -> None:
        """``count`` ADDs in each role; role r is played by node r + ``number``."""
        node_of = {role: NODES[(at + number) % len(NODES)] for at, role in enumerate(ROLES)}
        for role, node in node_of.items():
            for service in SERVICES:
                lab.service(node, service, "restart", env={OTLP: ROLES[role]})
        for node in NODES:
            lab.wait_ready(node)
        time.sleep(SETTLE_S)  # what start-up still has to do, and the first look at the collector
        orders = list(itertools.permutations(ROLES))  # each role as often after each other one
        with contextlib.ExitStack() as stack:
            runtimes = {r: stack.enter_context(Pods(lab.node(n), workers=1)) for r, n in node_of.items()}
            for turn in range(WARM_UP + count):
                if turn == WARM_UP:
                    before = {role: cpu_seconds(lab, node) for role, node in node_of.items()}
                for role in orders[turn % len(orders)]:
                    pod = new_pod(node_of[role], f"pod-{number}-{turn}")
                    runtimes[role].make_sandbox(pod)
                    outcome = runtimes[role].submit_add(pod).result()
                    if turn >= WARM_UP:
                        self.seconds[role].append(outcome.seconds)
            for role, node in node_of.items():
                self.cpu_s[role] += cpu_seconds(lab, node) - before[role]


def cpu_seconds(lab: LabClient, node: str) -> float:
    """User and kernel seconds of the node's ipam and netconf so far."""
    services = next(one for one in lab.status()["nodes"] if one["name"] == node)["services"]
    ticks = 0
    for name in ("ipam", "netconf"):
        stat = Path(f"/proc/{services[name]['pid']}/stat").read_text().rpartition(")")[2].split()
        ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and between which two values it is with a probability of 95 % (order statistics)."""
    ranked, reach = sorted(values), 0.98 * len(values) ** 0.5
    low, high = round(len(ranked) / 2 - reach), round(len(ranked) / 2 + reach)
    return statistics.median(ranked), ranked[max(low, 0)], ranked[min(high, len(ranked) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=300, help="ADDs in each role (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=REPO / "build/tracing.json")
    args = parser.parse_args()
    progress, measured, each = Progress(), Measured(), max(args.pods // len(NODES), 10)
    made = spec(len(NODES) * (each + WARM_UP))
    try:
        with lifecycle.up(made, progress) as lab:
            for number in range(len(NODES)):
                progress(f"{each} ADDs on each node, round {number + 1} of {len(NODES)}")
                measured.add_round(lab, number, each)
    finally:
        lifecycle.down(made.name, progress)
    report(measured, args.json)
    return 0


def report(measured: Measured, path: Path) -> None:
    seconds = measured.seconds
    p50 = {role: statistics.median(values) for role, values in seconds.items()}
    # ADDs of one turn meet the same neighbours on the machine: less noise than two medians apart.
    paired = {
        role: middle([mine / off for mine, off in zip(values, seconds["off"], strict=True)])
        for role, values in seconds.items()
    }
    cpu = {role: measured.cpu_s[role] / len(seconds[role]) for role in ROLES}
    rows = [
        (
            role,
            f"{1000 * p50[role]:.2f} ms",
            f"{p50[role] / p50['off']:.3f}",
            f"{paired[role][0]:.3f} ({paired[role][1]:.3f} to {paired[role][2]:.3f})" if role != "off" else "",
            f"{1000 * cpu[role]:.2f} ms",
            f"<= {BUDGET[role]}" if role in BUDGET else "",
            "" if role not in BUDGET else "ok" if p50[role] / p50["off"] <= BUDGET[role] else "over",
        )
        for role in ROLES
    ]
    heads = ["TRACING", "ADD P50", "RATIO", "IN THE SAME TURN (95 %)", "CPU PER ADD", "ALLOWED", ""]
    print("\n" + table(heads, rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"p50_s": p50, "paired_ratio": paired, "cpu_s": cpu, "samples_s": seconds}
    path.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
