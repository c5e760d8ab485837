"""Spans as plain values, and the indented tree of one trace. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

_LINKS_SHOWN: Final = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span. ``at_ns``: nanoseconds since the epoch."""

    name: str
    at_ns: int
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Ids are hex; ``parent_id`` is empty for a root. Times: nanoseconds since the epoch. ``error``: empty when it went well.

    ``links``: <trace id>-<span id> of each.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    error: str = ""
    links: Sequence[str] = ()
    events: Sequence[Event] = ()

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Span:
        """What dataclasses.asdict made of one."""
        return cls(**{**found, "events": tuple(Event(**event) for event in found["events"])})

    @property
    def milliseconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


class SpanStore:
    """Spans by trace, newest traces kept. Not thread safe."""

    def __init__(self, traces: int = 2000) -> None:
        self._limit = traces
        self._traces: dict[str, dict[str, Span]] = {}

    def add(self, spans: Iterable[Span]) -> None:
        """Keeps the spans; the oldest traces are forgotten above the limit."""
        for span in spans:
            self._traces.setdefault(span.trace_id, {})[span.span_id] = span
        while len(self._traces) > self._limit:
            del self._traces[next(iter(self._traces))]

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, by start time; empty when it is not known."""
        return sorted(self._traces.get(trace_id, {}).values(), key=lambda span: span.start_ns)

    def latest(self, name: str, count: int) -> list[str]:
        """Ids of the newest traces that hold a span called ``name`` (any, when empty), newest first."""
        found = [
            trace_id
            for trace_id, spans in self._traces.items()
            if not name or any(span.name == name for span in spans.values())
        ]
        return found[::-1][:count]


def tree(spans: Sequence[Span], width: int = 100) -> list[str]:
    """One line per span: indented name, service, start after the trace's first span, duration, what it says of itself.

    A span whose parent is not there (the runtime's own, or not yet exported) is shown as a root.
    """
    if not spans:
        return []
    begin = min(span.start_ns for span in spans)
    lines = []
    for depth, span in walk(spans):
        label = "  " * depth + span.name
        facts = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in sorted(span.attributes.items()))
        error = f"! {span.error} " if span.error else ""
        line = f"{label:<34} {span.service:<12} +{(span.start_ns - begin) / 1e6:8.2f} ms {span.milliseconds:9.2f} ms  {error}{facts}"
        below = [f"{'  ' * depth}  · {said}" for said in _notes(span, begin)]
        lines += [one if len(one) <= width else one[: width - 1] + "…" for one in (line, *below)]
    return lines


def _notes(span: Span, begin: int) -> Iterator[str]:
    """Events, and links to other traces."""
    for event in span.events:
        facts = " ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
        yield f"{event.name} +{(event.at_ns - begin) / 1e6:.2f} ms {facts}".rstrip()
    elsewhere = [link for link in span.links if not link.startswith(span.trace_id)]
    if elsewhere:
        shown = ", ".join(link.partition("-")[0] for link in elsewhere[:_LINKS_SHOWN])
        yield f"linked to {shown}" + (f" and {len(elsewhere) - _LINKS_SHOWN} more" if elsewhere[_LINKS_SHOWN:] else "")


def walk(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Spans with their depth, parents before children; one whose parent is not there is a root."""
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda item: (item.start_ns, item.span_id)):
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)

    def below(parent: str, depth: int) -> Iterator[tuple[int, Span]]:
        for span in children.get(parent, ()):
            yield depth, span
            yield from below(span.span_id, depth + 1)

    return below("", 0)
