"""Process life: signals, supervision of background tasks, drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from vpccni_api.reasons import ReasonError

from vpccni_kit import logs, telemetry

log = logging.getLogger(__name__)
Drain = Callable[[], Awaitable[None]]


class Lifecycle:
    """Owns every background task. A task that fails ends the process (the container restarts); none fails unseen."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._drains: list[Drain] = []

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs a task until the process stops."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("background task %s failed: %s", task.get_name(), error, exc_info=error)
            self._failure = self._failure or error
            self._stop.set()

    def on_drain(self, drain: Drain) -> None:
        """Called in order of registration after the first SIGTERM."""
        self._drains.append(drain)

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    async def run(self) -> int:
        """Waits for SIGTERM or SIGINT (or a failed task), drains, cancels what is left. Exit status: 0, or 1 after a failure."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self._stop.wait()
        for drain in self._drains:
            await drain()
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return 1 if self._failure else 0


def main(service: str, start: Callable[[Lifecycle], Awaitable[None]]) -> int:
    """Runs ``start`` and then the process until it is told to stop; SIGUSR1 and SIGUSR2 change the log level.

    A ReasonError from ``start``: logged, status 1."""

    async def body() -> int:
        life = Lifecycle()
        logs.obey_signals(asyncio.get_running_loop())
        try:
            await start(life)
        except ReasonError as error:
            log.critical("%s does not start: %s", service, error, extra={"reason": str(error.reason)})
            return 1
        # What start-up made stays for good: keep it out of every later collection (and its pages shared and clean).
        gc.collect()
        gc.freeze()
        return await life.run()

    try:
        return asyncio.run(body())
    finally:
        telemetry.shutdown()
