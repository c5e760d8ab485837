"""``vpclab demo``: two nodes, 40 pods, every path probed, everything removed; the table says what differs."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import lifecycle
from vpccni_lab.cli import workload
from vpccni_lab.cli.args import add_spec_flags, spec_from
from vpccni_lab.cli.output import Progress, milliseconds, table
from vpccni_lab.client import LabClient
from vpccni_lab.demo import ask, expect, leftovers
from vpccni_lab.demo.ask import Row
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Failure, Pod
from vpccni_lab.spec import LabSpec
from vpccni_lab.trace.spans import tree

ENV: Final = {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "4", "IP_COOLDOWN_PERIOD": "2", "VPCCNI_SHRINK_PACE": "1"}
"""Settings of the demo's nodes: small targets, so that the pool is seen to grow and to shrink within seconds."""
BACK_WITHIN: Final = 60.0
"""Seconds after the last DEL within which the pool must be back at its target."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the command."""
    demo = commands.add_parser("demo", help="the whole show: nodes, pods, every path checked, removal")
    demo.add_argument("name", nargs="?", help="name of the lab (default demo)")
    demo.add_argument("--pods", type=int, default=40, help="number of pods (default 40)")
    demo.add_argument("--keep", action="store_true", help="leave the lab (and the pods) up")
    demo.add_argument(
        "--json", type=Path, default=Path("build/demo.json"), help="where the rows go (default build/demo.json)"
    )
    add_spec_flags(demo)
    demo.set_defaults(run=run_demo)


def run_demo(args: argparse.Namespace) -> int:
    """Exit status 1 when a row differs."""
    spec, progress = spec_from(args, args.name), Progress()
    spec = dataclasses.replace(spec, env={**ENV, **spec.env})
    try:
        with lifecycle.up(spec, progress) as lab:
            report = _Demo(lab, spec, progress).run(args.pods, keep=args.keep)
    finally:
        if not args.keep:
            lifecycle.down(spec.name, progress)
    report["seconds"] = round(progress.seconds, 2)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    differ = [row["name"] for row in report["rows"] if not row["ok"]]
    verdict = f"{len(differ)} differ: {', '.join(differ)}" if differ else "all as expected"
    progress(f"{len(report['rows'])} rows, {verdict}; written to {args.json}")
    return 1 if differ else 0


class _Demo:
    def __init__(self, lab: LabClient, spec: LabSpec, progress: Progress) -> None:
        self._lab, self._spec, self._progress = lab, spec, progress
        self._nodes = lab.nodes(cni="vpccni")

    def run(self, count: int, *, keep: bool) -> dict[str, Any]:
        pods = self._start(count)
        rows = self._paths()
        trace = self._trace(pods[-1])
        if not keep:
            rows += self._stop(pods)
        calls = self._calls()
        print("\n" + workload.rows_table(rows))
        print(
            f"\nOne ADD ({pods[-1].namespace}/{pods[-1].name}, {milliseconds(pods[-1].add_seconds)}), as traced\n{trace}"
        )
        print(f"\nEC2 calls\n{calls}\n")
        return {
            "rows": [dataclasses.asdict(row) for row in rows],
            "ok": all(row.ok for row in rows),
            "pods": len(pods),
            "add_ms": sorted(round(pod.add_seconds * 1000, 2) for pod in pods),
            "ec2_calls": [list(row) for row in self._lab.ec2_counts()],
        }

    def _start(self, count: int) -> list[Pod]:
        wanted: dict[str, list[Pod]] = {node.name: [] for node in self._nodes}
        for number, node in zip(range(1, count + 1), itertools.cycle(self._nodes), strict=False):
            wanted[node.name].append(podlib.new_pod(node.name, f"pod-{number}"))
        outcomes = workload.start(self._nodes, wanted, self._progress)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        if failures:
            raise ReasonError(
                Reason.NOT_READY,
                f"{len(failures)} of {count} pods did not start; {failures[0].pod.name}: {failures[0].error}",
            )
        return [outcome for outcome in outcomes if isinstance(outcome, Pod)]

    def _paths(self) -> list[Row]:
        world = ask.world_of(self._lab)
        on_secondary = sum(pod.eni == "secondary" for pod in world.pods)
        self._progress(f"probing; {on_secondary} of {len(world.pods)} pods are on secondary ENIs")
        before = self._lab.dropped()["spoofed"]
        rows = list(ask.observe([*expect.rows(world), *expect.spoofed(world)]))
        dropped = self._lab.dropped()["spoofed"] - before
        rows.append(
            Row("spoofed source, VPC's counter", "dropped", "dropped" if dropped else "none dropped", dropped > 0)
        )
        twice = len(world.pods) - len({pod.endpoint.address for pod in world.pods})
        rows.append(Row("addresses given twice", "none", f"{twice}" if twice else "none", not twice))
        return rows

    def _stop(self, pods: list[Pod]) -> list[Row]:
        chosen = {node.name: [pod for pod in pods if pod.node == node.name] for node in self._nodes}
        failures = [f for f in workload.stop(self._nodes, chosen, self._progress) if isinstance(f, Failure)]
        said = f"{failures[0].pod.name}: {failures[0].error}" if failures else "all succeed"
        row = Row("DEL of all pods", "all succeed", said, not failures)
        self._progress("waiting for the pools to be back at their target")
        addresses = {name: {pod.address for pod in of_node} for name, of_node in chosen.items()}
        return [row, *leftovers.rows(self._nodes, addresses, self._spec.cni.veth_prefix, BACK_WITHIN)]

    def _trace(self, pod: Pod) -> str:
        return "\n".join(tree(self._lab.spans(pod.trace_id, has="cni.add"))) or "no spans were exported"

    def _calls(self) -> str:
        counts = [row for row in self._lab.ec2_counts() if row[0] != "operator"]
        return table(["NODE", "ACTION", "RESULT", "NUMBER"], counts)
