"""What a span is to those who make one, and its identity on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

AttributeValue = str | bool | int | float
Attributes = Mapping[str, AttributeValue]


class Span(Protocol):
    """An operation under way."""

    @property
    def traceparent(self) -> str: ...
    def set(self, key: str, value: AttributeValue) -> None: ...
    def event(self, name: str, attributes: Attributes | None = None) -> None: ...
    def link(self, traceparent: str) -> None: ...
    def keep(self) -> None: ...
    def fail(self, reason: str, message: str) -> None: ...
    def end(self) -> None: ...


def parse_traceparent(value: str) -> tuple[str, str, bool] | None:
    """(trace id, span id, sampled) of a W3C traceparent, or None when it is malformed (W3C Trace Context, 3.2.2)."""
    parts = value.split("-")
    if len(parts) < 4 or [len(p) for p in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    try:
        if not int(parts[1], 16) or not int(parts[2], 16):
            return None
        return parts[1], parts[2], bool(int(parts[3], 16) & 1)
    except ValueError:
        return None
