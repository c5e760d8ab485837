"""The OpenTelemetry SDK behind telemetry.py. Imported only when export is on.

The SDK is not used on the path of a call: its spans cost some 40 us each. What is used of it: the sampler, the queue and the OTLP
exporter, so that the standard variables mean what they mean everywhere.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from typing import cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanKind

from vpccni_kit.otel_collector import Collector, WatchedExporter, reachable
from vpccni_kit.otel_keep import KeepFailedAndSlow
from vpccni_kit.otel_span import RecordedSpan, remote_context
from vpccni_kit.span import Attributes, Span, parse_traceparent

_SHUTDOWN_S = 2.0


class OtelBackend:
    """Spans of this service, and of the plugin, on whose behalf ipam records, before one batching OTLP exporter.

    ``endpoint``: the collector's. ``slow_s``: seconds from which a span is exported whatever the sampler says.
    """

    def __init__(self, service: str, attributes: Attributes, endpoint: str, slow_s: float) -> None:
        self._collector = Collector(lambda: reachable(endpoint))
        self._exporter = WatchedExporter(OTLPSpanExporter(), self._collector)
        self._queue = BatchSpanProcessor(self._exporter)
        self._keeper = KeepFailedAndSlow(lambda span: self._queue.on_end(cast(ReadableSpan, span)), int(slow_s * 1e9))
        common = {**attributes, "service.namespace": "vpccni"}
        self._resource = Resource.create({**common, "service.name": service})
        self._plugin_resource = Resource.create({**common, "service.name": "aws-cni"})
        # OTEL_TRACES_SAMPLER and its _ARG: a provider is who reads them.
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._collector.check()

    @property
    def exporting(self) -> bool:
        """False while the collector is away: then spans are not worth making."""
        return self._collector.up

    def start(
        self,
        name: str,
        parent: Span | str | None,
        attributes: Attributes | None = None,
        links: Sequence[str] = (),
        *,
        server: bool = False,
        client: bool = False,
        undecided: bool = False,
    ) -> RecordedSpan:
        """``parent``: a span, a traceparent or nothing. Every span of a trace has the decision of the first in this process.

        ``undecided``: the parent's "sampled" says nothing.
        """
        if isinstance(parent, RecordedSpan):
            trace_id, parent_id, local, sampled = parent.trace_id, parent.span_id, True, parent.sampled
        else:
            remote = parent if isinstance(parent, str) else parent.traceparent if parent else ""
            known = parse_traceparent(remote)
            trace_id, parent_id = known[:2] if known else (secrets.token_hex(16), "")
            local, sampled = False, self._samples(trace_id, name, "" if undecided or not known else remote)
        return RecordedSpan(
            name,
            trace_id,
            parent_id,
            self._keeper,
            self._resource,
            local=local,
            sampled=sampled,
            kind=SpanKind.SERVER if server else SpanKind.CLIENT if client else SpanKind.INTERNAL,
            attributes=attributes,
            links=links,
        )

    def _samples(self, trace_id: str, name: str, parent: str) -> bool:
        known = remote_context(parent)
        context = trace.set_span_in_context(NonRecordingSpan(known), Context()) if known else Context()
        return self._sampler.should_sample(context, int(trace_id, 16), name).decision is Decision.RECORD_AND_SAMPLE

    def record(
        self,
        name: str,
        traceparent: str,
        parent: str,
        start_ns: int,
        end_ns: int,
        attributes: Attributes,
        failed: str,
        within: Span | None,
    ) -> None:
        """A finished span of the plugin, whose identity is ``traceparent``; not exported when that is malformed.

        ``within``: the span of this process under which it is told.
        """
        own = parse_traceparent(traceparent)
        if own is None:
            return
        part = isinstance(within, RecordedSpan) and within.trace_id == own[0]
        above = parse_traceparent(parent)
        span = RecordedSpan(
            name,
            own[0],
            above[1] if above else "",
            self._keeper,
            self._plugin_resource,
            local=False,
            sampled=within.sampled
            if isinstance(within, RecordedSpan) and part
            else self._samples(own[0], name, parent),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=(),
        )
        span.span_id, span.start_ns, span.end_ns = own[1], start_ns, end_ns
        span.local = part  # its end does not end this process's part of the trace
        if failed:
            span.fail(failed, failed)
        span.end()

    def shutdown(self) -> None:
        """Exports what is queued, for at most two seconds."""
        self._collector.close()
        self._exporter.hurry()
        flush = threading.Thread(target=self._queue.shutdown, name="otel-shutdown", daemon=True)
        flush.start()
        flush.join(_SHUTDOWN_S if self._collector.up else 0.0)
