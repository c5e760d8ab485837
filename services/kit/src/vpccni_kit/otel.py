"""The OpenTelemetry SDK behind telemetry.py. Imported only when export is on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from vpccni_kit.telemetry import Attributes, AttributeValue, Span, parse_traceparent

_SHUTDOWN_MS = 2000


class _Ids(IdGenerator):
    """Random ids, unless the next span's id was given (a span recorded on behalf of the plugin)."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.next_span_id: int | None = None
        self.next_trace_id: int | None = None

    def generate_span_id(self) -> int:
        given, self.next_span_id = self.next_span_id, None
        return given or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        given, self.next_trace_id = self.next_trace_id, None
        return given or self._random.generate_trace_id()


class _OtelSpan:
    def __init__(self, inner: trace.Span) -> None:
        self._inner = inner

    @property
    def traceparent(self) -> str:
        context = self._inner.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def set(self, key: str, value: AttributeValue) -> None:
        self._inner.set_attribute(key, value)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self._inner.add_event(name, dict(attributes or {}))

    def fail(self, reason: str, message: str) -> None:
        self._inner.set_attribute("vpccni.reason", reason)
        self._inner.set_status(Status(StatusCode.ERROR, message))


def _context(traceparent: str) -> SpanContext | None:
    parsed = parse_traceparent(traceparent)
    if parsed is None:
        return None
    trace_id, span_id, sampled = parsed
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1 if sampled else 0))


class OtelBackend:
    """One tracer provider with a batching OTLP exporter; an absent collector costs the caller nothing."""

    def __init__(self, service: str, attributes: Attributes) -> None:
        self._ids = _Ids()
        resource = Resource.create({"service.name": service, **attributes})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("vpccni")
        plugin = Resource.create({**attributes, "service.name": "aws-cni"})
        self._plugin_provider = TracerProvider(resource=plugin, id_generator=self._ids)
        self._plugin_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._plugin_tracer = self._plugin_provider.get_tracer("vpccni")

    def shutdown(self) -> None:
        for provider in (self._provider, self._plugin_provider):
            provider.force_flush(_SHUTDOWN_MS)
            provider.shutdown()

    @contextlib.contextmanager
    def span(
        self, name: str, parent: str, attributes: Attributes, links: Sequence[str], *, server: bool, client: bool
    ) -> Iterator[Span]:
        known = _context(parent)
        context = (
            trace.set_span_in_context(NonRecordingSpan(known))
            if known
            else trace.set_span_in_context(trace.INVALID_SPAN)
        )
        kind = SpanKind.SERVER if server else SpanKind.CLIENT if client else SpanKind.INTERNAL
        linked = [Link(found) for link in links if (found := _context(link))]
        inner = self._tracer.start_span(
            name, context=context, kind=kind, attributes=dict(attributes), links=linked, record_exception=False
        )
        try:
            yield _OtelSpan(inner)
        finally:
            inner.end()

    def record(
        self, name: str, traceparent: str, parent: str, start_ns: int, end_ns: int, attributes: Attributes, failed: str
    ) -> None:
        own = _context(traceparent)
        if own is None:
            return
        known = _context(parent)
        context = trace.set_span_in_context(NonRecordingSpan(known) if known else trace.INVALID_SPAN)
        self._ids.next_span_id = own.span_id
        self._ids.next_trace_id = None if known else own.trace_id
        inner = self._plugin_tracer.start_span(
            name, context=context, kind=SpanKind.CLIENT, attributes=dict(attributes), start_time=start_ns
        )
        if failed:
            inner.set_attribute("vpccni.reason", failed)
            inner.set_status(Status(StatusCode.ERROR, failed))
        inner.end(end_time=end_ns)
