"""The clock as a port, so that decisions take time as a plain number and tests move it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds. ``now`` is wall time (Unix), ``monotonic`` only ever grows; never compare one with the other."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
