"""One trace as a picture: a bar per span on one time axis, coloured by service."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from vpccni_lab.trace.spans import Event, Span, walk

_ROW: Final = 26
_TOP: Final = 92
_NAMES: Final = 430
_WIDTH: Final = 1400
_RIGHT: Final = 110
_COLOURS: Final = {
    "aws-cni": "#6a4c93",
    "ipam": "#1976a3",
    "netconf": "#2a9d62",
    "eni-manager": "#d9822b",
}
_OTHER: Final = "#777777"
_TEXT: Final = "#1b1f24"
_FAINT: Final = "#e3e7eb"
_ERROR: Final = "#c62828"


_MARK: Final = 5
_EVENTS: Final = {"throttled": "#c62828", "paced": "#111111", "subnet": "#f0b429"}
_OTHER_EVENT: Final = "#9c27b0"
_LINK: Final = "#444c56"
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """One span; ``y``: top edge. ``x``: from nanoseconds since the trace's begin to a place on the time axis."""

    span: Span
    depth: int
    y: int
    begin: int
    length: int

    def x(self, at_ns: int) -> int:
        return _x(min(max(at_ns - self.begin, 0), self.length), self.length)


def draw(spans: Sequence[Span], path: Path, title: str) -> None:
    """Writes a PNG. Raises ValueError without spans, OSError when it cannot be written."""
    if not spans:
        raise ValueError("a trace without spans cannot be drawn")
    begin = min(span.start_ns for span in spans)
    length = max(max(span.end_ns for span in spans) - begin, 1)
    walked = enumerate(walk(spans))
    rows = [_Row(span, depth, _TOP + number * _ROW, begin, length) for number, (depth, span) in walked]
    image = Image.new("RGB", (_WIDTH, _TOP + _ROW * len(rows) + 40), "white")
    canvas = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(13), ImageFont.load_default(18)
    canvas.text((16, 12), title, _TEXT, large)
    _legend(canvas, small, spans)
    _axis(canvas, small, length, len(rows))
    for row in rows:
        _bar(canvas, small, row)
    by_id = {f"{row.span.trace_id}-{row.span.span_id}": row for row in rows}
    for row in rows:
        for link in row.span.links:
            if link in by_id:
                _arrow(canvas, row, by_id[link])
        for event in row.span.events:
            _mark(canvas, row, event)
    image.save(path, optimize=True)


def _x(offset_ns: int, length: int) -> int:
    return _NAMES + round((_WIDTH - _RIGHT - _NAMES) * offset_ns / length)


def _legend(canvas: ImageDraw.ImageDraw, font: _Font, spans: Sequence[Span]) -> None:
    services = {span.service for span in spans}
    events = {event.name for span in spans for event in span.events}
    x = 16
    for service in [*(name for name in _COLOURS if name in services), *sorted(services - set(_COLOURS))]:
        canvas.rectangle((x, 48, x + 14, 62), _COLOURS.get(service, _OTHER))
        canvas.text((x + 20, 46), service, _TEXT, font)
        x += 40 + round(canvas.textlength(service, font))
    for name in [*(name for name in _EVENTS if name in events), *sorted(events - set(_EVENTS))]:
        _diamond(canvas, x + 7, 55, _EVENTS.get(name, _OTHER_EVENT))
        canvas.text((x + 20, 46), name, _TEXT, font)
        x += 40 + round(canvas.textlength(name, font))


def _axis(canvas: ImageDraw.ImageDraw, font: _Font, length: int, rows: int) -> None:
    for tick in range(6):
        x = _x(length * tick // 5, length)
        canvas.line((x, _TOP - 8, x, _TOP + rows * _ROW), _FAINT)
        canvas.text((x - 14, _TOP - 26), f"{length * tick / 5 / 1e6:.0f} ms", _TEXT, font)


def _bar(canvas: ImageDraw.ImageDraw, font: _Font, row: _Row) -> None:
    span, y = row.span, row.y
    left, right = row.x(span.start_ns), row.x(span.end_ns)
    right = max(right, left + 2)
    canvas.text((16 + 18 * row.depth, y + 4), f"{span.name}{_elsewhere(span)}", _TEXT, font)
    canvas.rectangle((left, y + 5, right, y + _ROW - 6), _COLOURS.get(span.service, _OTHER))
    if span.error:
        canvas.rectangle((left, y + 5, right, y + _ROW - 6), outline=_ERROR, width=2)
    said = " ".join((f"{span.milliseconds:.1f} ms", *_said(span)))
    place = (
        right + 6 if right + 6 + canvas.textlength(said, font) <= _WIDTH else left - 6 - canvas.textlength(said, font)
    )
    canvas.text((place, y + 4), said, _ERROR if span.error else _TEXT, font)


def _elsewhere(span: Span) -> str:
    """Links to other traces; those within this one are arrows."""
    others = sum(not link.startswith(span.trace_id) for link in span.links)
    return f" (+ {others} linked trace{'s' if others > 1 else ''})" if others else ""


def _said(span: Span) -> Iterator[str]:
    """The reason of a failure, and events by name."""
    if span.error:
        yield f"! {span.attributes.get('vpccni.reason', 'error')}"
    counts = collections.Counter(event.name for event in span.events)
    if counts:
        yield "(" + ", ".join(f"{count} {name}" for name, count in counts.items()) + ")"


def _mark(canvas: ImageDraw.ImageDraw, row: _Row, event: Event) -> None:
    _diamond(canvas, row.x(event.at_ns), row.y + _ROW // 2 - 1, _EVENTS.get(event.name, _OTHER_EVENT))


def _diamond(canvas: ImageDraw.ImageDraw, x: int, y: int, colour: str) -> None:
    canvas.polygon(((x - _MARK, y), (x, y - _MARK), (x + _MARK, y), (x, y + _MARK)), colour, "white")


def _arrow(canvas: ImageDraw.ImageDraw, source: _Row, target: _Row) -> None:
    """From a span to the one that it is linked to, along the left of both bars."""
    start, end = source.x(source.span.start_ns), target.x(target.span.start_ns)
    x = min(start, end) - 8
    top, bottom = source.y + _ROW // 2, target.y + _ROW // 2
    canvas.line(((start, top), (x, top), (x, bottom), (end - 2, bottom)), _LINK)
    canvas.polygon(((end - 7, bottom - 4), (end - 1, bottom), (end - 7, bottom + 4)), _LINK)
