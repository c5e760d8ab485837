"""W3C trace context: taken from the runtime, or derived from the sandbox."""

from __future__ import annotations

import posix

_HEX = "0123456789abcdef"


class Trace:
    """Identity of the span ``cni.add`` (and its like), which ipam exports for this process.

    ``traceparent``: this span. ``parent``: the runtime's span, as a traceparent; empty when there is none.
    """

    __slots__ = ("parent", "traceparent")

    def __init__(self, inherited: str, container_id: str) -> None:
        """``inherited``: TRACEPARENT of the environment; ignored unless it is valid.

        Without it the trace id is taken from the container id, so that ADD, its retries, CHECK and DEL of one sandbox are
        one trace; without a container id (GC, STATUS) it is random.
        """
        self.parent = inherited if _is_valid(inherited) else ""
        span_id = posix.urandom(8).hex()
        if self.parent:
            self.traceparent = f"{inherited[:36]}{span_id}{inherited[52:]}"
        else:
            self.traceparent = f"00-{_trace_id(container_id)}-{span_id}-01"

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


def _trace_id(container_id: str) -> str:
    if not container_id:
        return posix.urandom(16).hex()
    trace_id = container_id[:32].lower()
    return trace_id if len(trace_id) == 32 and _is_hex(trace_id) else _fold(container_id)


def _is_valid(parent: str) -> bool:
    """Version 00 of the specification: 00-<32 hex>-<16 hex>-<2 hex>, ids not all zero."""
    parts = parent.split("-")
    return (
        [len(part) for part in parts] == [2, 32, 16, 2]
        and parts[0] == "00"
        and all(_is_hex(part) for part in parts[1:3])
        and all(char in _HEX for char in parts[3])
    )


def _is_hex(text: str) -> bool:
    return all(char in _HEX for char in text) and text.strip("0") != ""


def _fold(text: str) -> str:
    """32 hex digits that depend on every byte (FNV-1a of 128 bits), for a container id that is not 32 hex digits or more."""
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in text.encode():
        value = (value ^ byte) * 0x0000000001000000000000000000013B & (1 << 128) - 1
    return f"{value:032x}"
