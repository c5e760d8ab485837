"""The whole answer: verdicts, the values that they add up to, what happens to running pods, the commands."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vpccni_cli.migration import env_verdicts, pod_verdicts, running_pods, steps
from vpccni_cli.migration.facts import Facts
from vpccni_cli.migration.verdict import Outcome, Verdict
from vpccni_cli.migration.workload import Original


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What ``vpccni migrate`` prints, in any of its forms."""

    original: Original
    verdicts: tuple[Verdict, ...]
    values: Mapping[str, Any]
    running_pods: tuple[str, ...]
    commands: tuple[str, ...]

    def of(self, outcome: Outcome) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.outcome is outcome]


def make(original: Original, facts: Facts) -> Plan:
    verdicts = (*env_verdicts.verdicts(original, facts), *pod_verdicts.verdicts(original))
    values: dict[str, Any] = {}
    for verdict in verdicts:
        _merge(values, verdict.values)
    return Plan(original, verdicts, values, tuple(running_pods.statements(original)), tuple(steps.commands(original)))


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Maps are merged, lists are joined, anything else is replaced."""
    for key, value in more.items():
        old = into.get(key)
        if isinstance(value, Mapping) and key not in ("affinity", "nodeSelector", "resources", "podSecurityContext"):
            made = dict(old) if isinstance(old, dict) else {}
            _merge(made, value)
            into[key] = made
        elif isinstance(value, list) and isinstance(old, list):
            into[key] = [*old, *value]
        else:
            into[key] = value
