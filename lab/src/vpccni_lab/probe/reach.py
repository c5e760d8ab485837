"""Who reaches whom, and which source address arrives: UDP and TCP probes for many pairs at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from vpccni_lab.probe.sockets import Wanted, opened

PORT: Final = 7007
UDP_HEADERS: Final = {socket.AF_INET: 28, socket.AF_INET6: 48}
"""Bytes of IP and UDP header."""
_TOKEN: Final = struct.Struct("!I")


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Something with a network namespace and an address. ``name`` is for people."""

    name: str
    netns: Path
    address: str

    @property
    def family(self) -> int:
        return int(socket.AF_INET6 if ":" in self.address else socket.AF_INET)


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """One question: does a packet of ``size`` bytes (IP header included) from ``src`` arrive at ``dst``?

    ``to``, ``port``: where to send when it is not where ``dst`` listens (a public address, a NodePort, say). ``spoof``: a
    source address to claim; ``source``: one of its own to send from, UDP only, empty: the kernel's choice. ``source_port`` 0: any.
    ``size`` 0: as small as it gets.
    """

    src: Endpoint
    dst: Endpoint
    to: str = ""
    spoof: str = ""
    size: int = 0
    dont_fragment: bool = False
    port: int = PORT
    source_port: int = 0
    source: str = ""

    @property
    def target(self) -> tuple[str, int]:
        return (self.to or self.dst.address, self.port)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What came of a probe. ``source``, ``port``: what the receiver saw; empty: nothing arrived. ``answered``: its
    answer came back to the sender, from where the probe had been sent to. ``error``: the sender's kernel refused to send."""

    source: str = ""
    answered: bool = False
    error: str = ""
    port: int = 0

    @property
    def ok(self) -> bool:
        return bool(self.source) and self.answered


def udp(probes: Sequence[Probe], timeout: float = 1.0) -> list[Seen]:
    """Sends one datagram per probe, again after a third and two thirds of ``timeout`` seconds where no answer came.

    Returns what was seen, in the order of ``probes``; as soon as all are answered, at the latest after ``timeout``.
    """
    return asyncio.run(_Udp(probes).run(timeout)) if probes else []


def tcp(probes: Sequence[Probe], timeout: float = 2.0) -> list[Seen]:
    """Opens one connection per probe and has the receiver say what it saw. ``size``, ``spoof``, ``source_port`` are not used."""
    return asyncio.run(_tcp(probes, timeout)) if probes else []


class _Udp:
    def __init__(self, probes: Sequence[Probe]) -> None:
        self.probes = probes
        self.seen = [Seen() for _ in probes]
        self.waiting = set(range(len(probes)))
        self.done = asyncio.Event()

    async def run(self, timeout: float) -> list[Seen]:
        loop = asyncio.get_running_loop()
        servers = list({probe.dst: None for probe in self.probes})
        wanted = [Wanted(at.netns, at.family, socket.SOCK_DGRAM, bind=(at.address, PORT)) for at in servers]
        wanted += [_client(probe) for probe in self.probes]
        with opened(wanted) as sockets:
            listening, clients = sockets[: len(servers)], sockets[len(servers) :]
            for sock in listening:
                loop.add_reader(sock, self._at_server, sock)
            for sock in clients:
                loop.add_reader(sock, self._at_client, sock)
            for _ in range(3):
                self._send(clients)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.done.wait(), timeout / 3)
                    break
            for sock in sockets:
                loop.remove_reader(sock)
        return self.seen

    def _send(self, clients: Sequence[socket.socket]) -> None:
        for number in sorted(self.waiting):
            probe = self.probes[number]
            padding = bytes(max(0, probe.size - UDP_HEADERS[socket.AddressFamily(probe.src.family)] - _TOKEN.size))
            try:
                clients[number].sendto(_TOKEN.pack(number) + padding, probe.target)
            except OSError as exc:
                self.seen[number] = dataclasses.replace(self.seen[number], error=exc.strerror or str(exc))

    def _at_server(self, sock: socket.socket) -> None:
        for data, peer in _datagrams(sock):
            (number,) = _TOKEN.unpack_from(data)
            self.seen[number] = dataclasses.replace(self.seen[number], source=peer[0], port=peer[1])
            if not self.probes[number].spoof:  # an answer would go to somebody else
                with contextlib.suppress(OSError):
                    sock.sendto(data, peer)

    def _at_client(self, sock: socket.socket) -> None:
        for data, peer in _datagrams(sock):
            (number,) = _TOKEN.unpack_from(data)
            if peer[:2] != self.probes[number].target:
                continue  # an answer from elsewhere is none: a connected socket would not take it
            self.seen[number] = dataclasses.replace(self.seen[number], answered=True)
            self.waiting.discard(number)
        if not self.waiting:
            self.done.set()


def _client(probe: Probe) -> Wanted:
    address = probe.spoof or probe.source
    bind = (address, probe.source_port) if address or probe.source_port else None
    return Wanted(
        probe.src.netns,
        probe.src.family,
        socket.SOCK_DGRAM,
        bind=bind,
        foreign=bool(probe.spoof),
        dont_fragment=probe.dont_fragment,
    )


def _datagrams(sock: socket.socket) -> Iterator[tuple[bytes, tuple[str, int]]]:
    while True:
        try:
            data, peer = sock.recvfrom(1 << 16)
        except OSError:  # nothing left, or an ICMP error on this socket
            return
        yield data, peer


async def _tcp(probes: Sequence[Probe], timeout: float) -> list[Seen]:
    servers = list({probe.dst: None for probe in probes})
    wanted = [Wanted(at.netns, at.family, socket.SOCK_STREAM, bind=(at.address, PORT), listen=1024) for at in servers]
    wanted += [Wanted(probe.src.netns, probe.src.family, socket.SOCK_STREAM) for probe in probes]
    with opened(wanted) as sockets:
        listeners = [await asyncio.start_server(_say_peer, sock=sock) for sock in sockets[: len(servers)]]
        try:
            asking = (_ask(sock, probe, timeout) for sock, probe in zip(sockets[len(servers) :], probes, strict=True))
            return list(await asyncio.gather(*asking))
        finally:
            for listener in listeners:
                listener.close()
                await listener.wait_closed()


async def _say_peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write("{} {}".format(*writer.get_extra_info("peername")[:2]).encode())
        await writer.drain()
    writer.close()


async def _ask(sock: socket.socket, probe: Probe, timeout: float) -> Seen:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, probe.target)
            answer = await loop.sock_recv(sock, 128)
    except TimeoutError:
        return Seen()
    except OSError as exc:
        return Seen(error=exc.strerror or str(exc))
    source, _, port = answer.decode().partition(" ")
    return Seen(source=source, answered=bool(source), port=int(port or 0))
