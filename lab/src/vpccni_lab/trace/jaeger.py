"""Traces as Jaeger's query API gives them back."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.trace.spans import Event, Span


def trace(url: str, trace_id: str) -> list[Span]:
    """The spans of one trace, by start time; empty when Jaeger does not know it. Raises ReasonError NOT_READY."""
    found = _get(url, f"traces/{trace_id}", unknown={"data": []})
    return _spans(found)


def search(url: str, service: str, operation: str, tags: Mapping[str, str], limit: int = 20) -> list[list[Span]]:
    """Traces that hold such a span, as a person would search for them. Raises ReasonError NOT_READY."""
    query = {
        "service": service,
        "operation": operation,
        "tags": json.dumps(dict(tags)),
        "limit": str(limit),
        "lookback": "1h",
    }
    return [_spans({"data": [one]}) for one in _get(url, f"traces?{urllib.parse.urlencode(query)}")["data"]]


def _get(url: str, path: str, unknown: dict[str, Any] | None = None) -> dict[str, Any]:
    """``unknown``: the answer to 404."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/{path}", timeout=10) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404 and unknown is not None:
                return unknown
            raise ReasonError(Reason.NOT_READY, f"{url}: HTTP {error.code}") from error
    except OSError as error:
        raise ReasonError(Reason.NOT_READY, f"{url}: {error}") from error


def _spans(found: Mapping[str, Any]) -> list[Span]:
    spans = (_span(span, one["processes"]) for one in found["data"] for span in one["spans"])
    return sorted(spans, key=lambda span: span.start_ns)


def _span(span: Mapping[str, Any], processes: Mapping[str, Any]) -> Span:
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    parent, links = "", []
    for kind, trace_id, span_id in _references(span):
        if kind == "CHILD_OF" and trace_id == span["traceID"] and not parent:
            parent = span_id
        else:
            links.append(f"{trace_id}-{span_id}")
    start = int(span["startTime"]) * 1000  # microseconds
    failed = str(tags.get("otel.status_description", "error")) if tags.get("error") in (True, "true") else ""
    return Span(
        trace_id=span["traceID"],
        span_id=span["spanID"],
        parent_id=parent,
        name=span["operationName"],
        service=processes[span["processID"]]["serviceName"],
        start_ns=start,
        end_ns=start + int(span["duration"]) * 1000,
        attributes=tags,
        error=failed,
        links=links,
        events=[_event(log) for log in span.get("logs") or ()],
    )


def _event(log: Mapping[str, Any]) -> Event:
    fields = {field["key"]: field["value"] for field in log["fields"]}
    return Event(str(fields.pop("event", "")), int(log["timestamp"]) * 1000, fields)


def _references(span: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for reference in span.get("references") or ():
        yield reference["refType"], reference["traceID"], reference["spanID"]
