"""Spans: a small facade, so that nothing but this file knows OpenTelemetry, and so that it costs nothing when it is off.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set (OTEL_SDK_DISABLED wins): then the SDK
is not even imported (it costs some 15 MB per process). Trace context travels as W3C ``traceparent`` either way, so that
logs carry trace ids. OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG choose traces; those that failed, waited for an address or
took VPCCNI_TRACE_SLOW seconds (default 1) are exported in any case. While the collector is away no spans are made.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vpccni_api.reasons import Reason

from vpccni_kit.span import Attributes, AttributeValue, parse_traceparent
from vpccni_kit.span import Span as Span

if TYPE_CHECKING:
    from vpccni_kit.otel import OtelBackend


class _LightSpan:
    """Carries identity only: what is used while export is off."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def set(self, key: str, value: AttributeValue) -> None:
        """Dropped."""

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Dropped."""

    def link(self, traceparent: str) -> None:
        """Dropped."""

    def keep(self) -> None:
        """Dropped."""

    def fail(self, reason: str, message: str) -> None:
        """Dropped."""

    def end(self) -> None:
        """Nothing to export."""


SLOW_S: Final = 1.0
"""Seconds from which a span counts as slow."""

_current: contextvars.ContextVar[Span | None] = contextvars.ContextVar("vpccni_span", default=None)
_backend: OtelBackend | None = None


def setup(service: str, attributes: Attributes, environ: Mapping[str, str] = os.environ) -> bool:
    """Starts exporting if the standard variables ask for it; True if it did."""
    global _backend
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not endpoint:
        return False
    from vpccni_kit.otel import OtelBackend

    _backend = OtelBackend(service, attributes, endpoint, _slow_s(environ.get("VPCCNI_TRACE_SLOW", "")))
    return True


def _slow_s(text: str) -> float:
    """Seconds; what is not a number above zero is the default."""
    try:
        given = float(text)
    except ValueError:
        return SLOW_S
    return given if given > 0 else SLOW_S


def shutdown() -> None:
    """Flushes what is queued, for at most two seconds."""
    if _backend is not None:
        _backend.shutdown()


def exporting() -> bool:
    """True while spans go somewhere."""
    return _backend is not None and _backend.exporting


def current() -> Span | None:
    return _current.get()


def current_traceparent() -> str:
    span = _current.get()
    return span.traceparent if span else ""


def current_trace_id() -> str:
    return current_traceparent()[3:35]


@contextlib.contextmanager
def span(
    name: str,
    *,
    parent: str = "",
    attributes: Attributes | None = None,
    links: Sequence[str] = (),
    server: bool = False,
    client: bool = False,
    undecided: bool = False,
) -> Iterator[Span]:
    """Opens a span below ``parent`` (a traceparent) or the current span. An exception marks it failed and passes on.

    ``undecided``: nobody has sampled the parent's trace yet; our sampler does.
    """
    made: Span = (
        _backend.start(
            name, parent or _current.get(), attributes, links, server=server, client=client, undecided=undecided
        )
        if _backend is not None and _backend.exporting
        else _light(parent or current_traceparent())
    )
    token = _current.set(made)
    try:
        yield made
    except asyncio.CancelledError:
        made.fail(str(Reason.DEADLINE_EXCEEDED), "the caller gave up")
        raise
    except BaseException as error:
        reason: Any = getattr(error, "reason", type(error).__name__)
        made.fail(str(reason), str(error))
        raise
    finally:
        _current.reset(token)
        made.end()


def _light(parent: str) -> _LightSpan:
    known = parse_traceparent(parent)
    trace_id = known[0] if known else secrets.token_hex(16)
    return _LightSpan(f"00-{trace_id}-{secrets.token_hex(8)}-01")


def record(
    name: str, traceparent: str, *, parent: str, start_ns: int, end_ns: int, attributes: Attributes, failed: str = ""
) -> None:
    """Exports a finished span on behalf of a process that cannot (the plugin): its identity is ``traceparent``."""
    if _backend is not None and _backend.exporting:
        _backend.record(name, traceparent, parent, start_ns, end_ns, attributes, failed, _current.get())
