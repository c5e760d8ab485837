"""Delays of the model, and the heap of what is due. No wall clock: time is whatever the caller's clock says."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Timings:
    """All in seconds, 0 or more.

    ``attach``: attaching -> attached (the link appears in the instance). ``detach``: detaching -> gone.
    ``assign``: from an address call's answer until the fabric routes the change. ``terminate``: shutting-down -> terminated.
    ``describe_lag``: age of what describe calls show of ENIs. ``imds_lag``: age of what IMDS shows.
    ``reference_lag``: how long after its creation calls that name a new ENI may still get NotFound.
    """

    attach: float = 0.0
    detach: float = 0.0
    assign: float = 0.0
    terminate: float = 0.0
    describe_lag: float = 0.0
    imds_lag: float = 0.0
    reference_lag: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"{field.name} = {getattr(self, field.name)!r}: seconds, 0 or more")


class Timeline:
    """Things to do at a time, done in order of time, then in order of scheduling."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, due: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, action))

    def next_due(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Do all that is due, including what those actions schedule for ``now`` or earlier."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
