"""Sockets that live in another network namespace, made many at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from vpccni_lab.linux.syscalls import CLONE_NEWNET, in_new_thread, setns

IP_TRANSPARENT: Final = 19
IPV6_TRANSPARENT: Final = 75
IP_MTU_DISCOVER: Final = 10
IPV6_MTU_DISCOVER: Final = 23
PMTUDISC_DO: Final = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A socket to open. ``bind``: address and port, empty address: any. ``foreign``: bind to an address that is not local
    (a spoofed source). ``dont_fragment``: set DF, so that a packet above the path MTU is refused or dropped."""

    netns: Path
    family: int
    kind: int
    protocol: int = 0
    bind: tuple[str, int] | None = None
    foreign: bool = False
    dont_fragment: bool = False
    listen: int = 0


@contextlib.contextmanager
def opened(wanted: Sequence[Wanted]) -> Iterator[list[socket.socket]]:
    """Opens all sockets (non-blocking), in order, and closes them at the end. Raises OSError; then none is left open."""
    with contextlib.ExitStack() as stack:
        yield in_new_thread(lambda: [stack.enter_context(_open_one(want)) for want in wanted])


def open_socket(want: Wanted) -> socket.socket:
    """Opens one socket, which the caller closes. Raises OSError."""
    return in_new_thread(lambda: _open_one(want))


def _open_one(want: Wanted) -> socket.socket:
    fd = os.open(want.netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, CLONE_NEWNET)
    finally:
        os.close(fd)
    sock = socket.socket(want.family, want.kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, want.protocol)
    try:
        _set_up(sock, want)
    except OSError:
        sock.close()
        raise
    return sock


def _set_up(sock: socket.socket, want: Wanted) -> None:
    six = want.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    if want.kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if want.foreign:
        sock.setsockopt(level, IPV6_TRANSPARENT if six else IP_TRANSPARENT, 1)
    if want.dont_fragment:
        sock.setsockopt(level, IPV6_MTU_DISCOVER if six else IP_MTU_DISCOVER, PMTUDISC_DO)
    if want.bind is not None:
        sock.bind(want.bind)
    if want.listen:
        sock.listen(want.listen)
