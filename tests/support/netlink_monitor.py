"""Counts what the kernel says was changed, as `ip monitor` would: links, addresses, routes and rules of one namespace."""

from __future__ import annotations

import socket
import struct
import typing

_GROUPS: typing.Final = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 19))
"""RTNLGRP_* of links, and of both families addresses, routes and rules; neighbours come and go with traffic."""

_OF_LINKS: typing.Final = (16, 17)


class NetlinkMonitor:
    """Of the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _GROUPS))

    def close(self) -> None:
        self._socket.close()

    def kinds(self) -> list[int]:
        """Types (RTM_*) of what somebody asked for since the last call. What the kernel does by itself (an IPv6 link-local
        address whose duplicate detection has ended) has no sender; messages about links never have one."""
        found: list[int] = []
        while True:
            try:
                received = self._socket.recv(64 * 1024)
            except BlockingIOError:
                return found
            kind, sender = struct.unpack_from("=H", received, 4)[0], struct.unpack_from("=I", received, 12)[0]
            if sender or kind in _OF_LINKS:
                found.append(kind)
