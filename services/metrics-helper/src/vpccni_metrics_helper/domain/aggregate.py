"""Samples of all nodes -> one number for each wanted metric. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from vpccni_metrics_helper.domain.catalog import How, Kind, Wanted

Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[str, Labels]
Scrape: TypeAlias = Mapping[Series, float]
"""One node's samples by name and sorted labels."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pull:
    """What one round over the cluster found. ``failed``: pods that did not answer, with what was said."""

    nodes: Mapping[str, Scrape]
    failed: Mapping[str, str]


def increase(before: float | None, now: float) -> float:
    """Of a counter between two pulls. Not seen before: 0 (what it counted earlier was another's). Smaller than before: it
    began again at 0."""
    if before is None:
        return 0.0
    return now - before if now >= before else now


def totals(wanted: Iterable[Wanted], now: Pull, before: Pull | None) -> dict[Wanted, float]:
    """A number for each wanted metric that at least one node has. Nodes that did not answer count for nothing."""
    found = {}
    for item in wanted:
        values = [
            value
            for pod, scrape in now.nodes.items()
            for value in _values(item, scrape, before.nodes.get(pod, {}) if before else {})
        ]
        if values:
            found[item] = sum(values) if item.how is How.SUM else max(values)
    return found


def _values(item: Wanted, scrape: Scrape, before: Scrape) -> Iterable[float]:
    source = f"{item.source}_count" if item.kind is Kind.MEAN else item.source
    for (name, labels), value in scrape.items():
        if name != source or not set(item.labels) <= set(labels):
            continue
        if item.kind is Kind.GAUGE:
            yield value
        elif item.kind is Kind.COUNTER:
            yield increase(before.get((name, labels)), value)
        else:
            calls = increase(before.get((name, labels)), value)
            total = (f"{item.source}_sum", labels)
            yield increase(before.get(total), scrape.get(total, 0.0)) / calls if calls else 0.0
