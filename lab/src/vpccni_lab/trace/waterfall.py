"""One trace as a picture: a bar per span on one time axis, coloured by service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from vpccni_lab.trace.spans import Span, walk

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


def draw(spans: Sequence[Span], path: Path, title: str) -> None:
    """Writes a PNG. Raises ValueError without spans, OSError when it cannot be written."""
    if not spans:
        raise ValueError("a trace without spans cannot be drawn")
    rows = list(walk(spans))
    begin = min(span.start_ns for span in spans)
    length = max(max(span.end_ns for span in spans) - begin, 1)
    image = Image.new("RGB", (_WIDTH, _TOP + _ROW * len(rows) + 40), "white")
    canvas = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(13), ImageFont.load_default(18)
    canvas.text((16, 12), title, _TEXT, large)
    _legend(canvas, small, {span.service for span in spans})
    _axis(canvas, small, length, len(rows))
    for number, (depth, span) in enumerate(rows):
        _bar(canvas, small, _TOP + number * _ROW, depth, span, begin, length)
    image.save(path, optimize=True)


def _x(offset_ns: int, length: int) -> int:
    return _NAMES + round((_WIDTH - _RIGHT - _NAMES) * offset_ns / length)


def _legend(
    canvas: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, services: set[str]
) -> None:
    x = 16
    for service in [*(name for name in _COLOURS if name in services), *sorted(services - set(_COLOURS))]:
        canvas.rectangle((x, 48, x + 14, 62), _COLOURS.get(service, _OTHER))
        canvas.text((x + 20, 46), service, _TEXT, font)
        x += 40 + round(canvas.textlength(service, font))


def _axis(
    canvas: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, length: int, rows: int
) -> None:
    for tick in range(6):
        x = _x(length * tick // 5, length)
        canvas.line((x, _TOP - 8, x, _TOP + rows * _ROW), _FAINT)
        canvas.text((x - 14, _TOP - 26), f"{length * tick / 5 / 1e6:.0f} ms", _TEXT, font)


def _bar(
    canvas: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    y: int,
    depth: int,
    span: Span,
    begin: int,
    length: int,
) -> None:
    left, right = _x(span.start_ns - begin, length), _x(span.end_ns - begin, length)
    right = max(right, left + 2)
    canvas.text((16 + 18 * depth, y + 4), f"{span.name}{' (linked)' if span.links else ''}", _TEXT, font)
    canvas.rectangle((left, y + 5, right, y + _ROW - 6), _COLOURS.get(span.service, _OTHER))
    if span.error:
        canvas.rectangle((left, y + 5, right, y + _ROW - 6), outline=_ERROR, width=2)
    said = (
        f"{span.milliseconds:.1f} ms{' ! ' + str(span.attributes.get('vpccni.reason', 'error')) if span.error else ''}"
    )
    canvas.text((right + 6, y + 4), said, _ERROR if span.error else _TEXT, font)
