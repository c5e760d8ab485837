"""One thread, one job at a time, in order; the event loop awaits them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from vpccni_kit import telemetry

from vpccni_netconf.kernel_time import in_kernel

P = ParamSpec("P")
T = TypeVar("T")
KERNEL_MS: Final = "vpccni.kernel_ms"
"""Span attribute: milliseconds in system calls."""
QUEUE_MS: Final = "vpccni.queue_ms"
"""Span attribute: milliseconds until the thread was free."""


class Worker:
    """Jobs of the kernel thread see desired state and kernel change under nobody else's hands. A job that has begun is
    always finished, even when its caller has gone; one that is still queued when its caller goes is dropped."""

    def __init__(self, name: str) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # The trace context goes along, so that spans of the job are children of the call's.
        told = functools.partial(_told, time.perf_counter_ns(), job) if telemetry.exporting() else job
        call = functools.partial(contextvars.copy_context().run, told, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        """From any thread; for work that nobody waits for."""
        return self._executor.submit(job, *args, **kwargs)

    def close(self) -> None:
        """Finishes what is queued."""
        self._executor.shutdown(wait=True)


def _told(asked_ns: int, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs the job and tells the span what its time went to."""
    queued_ns, before_ns = time.perf_counter_ns() - asked_ns, in_kernel.ns
    try:
        return job(*args, **kwargs)
    finally:
        span = telemetry.current()
        if span is not None:
            span.set(QUEUE_MS, round(queued_ns / 1e6, 3))
            span.set(KERNEL_MS, round((in_kernel.ns - before_ns) / 1e6, 3))
