"""Virtual time: things to do at a time, and processes (generators that yield the seconds they sleep)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Process = Generator[float, None, T]
"""Yields seconds to sleep, 0 or more; returns its result (``yield from`` makes one process part of another)."""


class Simulation:
    """``now``: seconds since the beginning. Equal times run in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    def at(self, when: float, action: Callable[[], None]) -> None:
        """``when`` before now means now."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._count, action))

    def start(self, process: Process[None], delay: float = 0.0) -> None:
        """Runs a process; one that was closed meanwhile ends quietly."""
        self.at(self.now + delay, lambda: self._step(process))

    def _step(self, process: Process[None]) -> None:
        try:
            pause = next(process)
        except StopIteration:
            return
        self.at(self.now + pause, lambda: self._step(process))

    def run(self, until: float) -> None:
        """Does everything that is due by ``until``, which is the time afterwards."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, action = heapq.heappop(heap)
            action()
        self.now = until
