"""What tracing costs an ADD: three nodes of one lab side by side, spans off, exported, and with a collector that is away.

ADDs go to the nodes by turns, so that a noisy minute hits all; medians of the plugin's whole process, as the runtime sees it.
Prints a table with the budgets, writes build/tracing.json. Exit status 0 whether or not a budget is met.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
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
NODES: Final = {"off": {}, "on": {OTLP: "http://169.254.169.254:4317"}, "away": {OTLP: "http://127.0.0.1:9"}}
BUDGET: Final = {"on": 1.1, "away": 1.02}


def spec(pods: int) -> LabSpec:
    """Pools that hold every pod beforehand: no ADD waits."""
    return LabSpec(
        name="tracecost",
        cidrs=("10.0.0.0/16",),
        subnets=(SubnetSpec("big", "10.0.0.0/19"),),
        nodes=tuple(NodeSpec(name, "big", instance_type="m5.24xlarge", env=env) for name, env in NODES.items()),
        env={"WARM_IP_TARGET": "10", "MINIMUM_IP_TARGET": str(pods + 20), "VPCCNI_SHRINK_PACE": "3600"},
        traces=False,
    )


def measure(lab: LabClient, count: int) -> dict[str, list[float]]:
    """Seconds of each ADD by node."""
    seconds: dict[str, list[float]] = {name: [] for name in NODES}
    with contextlib.ExitStack() as stack:
        runtimes = {name: stack.enter_context(Pods(lab.node(name), workers=1)) for name in NODES}
        for number in range(count + 10):
            order = list(NODES)
            for name in order[number % 3 :] + order[: number % 3]:
                pod = new_pod(name, f"pod-{number}")
                runtimes[name].make_sandbox(pod)
                outcome = runtimes[name].submit_add(pod).result()
                if number >= 10:  # before: warming up
                    seconds[name].append(outcome.seconds)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=250)
    parser.add_argument("--json", type=Path, default=REPO / "build/tracing.json")
    args = parser.parse_args()
    progress = Progress()
    made = spec(args.pods + 10)
    try:
        with lifecycle.up(made, progress) as lab:
            for name in NODES:
                lab.wait_ready(name)
            progress(f"{args.pods} ADDs on each node")
            seconds = measure(lab, args.pods)
    finally:
        lifecycle.down(made.name, progress)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    # ADDs of one turn meet the same neighbours on the machine: less noise than two medians apart.
    paired = {
        name: statistics.median(mine / off for mine, off in zip(values, seconds["off"], strict=True))
        for name, values in seconds.items()
    }
    rows = [
        (
            name,
            f"{1000 * median[name]:.2f} ms",
            f"{median[name] / median['off']:.3f}",
            f"{paired[name]:.3f}",
            f"<= {BUDGET[name]}" if name in BUDGET else "",
            "" if name not in BUDGET else "ok" if median[name] / median["off"] <= BUDGET[name] else "over",
        )
        for name in NODES
    ]
    print("\n" + table(["TRACING", "ADD P50", "RATIO", "PAIRED", "ALLOWED", ""], rows))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"p50_s": median, "paired_ratio": paired, "samples_s": seconds}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
