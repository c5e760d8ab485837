"""Counts what the kernel says was changed, as `ip monitor` would: links, addresses, routes and rules of one namespace."""

from __future__ import annotations

import socket
import struct
import typing

_GROUPS: typing.Final = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 19))
"""RTNLGRP_* of links, and of both families addresses, routes and rules; neighbours come and go with traffic."""

_NEW_LINK, _DEL_LINK, _GET_LINK, _DONE = 16, 17, 18, 3
_DUMP_REQUEST: typing.Final = struct.pack("=IHHIIB15x", 32, _GET_LINK, 0x301, 1, 0, socket.AF_UNSPEC)
_ATTRIBUTES: typing.Final = {1: "MAC", 3: "name", 4: "MTU"}
_IFF_UP: typing.Final = 1


class NetlinkMonitor:
    """Of the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._links = _links()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _GROUPS))

    def close(self) -> None:
        self._socket.close()

    def kinds(self) -> list[int]:
        """Types (RTM_*) of what somebody asked for since the last call. What the kernel does by itself (an IPv6 link-local
        address whose duplicate detection has ended) has no sender. Messages about links never have one: they count when
        name, MTU, MAC or "up" differ from before (a carrier that was found a moment later does not)."""
        found: list[int] = []
        while True:
            try:
                received = self._socket.recv(64 * 1024)
            except BlockingIOError:
                return found
            kind, sender = struct.unpack_from("=H", received, 4)[0], struct.unpack_from("=I", received, 12)[0]
            if kind == _NEW_LINK:
                index, settings = _link(received)
                if self._links.get(index) != settings:
                    found.append(kind)
            elif sender or kind == _DEL_LINK:
                found.append(kind)


def _links() -> dict[int, dict[str, bytes]]:
    """Settings by index, of every link of this thread's namespace."""
    links: dict[int, dict[str, bytes]] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asked:
        asked.send(_DUMP_REQUEST)
        while True:
            received = asked.recv(64 * 1024)
            while received:
                length, kind = struct.unpack_from("=IH", received)
                if kind == _DONE:
                    return links
                index, settings = _link(received[:length])
                links[index] = settings
                received = received[length + 3 & ~3 :]


def _link(message: bytes) -> tuple[int, dict[str, bytes]]:
    """Index and settings in an RTM_NEWLINK message (rtnetlink(7), struct ifinfomsg)."""
    index, flags = struct.unpack_from("=iI", message, 20)
    settings = {"up": bytes([flags & _IFF_UP])}
    at = 32
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if kind in _ATTRIBUTES:
            settings[_ATTRIBUTES[kind]] = message[at + 4 : at + length]
        at += length + 3 & ~3
    return index, settings
