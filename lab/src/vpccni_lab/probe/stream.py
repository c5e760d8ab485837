"""A TCP connection that runs beside something else and tells afterwards whether it lived and how long it stood still."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import threading
import time
from types import TracebackType
from typing import Final

from vpccni_lab.probe.reach import PORT, Endpoint
from vpccni_lab.probe.sockets import Wanted, open_socket

_MESSAGE: Final = 256
"""Bytes that go to and fro."""


@dataclasses.dataclass(frozen=True, slots=True)
class StreamResult:
    """``rounds``: messages that went there and back. ``longest``: seconds of the slowest of them; what a lost packet adds is
    the kernel's retransmission time, 0.2 s and more. ``broken``: what ended the connection before its time; empty: nothing.
    ``source``: the address that the receiver saw."""

    rounds: int
    longest: float
    broken: str
    source: str


class TcpStream:
    """One connection from ``src`` to ``dst``, a message to and fro every ``interval`` seconds, as a context::

        with TcpStream(pod, internet) as stream: ...
        assert not stream.result.broken

    ``to``, ``port``: where to connect when it is not where ``dst`` listens. Raises OSError when the connection does not come
    about within ``timeout`` seconds. ``grace``: seconds that the last message gets.
    """

    def __init__(
        self,
        src: Endpoint,
        dst: Endpoint,
        *,
        to: str = "",
        port: int = 0,
        listen: int = PORT + 2,
        interval: float = 0.02,
        timeout: float = 5.0,
        grace: float = 10.0,
    ) -> None:
        self._interval, self._grace = interval, grace
        self._stop = threading.Event()
        self._rounds, self._longest, self._broken, self._began = 0, 0.0, "", 0.0
        with contextlib.ExitStack() as stack:
            wanted = Wanted(dst.netns, dst.family, socket.SOCK_STREAM, bind=(dst.address, listen), listen=1)
            listener = stack.enter_context(open_socket(wanted))
            client = stack.enter_context(open_socket(Wanted(src.netns, src.family, socket.SOCK_STREAM)))
            listener.settimeout(timeout)
            client.settimeout(timeout)
            client.connect((to or dst.address, port or listen))
            server, peer = listener.accept()
            self._source = str(peer[0])
            stack.pop_all()
        listener.close()
        server.settimeout(None)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client, self._server = client, server
        self._threads = [threading.Thread(target=t, name="stream", daemon=True) for t in (self._answer, self._run)]

    def __enter__(self) -> TcpStream:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._threads[1].join()
        self._client.close()
        # wakes the thread that waits for the next message, also when the client's end never reached it
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._server.close()

    @property
    def result(self) -> StreamResult:
        """So far while it runs; final afterwards."""
        return StreamResult(self._rounds, self._longest, self._broken, self._source)

    def wait_rounds(self, count: int, timeout: float = 10.0) -> bool:
        """Waits until ``count`` more messages have gone there and back; False after ``timeout`` seconds."""
        wanted, deadline = self._rounds + count, time.monotonic() + timeout
        while self._rounds < wanted and not self._broken and time.monotonic() < deadline:
            time.sleep(self._interval)
        return self._rounds >= wanted

    def _run(self) -> None:
        message, poll = bytes(_MESSAGE), select.poll()
        poll.register(self._client, select.POLLIN)
        while not self._stop.is_set():
            begin = time.monotonic()
            try:
                self._client.sendall(message)
                if not self._received(poll):
                    self._broken = f"no answer within {self._grace:.0f} s"
                    return
            except OSError as exc:
                self._broken = exc.strerror or str(exc)
                return
            self._rounds += 1
            self._longest = max(self._longest, time.monotonic() - begin)
            self._stop.wait(self._interval)

    def _received(self, poll: select.poll) -> bool:
        left, deadline = _MESSAGE, time.monotonic() + self._grace
        while left:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return False
            data = self._client.recv(left)
            if not data:
                raise OSError(0, "closed by the other end")
            left -= len(data)
        return True

    def _answer(self) -> None:
        with contextlib.suppress(OSError):  # told by the sending side, which gets no answer then
            while data := self._server.recv(_MESSAGE):
                self._server.sendall(data)
