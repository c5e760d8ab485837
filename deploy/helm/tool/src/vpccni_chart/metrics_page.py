"""docs/metrics.md: every metric of every process, from the calls in the code that make it."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from vpccni_ipam.adapters import metrics as ipam
from vpccni_metrics_helper.domain.catalog import CATALOG

from vpccni_chart import manifest, panels

REPO: Final = Path(__file__).resolve().parents[5]
_TYPES: Final = {
    "counter": "counter",
    "named_counter": "counter",
    "gauge": "gauge",
    "histogram": "histogram",
    "summary": "summary",
}
_PROCESSES: Final = (
    ("every service", "services/kit/src", "Ports 61678 (ipam), 61683 (netconf) and 61684 (eni-manager)."),
    ("ipam", "services/ipam/src", "Port 61678, as the original's."),
    ("netconf", "services/netconf/src", "Port 61683."),
    ("eni-manager", "services/eni-manager/src", "Port 61684."),
)
_SUFFIX: Final = re.compile(r"_(bucket|count|sum)$")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """``name``: as scraped (of a histogram or summary: without _bucket, _count, _sum)."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str


def _made(root: Path) -> Iterator[Row]:
    """Calls ``metrics.counter("name", "text", ("label",))`` and ``Metric("name", "text", "gauge")`` below ``root``."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or len(node.args) < 2:
                continue
            call = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name, text = (_literal(argument) for argument in node.args[:2])
            if not isinstance(name, str) or not name.startswith(("awscni_", "vpccni_")) or not isinstance(text, str):
                continue
            third = _literal(node.args[2]) if len(node.args) > 2 else ()
            if call == "Metric":
                yield Row(name, str(third), _sample_labels(path, name), text)
            elif call in _TYPES:
                total = "_total" if call == "counter" else ""
                yield Row(name + total, _TYPES[call], tuple(third or ()), text)


def _sample_labels(path: Path, name: str) -> tuple[str, ...]:
    """Keys of the dict in ``add_sample("name", {"label": …}, …)``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", "") == "add_sample"
            and _literal(node.args[0]) == name
        ):
            keys = node.args[1].keys if isinstance(node.args[1], ast.Dict) else []
            return tuple(str(_literal(key)) for key in keys if key is not None)
    return ()


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def rows() -> dict[str, list[Row]]:
    """Process -> its metrics by name."""
    found = {process: list(_made(REPO / source)) for process, source, _ in _PROCESSES}
    found["ipam"] += [
        Row(name, "counter", (label,) if label else (), text) for name, (label, text, _) in ipam.COUNTERS.items()
    ]
    found["ipam"] += [Row(name, "gauge", labels, text) for name, (labels, text) in ipam.GAUGES.items()]
    return {process: sorted(of_process, key=lambda row: row.name) for process, of_process in found.items()}


def _used() -> dict[str, list[str]]:
    """Metric -> the dashboards and alerts that ask for it."""
    used: dict[str, list[str]] = {}

    def note(expression: str, who: str) -> None:
        for name in re.findall(r"\b(?:awscni|vpccni)_[a-z0-9_]+", expression):
            for known in {name, _SUFFIX.sub("", name)}:
                if who not in used.setdefault(known, []):
                    used[known].append(who)

    for board in panels.ALL:
        for panel in board.panels:
            for query, _ in panel.queries:
                note(query, board.title.removeprefix("VPC CNI / "))
    for group in yaml.safe_load((manifest.CHART / "rules/alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                note(rule["expr"], f"[{rule['alert']}](runbooks/{rule['alert']}.md)")
    return used


def page() -> str:
    """The whole of docs/metrics.md."""
    used, parts = _used(), [_HEAD]
    for process, _, where in _PROCESSES:
        parts += [
            f"## {process}\n",
            f"{where}\n",
            "| metric | type | labels | meaning | asked for by |\n|---|---|---|---|---|",
        ]
        for row in rows()[process]:
            labels = ", ".join(f"`{label}`" for label in row.labels)
            parts.append(f"| `{row.name}` | {row.type} | {labels} | {row.text} | {', '.join(used.get(row.name, ()))} |")
        parts.append("")
    parts += [
        "## cni-metrics-helper\n",
        _HELPER,
        "| nodes' metric | CloudWatch | all nodes | own /metrics |\n|---|---|---|---|",
    ]
    for item in CATALOG:
        labels = ",".join(f'{key}="{value}"' for key, value in item.labels)
        source = f"`{item.source}{{{labels}}}`" if labels else f"`{item.source}`"
        shown = f"`{item.prometheus}`" if item.prometheus else ""
        parts.append(f"| {source} | {item.cloudwatch} | {item.how.value}, {item.kind.value} | {shown} |")
    return "\n".join(parts) + "\n"


_HEAD: Final = """# Metrics

Made from the code (`python docs/generate.py`). `awscni_*` are the original's, with its names, types and labels; `vpccni_*` are ours.
Prometheus's text format and OpenMetrics on each port, without TLS and authentication as the original's; `DISABLE_METRICS=true` turns
them off. Histograms of calls carry exemplars with the trace id (OpenMetrics, while traces are exported): docs/tracing.md.

The chart brings a PodMonitor (`podMonitor.create`), alerts with runbooks (`prometheusRule.create`) and Grafana dashboards
(`dashboards.create`; to import by hand: deploy/helm/aws-vpc-cni/dashboards/). Label `reason` has the names of docs/reasons.md.
"""
_HELPER: Final = """The cluster's numbers: CloudWatch namespace `Kubernetes`, dimension `CLUSTER_ID`, names as the original's helper. *counter*: the
increase since the message before; *mean*: milliseconds per call since then. Own /metrics (port 61681): also `vpccni_cluster_nodes`,
`vpccni_cluster_nodes_unreachable`, `vpccni_cluster_send_failures_total`.
"""
