"""A span as cheap as can be on the path of an ADD: it notes what happened; the exporting thread makes the SDK's span of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from vpccni_kit.span import Attributes, AttributeValue, parse_traceparent

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("vpccni")


class Keeper(Protocol):
    """Who decides at a span's end whether it is exported (otel_keep.py)."""

    def keeps(self, trace_id: str) -> bool: ...
    def keep(self, trace_id: str) -> None: ...
    def ended(self, span: RecordedSpan) -> None: ...


class RecordedSpan:
    """Times: nanoseconds since the epoch; ids: hex digits. ``parent_id``: empty for a root.

    ``local``: it is a part of another span of this process, which ends later. ``sampled``: the sampler chose the trace.
    """

    __slots__ = (
        "attributes",
        "end_ns",
        "events",
        "failed",
        "keeper",
        "kind",
        "links",
        "local",
        "message",
        "name",
        "parent_id",
        "parent_is_local",
        "resource",
        "sampled",
        "span_id",
        "start_ns",
        "trace_id",
    )
    # All that the SDK's queue asks of a span. Only spans that are to be exported are put there.
    context: ClassVar[SpanContext] = SpanContext(1, 1, is_remote=False, trace_flags=_SAMPLED)

    def __init__(
        self,
        name: str,
        trace_id: str,
        parent_id: str,
        keeper: Keeper,
        resource: Resource,
        *,
        local: bool,
        sampled: bool,
        kind: SpanKind,
        attributes: Attributes | None,
        links: Sequence[str],
    ) -> None:
        self.name = name
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.span_id = secrets.token_hex(8)
        self.keeper = keeper
        self.resource = resource
        self.local = self.parent_is_local = local
        self.sampled = sampled
        self.kind = kind
        self.attributes: dict[str, AttributeValue] = dict(attributes) if attributes else {}
        self.links: Sequence[str] = links
        self.events: list[tuple[str, int, Attributes]] | None = None
        self.failed = False
        self.message = ""
        self.end_ns = 0
        self.start_ns = time.time_ns()

    @property
    def traceparent(self) -> str:
        sampled = self.sampled or self.keeper.keeps(self.trace_id)
        return f"00-{self.trace_id}-{self.span_id}-{'01' if sampled else '00'}"

    def set(self, key: str, value: AttributeValue) -> None:
        self.attributes[key] = value

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        if self.events is None:
            self.events = []
        self.events.append((name, time.time_ns(), dict(attributes or {})))

    def link(self, traceparent: str) -> None:
        self.links = [*self.links, traceparent]

    def keep(self) -> None:
        if not self.sampled:
            self.keeper.keep(self.trace_id)

    def fail(self, reason: str, message: str) -> None:
        self.attributes["vpccni.reason"] = reason
        self.attributes["error.type"] = reason
        self.failed, self.message = True, message

    def end(self) -> None:
        """Once, when nobody changes the span any more."""
        if not self.end_ns:
            self.end_ns = time.time_ns()
        self.keeper.ended(self)


def remote_context(traceparent: str) -> SpanContext | None:
    """None when it is malformed."""
    parsed = parse_traceparent(traceparent)
    if parsed is None:
        return None
    trace_id, span_id, sampled = parsed
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1 if sampled else 0))


def to_sdk(span: RecordedSpan, limits: SpanLimits) -> ReadableSpan:
    """For an exporter; cut to the limits of the standard variables."""
    trace_id = int(span.trace_id, 16)
    events = [
        Event(name, BoundedAttributes(limits.max_event_attributes, dict(about)), at_ns)
        for name, at_ns, about in span.events or ()
    ]
    links = [Link(found) for link in span.links if (found := remote_context(link))]
    return ReadableSpan(
        name=span.name,
        context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=SpanContext(trace_id, int(span.parent_id, 16), is_remote=not span.parent_is_local, trace_flags=_SAMPLED)
        if span.parent_id
        else None,
        resource=span.resource,
        attributes=BoundedAttributes(
            limits.max_span_attributes, dict(span.attributes), max_value_len=limits.max_span_attribute_length
        ),
        events=BoundedList.from_seq(limits.max_events, events),
        links=BoundedList.from_seq(limits.max_links, links),
        kind=span.kind,
        status=Status(StatusCode.ERROR, span.message) if span.failed else Status(),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=_SCOPE,
    )
