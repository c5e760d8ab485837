"""``make bench``: aws-cni beside Debian's ptp + host-local on one lab node, in one run, on real packets' plumbing.

ADD and DEL alternate between the two, so that a noisy minute hits both. What is timed is the plugin's process as its
runtime sees it. Prints a table with ratios and the budgets of docs/architecture.md, writes build/bench.json with the raw
samples. Exit status 0 whether or not a budget is met (the table says so), 1 when something failed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from vpccni_lab import lifecycle
from vpccni_lab.cli.output import Progress, table
from vpccni_lab.client import LabClient
from vpccni_lab.nodes.node import Node
from vpccni_lab.runtime import conflist, invoke
from vpccni_lab.runtime.network import CniNetwork
from vpccni_lab.runtime.pods import Pod, Pods, load_conf, new_pod
from vpccni_lab.spec import CniSpec, LabSpec, NodeSpec, SubnetSpec

ROOT: Final = pathlib.Path(__file__).parents[2]
BINARY: Final = ROOT / "build" / "aws-cni"
LOADED_PODS: Final = 250
SERVICES: Final = ("netconf", "eni-manager", "ipam")
PEER_DIR: Final = "/usr/lib/cni"
PEER: Final = conflist.parse(
    json.dumps(
        {
            "cniVersion": "1.0.0",
            "name": "peer",
            "plugins": [
                {
                    "type": "ptp",
                    "mtu": 9001,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": "/run/bench-host-local",
                        "ranges": [[{"subnet": "172.30.0.0/16"}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
    )
)
SPEC: Final = LabSpec(
    name="bench",
    cidrs=("10.0.0.0/16",),
    subnets=(SubnetSpec("big", "10.0.0.0/20"),),
    # 15 ENIs of 50 addresses: room for every phase without waiting for the cooldown
    nodes=(NodeSpec("node-a", "big", instance_type="m5.24xlarge"),),
    env={"WARM_IP_TARGET": "300", "MINIMUM_IP_TARGET": "660", "IP_COOLDOWN_PERIOD": "5", "VPCCNI_SHRINK_PACE": "3600"},
    cni=CniSpec(),
    traces=False,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One of the two networks under comparison."""

    name: str
    network: CniNetwork


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """``limit``: the largest value that is within budget. ``key``: its name in build/bench.json."""

    key: str
    what: str
    value: float
    limit: float
    unit: str


