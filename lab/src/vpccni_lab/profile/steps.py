"""What an ADD's and a DEL's time goes to, step by step: a call's spans cut into pieces that add up to the whole. Pure."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from vpccni_lab.trace.spans import Span

KERNEL_MS: Final = "vpccni.kernel_ms"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One plugin process as its runtime saw it. Times: nanoseconds since the epoch; ``spans``: of its trace."""

    verb: str
    begin_ns: int
    end_ns: int
    spans: tuple[Span, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """``milliseconds``: median over the calls. ``beside``: runs while the step above does, and is not part of the sum."""

    name: str
    milliseconds: float
    beside: bool = False


_ROOT: Final = {"ADD": "cni.add", "DEL": "cni.del"}
LAST: Final = {"ADD": ("netconf.SetupPod", "cni.add"), "DEL": ("netconf.TeardownPod", "cni.del")}
"""Verb -> the span that each service exports last of a call."""
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "ADD": (
        "exec of the plugin, until its first line",
        "plugin: parse, connect, send; ipam wakes up",
        "ipam: request in, address assigned",
        "ipam -> netconf: request",
        "netconf: request in, plan, namespace opened",
        "kernel: veth pair made",
        "kernel: rules and route of the host side",
        "kernel: address, routes, neighbour in the pod",
        "netconf: answer made",
        "ipam: netconf's answer in; checkpoint awaited; result made",
        "plugin: answer in, printed; exit",
    ),
    "DEL": (
        "exec of the plugin, until its first line",
        "plugin: parse, connect, send; ipam wakes up",
        "ipam -> netconf: request",
        "netconf: rules and route removed",
        "ipam: netconf's answer in, address released",
        "ipam: checkpoint written",
        "ipam: result made",
        "plugin: answer in; exit",
    ),
}


def cut(call: Call) -> list[float]:
    """Milliseconds of each step of one call, in the order of their names; they add up to the call. Raises KeyError naming the
    span that is missing."""
    spans = {span.name: span for span in call.spans}
    root = spans[_ROOT[call.verb]]
    if call.verb == "ADD":
        ipam, wire = spans["ipam.AddPod"], spans["netconf.SetupPod"]
        make, host, inside = (spans[f"kernel.{name}"] for name in ("create_link", "host_side", "pod_side"))
        marks = [
            root.start_ns,
            ipam.start_ns,
            spans["pool.assign"].end_ns,
            wire.start_ns,
            make.start_ns,
            host.start_ns,
            inside.start_ns,
            inside.end_ns,
            wire.end_ns,
            ipam.end_ns,
        ]
    else:
        ipam, wire, store = spans["ipam.DelPod"], spans["netconf.TeardownPod"], spans["store.write"]
        marks = [
            root.start_ns,
            ipam.start_ns,
            wire.start_ns,
            wire.end_ns,
            store.start_ns,
            store.end_ns,
            ipam.end_ns,
        ]
    points = [call.begin_ns, *marks, call.end_ns]
    return [(after - before) / 1e6 for before, after in itertools.pairwise(points)]


def steps(calls: Sequence[Call]) -> list[Step]:
    """Medians over calls of one verb; then what runs beside, and how much of netconf's time the kernel takes."""
    verb = calls[0].verb
    by_step = zip(*(cut(call) for call in calls), strict=True)
    found = [Step(name, statistics.median(of)) for name, of in zip(_NAMES[verb], by_step, strict=True)]
    beside = [("netconf: time in system calls (netlink, setns, sysctls)", [_kernel_ms(call) for call in calls])]
    if verb == "ADD":
        beside.insert(0, ("ipam: checkpoint written, while netconf works", [_span_ms(c, "store.write") for c in calls]))
    return [*found, *(Step(name, statistics.median(of), beside=True) for name, of in beside)]


def _kernel_ms(call: Call) -> float:
    return sum(float(span.attributes.get(KERNEL_MS, 0.0)) for span in call.spans)


def _span_ms(call: Call, name: str) -> float:
    return next(span.milliseconds for span in call.spans if span.name == name)
