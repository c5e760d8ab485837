"""The way to the collector: whether it takes spans (while it does not, none are made: an absent collector must cost a call
nothing), and exports that leave the interpreter to the calls.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final, cast
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from vpccni_kit.otel_span import RecordedSpan, to_sdk

# Seconds between looks at a collector that is away, doubled up to the second.
_FIRST_LOOK_S: Final = 1.0
_LAST_LOOK_S: Final = 60.0
_CONNECT_S: Final = 1.0
# Spans sent at once, and the pause after them. To encode one takes some 60 us in which no other thread runs Python: a whole batch
# (512) would hold up every call that meets it by 30 ms, this many by 2 ms. Fewer would cost more calls of the collector.
_SLICE: Final = 32
_PAUSE_S: Final = 0.005


class Collector:
    """``up``: spans are worth making. ``reachable``: one blocking look; called from a thread of its own."""

    def __init__(self, reachable: Callable[[], bool]) -> None:
        self._reachable = reachable
        self.up = True
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pause_s = _FIRST_LOOK_S

    def took(self) -> None:
        """It took a batch."""
        self._pause_s = _FIRST_LOOK_S

    def refused(self) -> None:
        """It did not; spans are made again as soon as it can be reached."""
        with self._lock:
            if not self.up or self._closed.is_set():
                return
            self.up = False
        threading.Thread(target=self._look, name="otel-collector", daemon=True).start()

    def check(self) -> None:
        """Looks once, in the background."""
        threading.Thread(target=self._first, name="otel-collector", daemon=True).start()

    def _first(self) -> None:
        if not self._reachable():
            self.refused()

    def _look(self) -> None:
        while not self._closed.wait(self._pause_s):
            # Doubled before it is known to help: one that accepts connections but no spans is asked ever less often.
            self._pause_s = min(self._pause_s * 2, _LAST_LOOK_S)
            if self._reachable():
                self.up = True
                return

    def close(self) -> None:
        self._closed.set()


class WatchedExporter(SpanExporter):
    """Exports ``RecordedSpan``s, in slices, through ``inner``; tells ``collector`` how exports end."""

    def __init__(self, inner: SpanExporter, collector: Collector) -> None:
        self._inner = inner
        self._collector = collector
        self._limits = SpanLimits()
        self._hurry = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """A slice that the collector refuses is lost with the rest of the batch."""
        for start in range(0, len(spans), _SLICE):
            if not self._collector.up:
                return SpanExportResult.FAILURE
            some = [to_sdk(cast(RecordedSpan, span), self._limits) for span in spans[start : start + _SLICE]]
            if self._inner.export(some) is not SpanExportResult.SUCCESS:
                self._collector.refused()
                return SpanExportResult.FAILURE
            self._collector.took()
            self._hurry.wait(_PAUSE_S)
        return SpanExportResult.SUCCESS

    def hurry(self) -> None:
        """The process ends: no more pauses."""
        self._hurry.set()

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


def reachable(endpoint: str) -> bool:
    """True when ``endpoint`` (http://host:port, host:port, unix:path) accepts a connection within a second."""
    if endpoint.startswith("unix:"):
        return _connects(socket.AF_UNIX, endpoint.removeprefix("unix:").replace("//", "", 1))
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        with socket.create_connection((parts.hostname or "localhost", parts.port or 4317), timeout=_CONNECT_S):
            return True
    except (OSError, ValueError):
        return False


def _connects(family: int, address: str) -> bool:
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as made:
        made.settimeout(_CONNECT_S)
        try:
            made.connect(address)
        except OSError:
            return False
        return True
