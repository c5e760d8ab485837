"""A ping that runs beside something else and tells afterwards which of its packets were lost."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Final

from vpccni_lab.probe.reach import Endpoint
from vpccni_lab.probe.sockets import Wanted, open_socket

_ECHO: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
_HEADER: Final = struct.Struct("!BBHHH")


@dataclasses.dataclass(frozen=True, slots=True)
class PingResult:
    """``lost``: sequence numbers that were sent and not answered within the grace time."""

    sent: int
    lost: tuple[int, ...]


class PingStream:
    """ICMP echo requests from one endpoint to another, every ``interval`` seconds, as a context::

    with PingStream(pod_a, pod_b) as ping: ...
    assert not ping.result.lost
    """

    def __init__(self, src: Endpoint, dst: Endpoint, interval: float = 0.02, grace: float = 2.0) -> None:
        self._dst, self._interval, self._grace = dst, interval, grace
        protocol = socket.IPPROTO_ICMPV6 if dst.family == socket.AF_INET6 else socket.IPPROTO_ICMP
        self._socket = open_socket(Wanted(src.netns, dst.family, socket.SOCK_RAW, int(protocol)))
        self._poll = select.poll()  # select() fails above descriptor 1023
        self._poll.register(self._socket, select.POLLIN)
        self._ident = id(self) & 0xFFFF
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ping", daemon=True)
        self._waiting: set[int] = set()
        self._sent = 0

    def __enter__(self) -> PingStream:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    @property
    def result(self) -> PingResult:
        """So far while it runs; final afterwards."""
        return PingResult(self._sent, tuple(sorted(self._waiting)))

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._send()
            due += self._interval
            self._receive(due)
        deadline = time.monotonic() + self._grace
        while self._waiting and time.monotonic() < deadline:
            self._receive(min(deadline, time.monotonic() + 0.05))

    def _send(self) -> None:
        sequence = self._sent & 0xFFFF
        kind = _ECHO[socket.AddressFamily(self._dst.family)][0]
        body = _HEADER.pack(kind, 0, 0, self._ident, sequence)
        packet = _HEADER.pack(kind, 0, _checksum(body), self._ident, sequence)
        self._sent += 1
        self._waiting.add(sequence)
        with contextlib.suppress(OSError):  # it stays in the waiting set, which is how a loss is told
            self._socket.sendto(packet, (self._dst.address, 0))

    def _receive(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            if not self._poll.poll(left * 1000):
                return
            data = self._socket.recv(2048)
            if self._dst.family == socket.AF_INET:
                data = data[(data[0] & 15) * 4 :]
            kind, _, _, ident, sequence = _HEADER.unpack_from(data)
            if kind == _ECHO[socket.AddressFamily(self._dst.family)][1] and ident == self._ident:
                self._waiting.discard(sequence)


def _checksum(data: bytes) -> int:
    # ones' complement sum of 16-bit words (RFC 1071); for ICMPv6 the kernel computes it itself
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
