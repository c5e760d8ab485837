"""One thread, one job at a time, in order; the event loop awaits them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Jobs of the kernel thread see desired state and kernel change under nobody else's hands. A job that has begun is
    always finished, even when its caller has gone; one that is still queued when its caller goes is dropped."""

    def __init__(self, name: str) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # The trace context goes along, so that spans of the job are children of the call's.
        call = functools.partial(contextvars.copy_context().run, job, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        """From any thread; for work that nobody waits for."""
        return self._executor.submit(job, *args, **kwargs)

    def close(self) -> None:
        """Finishes what is queued."""
        self._executor.shutdown(wait=True)
