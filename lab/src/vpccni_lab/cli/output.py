"""What the commands print: tables of at most 100 columns on stdout, progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final

WIDTH: Final = 100


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], width: int = WIDTH) -> str:
    """Columns as wide as their content; where that is more than ``width``, the widest are cut (with …)."""
    lines = [[str(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    return "\n".join(
        "  ".join(_cell(text, size) for text, size in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(text: str, size: int) -> str:
    return text.ljust(size) if len(text) <= size else text[: size - 1] + "…"


def milliseconds(seconds: float) -> str:
    """Of a duration in seconds."""
    return f"{seconds * 1000:.1f} ms"


class Progress:
    """Lines on stderr with the time since the command began."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._begin = time.monotonic()
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        if not self._quiet:
            print(f"[{time.monotonic() - self._begin:6.2f} s] {text}", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self._begin
