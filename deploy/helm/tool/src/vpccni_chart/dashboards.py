"""The JSON of the chart's Grafana dashboards (panels.py says what they show)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vpccni_chart.panels import ALL, Dashboard, Panel


def _target(number: int, query: str, legend: str, panel: Panel) -> dict[str, Any]:
    return {
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": query,
        "legendFormat": legend or "__auto",
        "refId": chr(ord("A") + number),
        "instant": panel.kind != "timeseries",
        "range": panel.kind == "timeseries",
        "exemplar": panel.exemplars,
    }


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 20 if panel.stacked else 5, "showPoints": "never"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _height(panel)},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": custom if panel.kind == "timeseries" else {}},
            "overrides": [],
        },
        "options": {} if panel.kind != "timeseries" else {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [_target(i, query, legend, panel) for i, (query, legend) in enumerate(panel.queries)],
    }


def _height(panel: Panel) -> int:
    return 4 if panel.kind == "stat" else 8


def _placed(panels: tuple[Panel, ...]) -> Iterator[dict[str, Any]]:
    """Left to right; a row is as high as its highest panel."""
    x = y = row = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y, row = 0, y + row, 0
        yield _panel(number, panel, x, y)
        x, row = x + panel.width, max(row, _height(panel))


def _variables(one_node: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    node = {
        "name": "node",
        "type": "query",
        "label": "Node",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": "label_values(vpccni_ready, node)", "refId": "node"},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "allValue": ".*",
    }
    return [source, node] if one_node else [source]


def grafana(board: Dashboard) -> dict[str, Any]:
    """As Grafana imports it (schema 39: Grafana 10 and later)."""
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["vpc-cni"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "tags": ["vpc-cni"], "title": "VPC CNI", "asDropdown": True, "keepTime": True}
        ],
        "templating": {"list": _variables(board.one_node)},
        "annotations": {"list": []},
        "panels": list(_placed(board.panels)),
    }


def files() -> Iterator[tuple[str, str]]:
    """(file name, text)."""
    for board in ALL:
        yield f"{board.uid}.json", json.dumps(grafana(board), indent=1) + "\n"
