"""The day as a picture: addresses held, EC2 calls and refusals over the hours, a line per setting. Drawn with Pillow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from vpccni_lab.fleet.report import PHASES, Report

_WIDTH: Final = 1200
_PANEL: Final = 240
_LEFT, _RIGHT, _TOP, _GAP = 90, 30, 60, 50
# Colours that stay apart for the colour-blind (Okabe and Ito, "Color Universal Design").
_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
_Point = tuple[float, float]
_Row = tuple[float, int, int, float, float]
_PANELS: Final[tuple[tuple[str, Callable[[_Row], float]], ...]] = (
    ("addresses held (dashed: pods)", lambda row: float(row[2])),
    ("EC2 calls per minute", lambda row: row[3]),
    ("refused by throttling, per minute", lambda row: row[4]),
)


def draw(reports: Sequence[Report], path: Path) -> None:
    """Writes a PNG."""
    height = _TOP + len(_PANELS) * (_PANEL + _GAP)
    image = Image.new("RGB", (_WIDTH, height), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    _legend(pen, font, reports)
    for number, (title, value) in enumerate(_PANELS):
        top = _TOP + number * (_PANEL + _GAP)
        lines = [[(row[0], value(row)) for row in report.series] for report in reports]
        if number == 0 and reports:
            lines.append([(row[0], float(row[1])) for row in reports[0].series])
        _panel(pen, font, top, title, lines, dashed_last=number == 0)
    image.save(path)


def _legend(
    pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, reports: Sequence[Report]
) -> None:
    x = float(_LEFT)
    for number, report in enumerate(reports):
        pen.line([(x, 20), (x + 24, 20)], fill=_COLOURS[number % len(_COLOURS)], width=3)
        pen.text((x + 30, 12), report.name, fill="black", font=font)
        x += 48 + pen.textlength(report.name, font=font)


def _panel(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    top: int,
    title: str,
    lines: Sequence[Sequence[_Point]],
    *,
    dashed_last: bool,
) -> None:
    bottom, right = top + _PANEL, _WIDTH - _RIGHT
    most = _round_up(max((y for line in lines for _, y in line), default=1.0))

    def x_of(hour: float) -> float:
        return _LEFT + (right - _LEFT) * hour / 24.0

    def y_of(value: float) -> float:
        return bottom - _PANEL * value / most

    for name, begin, end in PHASES:
        box = (x_of(begin / 3600), top, x_of(end / 3600), bottom)
        pen.rectangle(box, fill="#F4F1E6" if name == "throttled" else "#F3F6FA")
        pen.text((box[0] + 3, top + 2), name, fill="#777777", font=font)
    for tick in range(5):
        value = most * tick / 4
        pen.line([(_LEFT, y_of(value)), (right, y_of(value))], fill="#DDDDDD")
        pen.text((_LEFT - 8, y_of(value)), f"{value:,.0f}", fill="black", font=font, anchor="rm")
    for hour in range(0, 25, 2):
        pen.text((x_of(hour), bottom + 4), f"{hour:02d}:00", fill="black", font=font, anchor="ma")
    pen.text((_LEFT, top - 18), title, fill="black", font=font)
    for number, line in enumerate(lines):
        points = [(x_of(x), y_of(y)) for x, y in line]
        if dashed_last and number == len(lines) - 1:
            for start, stop in zip(points[::2], points[1::2], strict=False):
                pen.line([start, stop], fill="#555555", width=2)
        else:
            pen.line(points, fill=_COLOURS[number % len(_COLOURS)], width=2)


def _round_up(value: float) -> float:
    """To a number that four steps divide well."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    return next(step * power for step in (1, 2, 2.5, 3, 5, 10) if step * power >= value)
