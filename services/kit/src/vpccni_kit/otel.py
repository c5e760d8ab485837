"""The OpenTelemetry SDK behind telemetry.py. Imported only when export is on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from vpccni_kit.otel_collector import Collector, WatchedExporter, reachable
from vpccni_kit.otel_keep import KeepFailedAndSlow, RecordAll
from vpccni_kit.span import Attributes, AttributeValue, Span, parse_traceparent

_SHUTDOWN_S = 2.0


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
    def __init__(self, inner: trace.Span, keeper: KeepFailedAndSlow) -> None:
        self._inner = inner
        self._keeper = keeper

    @property
    def traceparent(self) -> str:
        context = self._inner.get_span_context()
        sampled = context.trace_flags.sampled or self._keeper.keeps(context.trace_id)
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(sampled):02x}"

    def set(self, key: str, value: AttributeValue) -> None:
        self._inner.set_attribute(key, value)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self._inner.add_event(name, dict(attributes or {}))

    def link(self, traceparent: str) -> None:
        context = _context(traceparent)
        if context is not None:
            self._inner.add_link(context)

    def keep(self) -> None:
        context = self._inner.get_span_context()
        if not context.trace_flags.sampled:
            self._keeper.keep(context.trace_id)

    def fail(self, reason: str, message: str) -> None:
        self._inner.set_attribute("vpccni.reason", reason)
        self._inner.set_attribute("error.type", reason)
        self._inner.set_status(Status(StatusCode.ERROR, message))


def _context(traceparent: str) -> SpanContext | None:
    parsed = parse_traceparent(traceparent)
    if parsed is None:
        return None
    trace_id, span_id, sampled = parsed
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1 if sampled else 0))


class OtelBackend:
    """Two tracer providers (this service; the plugin, on whose behalf ipam records) before one batching OTLP exporter."""

    def __init__(self, service: str, attributes: Attributes, endpoint: str, slow_s: float) -> None:
        self._ids = _Ids()
        self._collector = Collector(lambda: reachable(endpoint))
        batch = BatchSpanProcessor(WatchedExporter(OTLPSpanExporter(), self._collector))
        self._keeper = KeepFailedAndSlow(batch, int(slow_s * 1e9))
        resource = Resource.create({**attributes, "service.name": service, "service.namespace": "vpccni"})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._sampler = RecordAll(
            self._provider.sampler
        )  # the standard variables' one: OTEL_TRACES_SAMPLER and its _ARG
        plugin = Resource.create({**attributes, "service.name": "aws-cni", "service.namespace": "vpccni"})
        self._plugin_provider = TracerProvider(resource=plugin, id_generator=self._ids, shutdown_on_exit=False)
        for provider in (self._provider, self._plugin_provider):
            provider.sampler = self._sampler
            provider.add_span_processor(self._keeper)
        self._tracer = self._provider.get_tracer("vpccni")
        self._plugin_tracer = self._plugin_provider.get_tracer("vpccni")
        self._collector.check()

    @property
    def exporting(self) -> bool:
        """False while the collector is away: then spans are not worth making."""
        return self._collector.up

    def begin(self, traceparent: str) -> str:
        """The traceparent with the flag of our sampler's decision: for a trace of whose root nobody has decided yet."""
        parsed = parse_traceparent(traceparent)
        if parsed is None:
            return traceparent
        return f"00-{parsed[0]}-{parsed[1]}-{int(self._sampler.samples(int(parsed[0], 16), '')):02x}"

    def shutdown(self) -> None:
        """Exports what is queued, for at most two seconds."""
        self._collector.close()
        flush = threading.Thread(target=self._keeper.shutdown, name="otel-shutdown", daemon=True)
        flush.start()
        flush.join(_SHUTDOWN_S if self._collector.up else 0.0)

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
            yield _OtelSpan(inner, self._keeper)
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
