"""Measures ADDs and DELs on a lab of its own. First without tracing: the whole, and the CPU time of each process, user and
kernel. Then with tracing: the steps, cut from the spans of each call.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import resource
import secrets
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import lifecycle
from vpccni_lab.client import LabClient
from vpccni_lab.lifecycle import Progress
from vpccni_lab.nodes.boot import IMDS_ADDRESS
from vpccni_lab.nodes.services import OTLP_PORT
from vpccni_lab.profile import steps
from vpccni_lab.profile.steps import Call
from vpccni_lab.runtime import conflist, invoke
from vpccni_lab.runtime.network import PLUGIN_DIR
from vpccni_lab.runtime.pods import Pod, Pods, load_conf, new_pod
from vpccni_lab.spec import CniSpec, LabSpec, NodeSpec, SubnetSpec

NODE: Final = "node-a"
SERVICES: Final = ("ipam", "netconf", "eni-manager")
OTLP: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_WARM_UP: Final = 5
_FULL_WITHIN_S: Final = 120.0
_SPANS_WITHIN_S: Final = 15.0
_EXPORT_MS: Final = "2000"
"""So rarely that most calls do not see an export."""


def spec(name: str, pods: int) -> LabSpec:
    """One node whose pool is full before the first ADD, and does not grow meanwhile."""
    return LabSpec(
        name=name,
        cidrs=("10.0.0.0/16",),
        subnets=(SubnetSpec("a", "10.0.0.0/20"),),
        nodes=(NodeSpec(NODE, "a", instance_type="m5.24xlarge"),),
        env={
            "MINIMUM_IP_TARGET": str(_addresses(pods)),
            "WARM_IP_TARGET": "1",
            "VPCCNI_SHRINK_PACE": "3600",
            "OTEL_BSP_SCHEDULE_DELAY": _EXPORT_MS,
        },
        cni=CniSpec(),
    )


def _addresses(pods: int) -> int:
    """For two passes: those of the first cool down during the second."""
    return 2 * (pods + _WARM_UP)


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """One plugin process. Times: nanoseconds since the epoch."""

    verb: str
    trace_id: str
    begin_ns: int
    end_ns: int

    @property
    def milliseconds(self) -> float:
        return (self.end_ns - self.begin_ns) / 1e6


def profile(name: str, pods: int, progress: Progress) -> dict[str, Any]:
    """What to write to build/profile.json: by verb milliseconds, steps, CPU milliseconds by process. ``name``: of the lab."""
    try:
        with lifecycle.up(spec(name, pods), progress) as lab:
            return _Profile(lab, pods, progress).run()
    finally:
        lifecycle.down(name, progress)


class _Profile:
    """Both passes on a lab that is up."""

    def __init__(self, lab: LabClient, pods: int, progress: Progress) -> None:
        self._lab, self._pods, self._progress = lab, pods, progress
        self._node = lab.node(NODE)

    def run(self) -> dict[str, Any]:
        self._restart({OTLP: None})
        whole, cpu = self._pass("without tracing")
        self._restart({OTLP: f"http://{IMDS_ADDRESS}:{OTLP_PORT}"})
        traced, _ = self._pass("with tracing")
        return {verb: self._report(verb, whole, cpu[verb], traced) for verb in ("ADD", "DEL")} | {"pods": self._pods}

    def _report(
        self, verb: str, whole: list[Timed], cpu: Mapping[str, Mapping[str, float]], traced: list[Timed]
    ) -> dict[str, Any]:
        calls = [self._call(timed) for timed in traced if timed.verb == verb]
        plain = [timed.milliseconds for timed in whole if timed.verb == verb]
        return {
            "ms": statistics.median(plain),
            "ms_p90": statistics.quantiles(plain, n=10)[-1],
            "ms_traced": statistics.median(timed.milliseconds for timed in traced if timed.verb == verb),
            "cpu_ms": cpu,
            "steps": [dataclasses.asdict(step) for step in steps.steps(calls)],
        }

    def _call(self, timed: Timed) -> Call:
        for name in steps.LAST[timed.verb]:
            spans = self._lab.spans(timed.trace_id, has=name, within=_SPANS_WITHIN_S)
        return Call(timed.verb, timed.begin_ns, timed.end_ns, tuple(spans))

    def _restart(self, env: Mapping[str, str | None]) -> None:
        for service in ("netconf", "eni-manager", "ipam"):
            self._lab.service(NODE, service, "restart", env=dict(env))
        self._lab.wait_ready(NODE)
        deadline = time.monotonic() + _FULL_WITHIN_S
        while sum(len(eni["secondary_ips"]) for eni in self._lab.enis()[NODE]) < _addresses(self._pods):
            if time.monotonic() > deadline:
                raise ReasonError(Reason.NOT_READY, f"the pool did not fill within {_FULL_WITHIN_S:.0f} s")
            time.sleep(0.2)
        time.sleep(2.0)  # what start-up still has to do

    def _pass(self, what: str) -> tuple[list[Timed], dict[str, dict[str, dict[str, float]]]]:
        """All ADDs one by one, then all DELs; and the CPU milliseconds of each process per call."""
        self._progress(f"{self._pods} pods, {what}")
        cpu: dict[str, dict[str, dict[str, float]]] = {}
        timed: list[Timed] = []
        with Pods(self._node, workers=1, trace=False) as sandboxes, self._node.pool(1) as one:
            pods = [new_pod(NODE, f"{what.replace(' ', '-')}-{number}") for number in range(_WARM_UP + self._pods)]
            results: dict[str, Any] = {}
            for pod in pods:
                sandboxes.make_sandbox(pod)
            for verb in ("ADD", "DEL"):
                for pod in pods[:_WARM_UP]:
                    _execute(one, verb, pod, results)
                before = self._cpu()
                timed += [_execute(one, verb, pod, results) for pod in pods[_WARM_UP:]]
                cpu[verb] = _per_call(before, self._cpu(), self._pods)
            for pod in pods:
                sandboxes.drop_sandbox(pod)
        return timed, cpu

    def _cpu(self) -> dict[str, tuple[float, float]]:
        """Process -> (user, kernel) seconds so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        plugins = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = {"plugin": (plugins.ru_utime, plugins.ru_stime)}
        node = next(node for node in self._lab.status()["nodes"] if node["name"] == NODE)
        for name in SERVICES:
            stat = pathlib.Path(f"/proc/{node['services'][name]['pid']}/stat").read_text().rpartition(")")[2].split()
            found[name] = (int(stat[11]) / ticks, int(stat[12]) / ticks)
        return found


