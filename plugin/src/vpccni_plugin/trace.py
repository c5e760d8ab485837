"""W3C trace context: taken from the runtime, or derived from the sandbox."""

from __future__ import annotations

import posix

_HEX = "0123456789abcdef"


def traceparent(inherited: str, container_id: str) -> str:
    """The ``traceparent`` to send: the runtime's own when it is valid, else a new one.

    A new one takes its trace id from the container id, so that ADD, its retries, CHECK and DEL of one sandbox are one
    trace; without a container id (GC, STATUS) it is random.
    """
    if _is_valid(inherited):
        return inherited
    trace_id = container_id[:32].lower()
    if len(trace_id) < 32 or not _is_hex(trace_id):
        trace_id = _fold(container_id) if container_id else posix.urandom(16).hex()
    return f"00-{trace_id}-{posix.urandom(8).hex()}-01"


def trace_id_of(parent: str) -> str:
    return parent[3:35]


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
    """32 hex digits that depend on every byte (FNV-1a, 128 bits); short and odd container ids come from tests and tools."""
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in text.encode():
        value = (value ^ byte) * 0x0000000001000000000000000000013B & (1 << 128) - 1
    return f"{value:032x}"
