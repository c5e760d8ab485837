"""Which spans are exported: what the standard sampler chose, and every trace that failed or was slow.

The sampler decides by trace id when a trace begins, so that all services decide alike. The spans of a trace that it did not
choose are held until the process's part of that trace has ended; if one of them failed, or was slow, they are exported
after all. From that moment on calls of that trace say "sampled", so that the peers keep theirs.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import Attributes

_TRACES: Final = 512
_SPANS_EACH: Final = 128


class RecordAll(Sampler):
    """``chosen`` decides; what it drops is recorded all the same, to be judged at its end."""

    def __init__(self, chosen: Sampler) -> None:
        self._chosen = chosen

    def samples(self, trace_id: int, name: str) -> bool:
        """The decision for a trace that begins here."""
        return self._chosen.should_sample(Context(), trace_id, name).decision is Decision.RECORD_AND_SAMPLE

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self._chosen.should_sample(parent_context, trace_id, name, kind, attributes, links)
        if result.decision is Decision.RECORD_AND_SAMPLE:
            return result
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        return f"RecordAll{{{self._chosen.get_description()}}}"


class KeepFailedAndSlow(SpanProcessor):
    """Before the exporting processor. ``slow_ns``: a span of this length or longer is slow. Safe from any thread.

    Memory is bounded: 512 traces of 128 spans are held; the oldest are forgotten.
    """

    def __init__(self, then: SpanProcessor, slow_ns: int) -> None:
        self._then = then
        self._slow_ns = slow_ns
        self._lock = threading.Lock()
        self._held: collections.OrderedDict[int, list[ReadableSpan]] = collections.OrderedDict()
        self._kept: collections.OrderedDict[int, None] = collections.OrderedDict()

    def keeps(self, trace_id: int) -> bool:
        """True when the trace is exported although the sampler did not choose it."""
        return trace_id in self._kept

    def keep(self, trace_id: int) -> None:
        """From now on, with what is held of it."""
        with self._lock:
            self._kept[trace_id] = None
            if len(self._kept) > _TRACES:
                self._kept.popitem(last=False)
            held = self._held.pop(trace_id, ())
        for span in held:
            self._then.on_end(_as_sampled(span))

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do before the end."""

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None or context.trace_flags.sampled:
            self._then.on_end(span)
            return
        trace_id = context.trace_id
        if self._is_bad(span):
            self.keep(trace_id)
        if trace_id in self._kept:
            self._then.on_end(_as_sampled(span))
            return
        with self._lock:
            if span.parent is None or span.parent.is_remote:
                self._held.pop(trace_id, None)  # this process's part is over, and it was fine
                return
            held = self._held.setdefault(trace_id, [])
            if len(held) < _SPANS_EACH:
                held.append(span)
            if len(self._held) > _TRACES:
                self._held.popitem(last=False)

    def _is_bad(self, span: ReadableSpan) -> bool:
        if span.status.status_code is StatusCode.ERROR:
            return True
        return (span.end_time or 0) - (span.start_time or 0) >= self._slow_ns

    def shutdown(self) -> None:
        self._then.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._then.force_flush(timeout_millis)


def _as_sampled(span: ReadableSpan) -> ReadableSpan:
    own = span.get_span_context()
    assert own is not None
    return ReadableSpan(
        name=span.name,
        context=SpanContext(own.trace_id, own.span_id, own.is_remote, TraceFlags(TraceFlags.SAMPLED), own.trace_state),
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
