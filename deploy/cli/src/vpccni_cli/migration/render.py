"""A Plan as text: values.yaml with the report in comments, the report alone, or JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

import yaml

from vpccni_cli.migration.plan import Plan
from vpccni_cli.migration.verdict import Outcome, Verdict

_WIDTH: Final = 98


def values(plan: Plan) -> str:
    """values.yaml for the chart. Refused things are in it as comments only."""
    comments = "".join(f"# {line}".rstrip() + "\n" for line in _lines(plan))
    body = (
        yaml.safe_dump(dict(plan.values), sort_keys=True, default_flow_style=False, width=_WIDTH)
        if plan.values
        else "{}\n"
    )
    return f"{comments}\n{body}"


def report(plan: Plan) -> str:
    return "\n".join(_lines(plan)) + "\n"


def as_json(plan: Plan) -> str:
    whole = {
        "from": {
            "daemonSet": plan.original.name,
            "namespace": plan.original.namespace,
            "version": plan.original.version_text,
        },
        "verdicts": [
            {"subject": v.subject, "outcome": str(v.outcome), "why": v.why, "values": dict(v.values)}
            for v in plan.verdicts
        ],
        "values": dict(plan.values),
        "runningPods": list(plan.running_pods),
        "commands": list(plan.commands),
    }
    return json.dumps(whole, indent=2) + "\n"


def summary(plan: Plan) -> str:
    counts = {outcome: len(plan.of(outcome)) for outcome in Outcome}
    return f"{counts[Outcome.SAME]} same, {counts[Outcome.MAPPED]} mapped, {counts[Outcome.REFUSED]} refused"


def _lines(plan: Plan) -> Iterator[str]:
    original = plan.original
    yield f"Values for the chart aws-vpc-cni from DaemonSet {original.namespace}/{original.name}, version {original.version_text or 'unknown'}:"
    yield f"{summary(plan)}."
    for outcome, head in (
        (Outcome.REFUSED, "REFUSED: not carried over, decide before you go on"),
        (Outcome.MAPPED, "MAPPED: the same effect by another way"),
        (Outcome.SAME, "SAME"),
    ):
        if found := plan.of(outcome):
            yield ""
            yield head
            yield from _verdicts(found)
    yield ""
    yield "RUNNING PODS"
    for statement in plan.running_pods:
        yield from _wrapped(statement, "- ")
    yield ""
    yield "STEPS"
    yield from (f"  {line}" for line in plan.commands)


def _verdicts(found: Iterable[Verdict]) -> Iterator[str]:
    for verdict in found:
        yield from _wrapped(f"{verdict.subject}: {verdict.why}" if verdict.why else verdict.subject, "- ")


def _wrapped(text: str, mark: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=mark, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
