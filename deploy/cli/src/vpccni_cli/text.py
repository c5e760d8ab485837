"""One screen of text: 100 columns."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from vpccni_api.reasons import REASON_INFO, Reason, ReasonError

WIDTH: Final = 100
_LABEL: Final = 12


def cut(text: str, width: int) -> str:
    """``text`` on one line of at most ``width`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def field(label: str, text: str) -> list[str]:
    """A labelled paragraph, wrapped."""
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    ) or [label]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their content; the last one is cut at the screen's edge."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return [cut_right("  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip()) for line in lines]


def cut_right(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def since(unix: float) -> str:
    """How long ago, in the largest fitting unit."""
    if not unix:
        return "-"
    seconds = max(0, int(time.time() - unix))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def cure(reason: str) -> str:
    return REASON_INFO[Reason(reason)].hint if reason in Reason.__members__ else ""


def problem(error: ReasonError) -> list[str]:
    """A failure and what to do about it."""
    return [*field("failed", str(error)), *field("cure", error.info.hint)]


def emit(args: Any, value: object, lines: Sequence[str]) -> None:
    """JSON of ``value`` or the lines, as ``--output`` says."""
    text = json.dumps(value, indent=1) if args.output == "json" else "\n".join(lines)
    sys.stdout.write(text + "\n")


def emit_error(args: Any, error: ReasonError) -> int:
    """The answer when ipam cannot be asked; exit status 1."""
    emit(args, {"error": as_json(error)}, problem(error))
    return 1


def as_json(error: ReasonError) -> dict[str, str]:
    return {"reason": str(error.reason), "message": error.message, "cure": error.info.hint}
