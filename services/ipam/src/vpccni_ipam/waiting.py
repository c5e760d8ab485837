"""ADDs that wait for an address, first come first served."""

from __future__ import annotations

import asyncio
import collections
import dataclasses

from vpccni_api.reasons import ReasonError

from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey, Wiring


@dataclasses.dataclass(eq=False, slots=True)
class Waiter:
    """``traceparent``: the ADD's span, which the growth that serves it links to."""

    key: PodKey
    pod: PodIdentity
    wiring: Wiring
    since: float
    traceparent: str
    future: asyncio.Future[Assignment]

    def fail(self, error: ReasonError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class WaitingAdds:
    """The queue. Waiters that are done (served, failed, given up) fall out of it."""

    def __init__(self) -> None:
        self._queue: collections.deque[Waiter] = collections.deque()

    def __len__(self) -> int:
        self._drop_done()
        return len(self._queue)

    def add(self, waiter: Waiter) -> None:
        self._queue.append(waiter)

    def first(self) -> Waiter | None:
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        return self._queue[0] if self._queue else None

    def fail_beyond(self, count: int, error: ReasonError) -> int:
        """Fails all but the first ``count``. Returns how many."""
        self._drop_done()
        failed = list(self._queue)[max(0, count) :]
        for waiter in failed:
            waiter.fail(ReasonError(error.reason, error.message, origin=error.origin))
        self._drop_done()
        return len(failed)

    def traceparents(self) -> list[str]:
        return [waiter.traceparent for waiter in self._queue if waiter.traceparent and not waiter.future.done()]

    def _drop_done(self) -> None:
        if any(waiter.future.done() for waiter in self._queue):
            self._queue = collections.deque(w for w in self._queue if not w.future.done())
