"""The endpoints in a thread of this process, on loopback: for tests of programs that talk to EC2 and IMDS."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self, TypeVar

from vpccni_lab.ec2.httpd import Handle
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.server import Ec2Server
from vpccni_lab.imds.server import ImdsServer

T = TypeVar("T")


class Embedded:
    """``with Embedded(ec2) as lab:`` starts the thread, which owns the model: touch it through ``do`` only.

    The model's due transitions are processed at their time (by its clock).
    """

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ec2-lab", daemon=True)
        self._handles: list[Handle] = []
        self._ticking: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ec2(self, caller: str | None = None) -> str:
        """A new listener; its URL. ``caller`` as for Ec2Server.serve."""
        return self._listen(lambda sock: Ec2Server(self._ec2).serve(sock, caller))

    def imds(self, instance_id: str, *, v1: bool = False) -> str:
        """IMDS of this instance; its URL."""
        return self._listen(lambda sock: ImdsServer(self._ec2, v1=v1).serve(sock, instance_id))

    def do(self, action: Callable[[], T]) -> T:
        """Run on the model's thread; what it raises is raised here."""

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def close(self) -> None:
        """Close all listeners and end the thread."""

        async def stop() -> None:
            if self._ticking:
                self._ticking.cancel()
            for handle in self._handles:
                await handle.close()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _listen(self, serve: Callable[[socket.socket], Coroutine[None, None, Handle]]) -> str:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        port = sock.getsockname()[1]

        async def start() -> None:
            handle = await serve(sock)
            self._handles.append(handle)

        asyncio.run_coroutine_threadsafe(start(), self._loop).result()
        return f"http://127.0.0.1:{port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._ticking = self._loop.create_task(self._tick())
        self._loop.run_forever()

    async def _tick(self) -> None:
        while True:
            self._ec2.advance()
            due = self._ec2.next_due()
            wait = 0.02 if due is None else max(0.001, min(0.02, due - self._ec2.world.now()))
            await asyncio.sleep(wait)
