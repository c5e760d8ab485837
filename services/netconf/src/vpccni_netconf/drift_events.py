"""Drift events: what strayed, and what became of it; to whoever watches."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Final

_BACKLOG: Final = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class DriftEvent:
    """``kind``: rule, route, link, address, neighbour, sysctl, chain or set. ``action``: repaired, failed or fight.
    ``object``: the command that mends it. ``unix_ns``: nanoseconds since 1970."""

    kind: str
    object: str
    action: str
    message: str
    unix_ns: int


Queue = asyncio.Queue[DriftEvent | None]


class DriftBoard:
    """Hands each event to every subscriber. One that does not read loses the oldest, never holds up the others."""

    def __init__(self) -> None:
        self._queues: set[Queue] = set()
        self._closed = False

    def subscribe(self) -> Queue:
        """None in the queue: the service is shutting down."""
        queue: Queue = asyncio.Queue()
        self._queues.add(queue)
        if self._closed:
            queue.put_nowait(None)
        return queue

    def unsubscribe(self, queue: Queue) -> None:
        self._queues.discard(queue)

    def publish(self, event: DriftEvent) -> None:
        for queue in self._queues:
            if queue.qsize() >= _BACKLOG:
                queue.get_nowait()
            queue.put_nowait(event)

    def close(self) -> None:
        self._closed = True
        for queue in self._queues:
            queue.put_nowait(None)