def _per_call(
    before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]], calls: int
) -> dict[str, dict[str, float]]:
    """Milliseconds."""

    def part(name: str, index: int) -> float:
        return 1000 * (after[name][index] - before[name][index]) / calls

    return {name: {"user": part(name, 0), "kernel": part(name, 1)} for name in after}


def _execute(one: ThreadPoolExecutor, verb: str, pod: Pod, results: dict[str, Any]) -> Timed:
    """Runs the node's plugin for one pod as a runtime does. Raises CniError."""
    trace_id = secrets.token_hex(16)

    def inside() -> Timed:
        conf = load_conf()
        plugin = conf.plugins[0]
        config = conflist.plugin_config(conf, plugin, pod.attachment, results.get(pod.container_id))
        env = {
            "CNI_CONTAINERID": pod.container_id,
            "CNI_NETNS": pod.netns,
            "CNI_IFNAME": pod.attachment.ifname,
            "CNI_ARGS": pod.attachment.cni_args,
            "CNI_PATH": PLUGIN_DIR,
            "TRACEPARENT": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        }
        stdin = json.dumps(config).encode()
        begin = time.time_ns()
        ran = invoke.execute(f"{PLUGIN_DIR}/{plugin['type']}", verb, env, stdin, 60)
        end = time.time_ns()
        results[pod.container_id] = invoke.result_of(ran)
        return Timed(verb, trace_id, begin, end)

    return one.submit(inside).result()
