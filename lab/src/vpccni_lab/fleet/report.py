"""What a day cost: figures per setting, as a table and as JSON."""

from __future__ import annotations

import bisect
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vpccni_lab.fleet.day import ADD_BOUND_S, HOUR, NIGHT, REST, ROLLING, SAMPLE_S, STORM, THROTTLED, Fleet

THROTTLE_CODE: Final = "RequestLimitExceeded"
PHASES: Final = (
    ("storm", STORM, STORM + HOUR),
    ("rolling", ROLLING, ROLLING + HOUR),
    ("throttled", *THROTTLED),
    ("night", NIGHT, NIGHT + HOUR),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """Of the ADDs that got their address in a span of the day; seconds. ``late``: waited beyond the bound of one ADD."""

    adds: int
    p50: float
    p99: float
    longest: float
    late: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One setting's day. ``per_node_hour``: calls per action, refused ones included. ``idle``: addresses held and not assigned, per
    node, over the day. ``series``: (hour, pods, addresses held, calls per minute, refusals per minute)."""

    name: str
    env: Mapping[str, str]
    node_hours: float
    per_node_hour: Mapping[str, float]
    at_rest: float
    throttles: int
    idle: float
    held_most: int
    leaked: int
    unserved: int
    waits: Waits
    phases: Mapping[str, Waits]
    series: Sequence[tuple[float, int, int, float, float]]
    cpu_s: float

    @property
    def calls(self) -> float:
        """Per node-hour, all actions."""
        return sum(self.per_node_hour.values())

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**dataclasses.asdict(self), "calls_per_node_hour": round(self.calls, 4)}


def _waits(values: Sequence[float]) -> Waits:
    ordered = sorted(values)
    if not ordered:
        return Waits(0, 0.0, 0.0, 0.0, 0)
    last = len(ordered) - 1
    late = len(ordered) - bisect.bisect_right(ordered, ADD_BOUND_S)
    p50, p99 = ordered[round(last * 0.5)], ordered[round(last * 0.99)]
    return Waits(len(ordered), round(p50, 3), round(p99, 3), round(ordered[-1], 3), late)


def report_of(name: str, env: Mapping[str, str], fleet: Fleet, cpu_s: float) -> Report:
    """After ``fleet.run()``."""
    samples = fleet.samples
    node_hours = sum(sample.nodes for sample in samples) * SAMPLE_S / HOUR
    actions: collections.Counter[str] = collections.Counter()
    for (action, _), number in fleet.calls.items():
        actions[action] += number
    resting = fleet.shape.nodes * fleet.shape.staying * (REST[1] - REST[0]) / HOUR
    idle = sum(sample.held - sample.pods for sample in samples) * SAMPLE_S / HOUR
    minutes = SAMPLE_S / 60.0
    return Report(
        name=name,
        env=dict(env),
        node_hours=round(node_hours, 1),
        per_node_hour={action: round(number / node_hours, 4) for action, number in sorted(actions.items())},
        at_rest=round(sum(fleet.rest_calls.values()) / resting, 3),
        throttles=sum(number for (_, code), number in fleet.calls.items() if code == THROTTLE_CODE),
        idle=round(idle / node_hours, 2),
        held_most=max(sample.held for sample in samples),
        leaked=sum(not eni.attachment for eni in fleet.ec2.enis()),
        unserved=fleet.unserved,
        waits=_waits([wait for _, wait in fleet.waits]),
        phases={
            phase: _waits([wait for when, wait in fleet.waits if begin <= when < end]) for phase, begin, end in PHASES
        },
        series=[
            (s.time / HOUR, s.pods, s.held, round(s.calls / minutes, 2), round(s.throttles / minutes, 2))
            for s in samples
        ],
        cpu_s=round(cpu_s, 1),
    )


SUMMARY_HEADERS: Final = (
    "SETTING", "CALLS/NODE-H", "AT REST", "REFUSED", "IDLE/NODE", "HELD MOST", "ADD P50", "ADD P99", "LATE", "LEAKED",
)  # fmt: skip


def summary_rows(reports: Sequence[Report]) -> list[tuple[str, ...]]:
    """One per setting. LATE: ADDs that waited more than 50 s, so that kubelet had to repeat them."""
    return [
        (
            report.name,
            f"{report.calls:.2f}",
            f"{report.at_rest:.2f}",
            str(report.throttles),
            f"{report.idle:.1f}",
            str(report.held_most),
            f"{report.waits.p50:.2f} s",
            f"{report.waits.p99:.1f} s",
            f"{100 * report.waits.late / max(1, report.waits.adds):.1f} %",
            str(report.leaked),
        )
        for report in reports
    ]


def action_rows(reports: Sequence[Report]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headers and rows: calls per node-hour by action, a column per setting."""
    actions = sorted({action for report in reports for action in report.per_node_hour})
    rows = [(action, *(f"{report.per_node_hour.get(action, 0.0):.3f}" for report in reports)) for action in actions]
    return ["CALLS PER NODE-HOUR", *(report.name for report in reports)], rows


def phase_rows(reports: Sequence[Report]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headers and rows: p50 / p99 of ADD waits in each phase, a column per setting."""
    rows = [
        (phase, *(f"{report.phases[phase].p50:.1f} / {report.phases[phase].p99:.1f}" for report in reports))
        for phase, _, _ in PHASES
    ]
    return ["ADD WAIT P50 / P99, S", *(report.name for report in reports)], rows