def percentile(samples: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Bench:
    """All phases on one lab that is up."""

    def __init__(self, lab: LabClient, pods: int, at_once: int, rounds: int, idle_s: float, progress: Progress) -> None:
        self._lab = lab
        self._node: Node = lab.node("node-a")
        self._pods, self._at_once, self._rounds, self._idle_s = pods, at_once, rounds, idle_s
        self._progress = progress

    def run(self) -> dict[str, Any]:
        report: dict[str, Any] = {"plugin_bytes": BINARY.stat().st_size}
        self._settle()
        report["pss_mb_idle"] = self._pss()
        report["pss_mb_idle_each"] = {name: self._pss_of(name) for name in SERVICES}
        report["idle_cpu_pct"] = self._idle_cpu()
        with (
            Pods(self._node, workers=1, trace=False) as sandboxes,
            self._node.pool(1) as one,
            self._node.pool(self._at_once) as many,
        ):
            ours = Side("aws-cni", CniNetwork(one.submit(load_conf).result()))
            peer = Side("ptp + host-local", CniNetwork(PEER, plugin_dirs=(PEER_DIR,)))
            self._warm_up(sandboxes, one, (ours, peer))
            report |= self._one_by_one(sandboxes, one, (ours, peer))
            report |= self._bursts(sandboxes, many, (ours, peer))
        report |= self._starts()
        return report

    def _settle(self) -> None:
        self._progress("waiting for the pool to be full")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            free = sum(len(eni["secondary_ips"]) for eni in self._lab.enis()["node-a"])
            if free >= 660:
                time.sleep(3)  # what start-up still has to do
                return
            time.sleep(0.2)
        raise SystemExit(f"the pool did not fill: {free} addresses")

    def _warm_up(self, sandboxes: Pods, one: ThreadPoolExecutor, sides: Sequence[Side]) -> None:
        for _ in range(10):
            for side in sides:
                with self._sandbox(sandboxes, f"warm-{side.name[:3]}") as pod:
                    one.submit(side.network.add, pod.attachment).result()
                    one.submit(side.network.delete, pod.attachment).result()

    @contextlib.contextmanager
    def _sandbox(self, sandboxes: Pods, name: str) -> Iterator[Pod]:
        pod = new_pod("node-a", name)
        sandboxes.make_sandbox(pod)
        try:
            yield pod
        finally:
            sandboxes.drop_sandbox(pod)

    def _one_by_one(self, sandboxes: Pods, one: ThreadPoolExecutor, sides: Sequence[Side]) -> dict[str, Any]:
        self._progress(f"{self._pods} pods each, ADD by turns")
        made = {side.name: [new_pod("node-a", f"{side.name[:3]}-{i}") for i in range(self._pods)] for side in sides}
        for pods in made.values():
            for pod in pods:
                sandboxes.make_sandbox(pod)
        times: dict[str, dict[str, list[float]]] = {side.name: {"add": [], "del": []} for side in sides}
        for i in range(self._pods):
            for side in sides if i % 2 == 0 else reversed(sides):
                outcome = one.submit(side.network.add, made[side.name][i].attachment).result()
                times[side.name]["add"].append(outcome.seconds)
        loaded = self._loaded(sandboxes, one, sides[0])
        self._progress(f"{self._pods} pods each, DEL by turns")
        for i in range(self._pods):
            for side in sides if i % 2 == 0 else reversed(sides):
                outcome = one.submit(side.network.delete, made[side.name][i].attachment).result()
                times[side.name]["del"].append(outcome.seconds)
        for pods in made.values():
            for pod in pods:
                sandboxes.drop_sandbox(pod)
        ours, peer = (times[side.name] for side in sides)
        return {
            "samples_s": times,
            "pss_mb_loaded": loaded,
            "add_p50_ratio": statistics.median(ours["add"]) / statistics.median(peer["add"]),
            "add_p90_ratio": percentile(ours["add"], 0.9) / percentile(peer["add"], 0.9),
            "add_p99_ratio": percentile(ours["add"], 0.99) / percentile(peer["add"], 0.99),
            "del_p50_ratio": statistics.median(ours["del"]) / statistics.median(peer["del"]),
        }

    def _loaded(self, sandboxes: Pods, one: ThreadPoolExecutor, ours: Side) -> float:
        """PSS with LOADED_PODS pods of ours on the node, those of the timing included."""
        with contextlib.ExitStack() as more:
            for i in range(self._pods, LOADED_PODS):
                pod = more.enter_context(self._sandbox(sandboxes, f"load-{i}"))
                one.submit(ours.network.add, pod.attachment).result()
                more.callback(lambda pod=pod: one.submit(ours.network.delete, pod.attachment).result())  # type: ignore[misc]
            return self._pss()

    def _bursts(self, sandboxes: Pods, many: ThreadPoolExecutor, sides: Sequence[Side]) -> dict[str, Any]:
        walls: dict[str, list[float]] = {side.name: [] for side in sides}
        for round_number in range(self._rounds):
            for side in sides if round_number % 2 == 0 else reversed(sides):
                self._progress(f"{self._at_once} ADDs at once, {side.name}")
                pods = [new_pod("node-a", f"{side.name[:3]}-burst-{i}") for i in range(self._at_once)]
                for pod in pods:
                    sandboxes.make_sandbox(pod)
                begin = time.perf_counter()
                list(many.map(lambda pod, side=side: side.network.add(pod.attachment), pods))
                walls[side.name].append(time.perf_counter() - begin)
                list(many.map(lambda pod, side=side: side.network.delete(pod.attachment), pods))
                for pod in pods:
                    sandboxes.drop_sandbox(pod)
                time.sleep(1.0)  # the kernel removes the devices meanwhile
        ours, peer = (walls[side.name] for side in sides)
        return {"burst_s": walls, "burst_ratio": statistics.median(ours) / statistics.median(peer)}

    def _starts(self) -> dict[str, Any]:
        """The plugin's whole process for VERSION beside a static C program that returns 0."""
        with tempfile.TemporaryDirectory() as tmp:
            source = pathlib.Path(tmp) / "nothing.c"
            source.write_text("int main(void) { return 0; }\n")
            nothing = str(source.with_suffix(""))
            subprocess.run(["gcc", "-Os", "-static", "-s", "-o", nothing, str(source)], check=True)
            stdin = b'{"cniVersion":"1.0.0","name":"x","type":"aws-cni"}'
            times: dict[str, list[float]] = {"aws-cni": [], "static C": []}
            for _ in range(300):
                times["aws-cni"].append(invoke.execute(str(BINARY), "VERSION", {}, stdin, 10).seconds)
                times["static C"].append(invoke.execute(nothing, "VERSION", {}, b"", 10).seconds)
        ratio = statistics.median(times["aws-cni"]) / statistics.median(times["static C"])
        return {"version_s": times, "plugin_start_ratio": ratio}

    def _pids(self) -> dict[str, int]:
        node = next(node for node in self._lab.status()["nodes"] if node["name"] == "node-a")
        return {name: int(state["pid"]) for name, state in node["services"].items()}

    def _pss_of(self, service: str) -> float:
        text = pathlib.Path(f"/proc/{self._pids()[service]}/smaps_rollup").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) / 1024

    def _pss(self) -> float:
        return sum(self._pss_of(name) for name in SERVICES)

    def _cpu_s(self) -> float:
        total = 0
        for pid in self._pids().values():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def _idle_cpu(self) -> float:
        self._progress(f"idle CPU over {self._idle_s:.0f} s")
        before, begin = self._cpu_s(), time.monotonic()
        time.sleep(self._idle_s)
        return 100 * (self._cpu_s() - before) / (time.monotonic() - begin)


