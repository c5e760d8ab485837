"""Which spans are exported: those of the traces that the standard sampler chose, and every trace that failed or was slow.

The sampler decides by trace id when a trace begins, so that all services decide alike. The spans of a trace that it did not
choose are held until the process's part of that trace has ended; if one of them failed, or was slow, they are exported
after all. From that moment on calls of that trace say "sampled", so that the peers keep theirs.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Final

from vpccni_kit.otel_span import RecordedSpan

_TRACES: Final = 512
_SPANS_EACH: Final = 128


class KeepFailedAndSlow:
    """Before the queue. ``export`` puts a span there. ``slow_ns``: a span of this length or longer is slow.

    Safe from any thread. Memory is bounded: 512 traces of 128 spans are held; the oldest are forgotten.
    """

    def __init__(self, export: Callable[[RecordedSpan], None], slow_ns: int) -> None:
        self._export = export
        self._slow_ns = slow_ns
        self._lock = threading.Lock()
        self._held: collections.OrderedDict[str, list[RecordedSpan]] = collections.OrderedDict()
        self._kept: collections.OrderedDict[str, None] = collections.OrderedDict()

    def keeps(self, trace_id: str) -> bool:
        """True when the trace is exported although the sampler did not choose it."""
        return trace_id in self._kept

    def keep(self, trace_id: str) -> None:
        """From now on, with what is held of it."""
        with self._lock:
            self._kept[trace_id] = None
            if len(self._kept) > _TRACES:
                self._kept.popitem(last=False)
            held = self._held.pop(trace_id, ())
        for span in held:
            self._export(span)

    def ended(self, span: RecordedSpan) -> None:
        """Exports, holds or forgets it."""
        if span.sampled:
            self._export(span)
            return
        trace_id = span.trace_id
        if span.failed or span.end_ns - span.start_ns >= self._slow_ns:
            self.keep(trace_id)
        if trace_id in self._kept:
            self._export(span)
            return
        with self._lock:
            if not span.local:
                self._held.pop(trace_id, None)  # this process's part is over, and it was fine
                return
            held = self._held.setdefault(trace_id, [])
            if len(held) < _SPANS_EACH:
                held.append(span)
            if len(self._held) > _TRACES:
                self._held.popitem(last=False)