def budgets(report: dict[str, Any]) -> list[Budget]:
    """The rows of design section 7 that this bench measures."""
    return [
        Budget("add_p50_ratio", "ADD p50, ratio to the peer", report["add_p50_ratio"], 1.0, ""),
        Budget("add_p90_ratio", "ADD p90, ratio to the peer", report["add_p90_ratio"], 1.0, ""),
        Budget("del_p50_ratio", "DEL p50, ratio to the peer", report["del_p50_ratio"], 0.25, ""),
        Budget("burst_ratio", "ADDs at once, wall, ratio to the peer", report["burst_ratio"], 0.8, ""),
        Budget("pss_mb_idle", "PSS of the three services, idle", report["pss_mb_idle"], 150, " MB"),
        Budget("pss_mb_loaded", "PSS of the three services, 250 pods", report["pss_mb_loaded"], 165, " MB"),
        Budget("idle_cpu_pct", "idle CPU of the three services", report["idle_cpu_pct"], 0.5, " %"),
        Budget("plugin_bytes", "size of the plugin", report["plugin_bytes"] / 1e6, 12, " MB"),
        Budget("plugin_start_ratio", "VERSION, ratio to a static C program", report["plugin_start_ratio"], 6.5, ""),
    ]


def show(report: dict[str, Any], write: Callable[[str], None] = print) -> None:
    rows = []
    for verb in ("add", "del"):
        for side, samples in report["samples_s"].items():
            p50, p90, p99 = (f"{1000 * percentile(samples[verb], p):.2f} ms" for p in (0.5, 0.9, 0.99))
            rows.append((verb.upper(), side, len(samples[verb]), p50, p90, p99))
    for side, walls in report["burst_s"].items():
        rows.append(
            ("AT ONCE, WALL", side, len(walls), *(f"{1000 * f(walls):.0f} ms" for f in (statistics.median, max, max)))
        )
    write("\n" + table(["WHAT", "BY", "SAMPLES", "P50", "P90", "P99"], rows))
    lines = [
        (b.what, f"{b.value:.2f}{b.unit}", f"<= {b.limit:g}{b.unit}", "ok" if b.value <= b.limit else "over")
        for b in budgets(report)
    ]
    write("\n" + table(["BUDGET", "MEASURED", "ALLOWED", ""], lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=110)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of the idle CPU measurement")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench.json")
    args = parser.parse_args()
    progress = Progress()
    try:
        with lifecycle.up(SPEC, progress) as lab:
            report = Bench(lab, args.pods, args.at_once, args.rounds, args.idle, progress).run()
    finally:
        lifecycle.down(SPEC.name, progress)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report) + "\n")
    show(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
