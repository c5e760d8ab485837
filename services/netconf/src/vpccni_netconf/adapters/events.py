"""What others do to links, rules, routes and addresses of the node, as the kernel tells it (rtnetlink multicast)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Final

from vpccni_netconf.adapters import decode
from vpccni_netconf.domain.drift import Change

_LINK, _V4_ADDRESS, _V4_ROUTE, _V4_RULE = 1, 5, 7, 8
_V6_ADDRESS, _V6_ROUTE, _V6_RULE = 9, 11, 19
_GROUPS: Final = (_LINK, _V4_ADDRESS, _V4_ROUTE, _V4_RULE, _V6_ADDRESS, _V6_ROUTE, _V6_RULE)
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 4 * 1024 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
_NLM_F_REPLACE: Final = 0x100


class RtnlEvents:
    """``is_own``: true of netlink ports whose requests are ours: what follows from them is not news."""

    def __init__(self, is_own: Callable[[int], bool]) -> None:
        self._is_own = is_own
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((0, 0))
        for group in _GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, struct.pack("=I", group))
        self._names: dict[int, str] = {}

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def drain(self) -> tuple[list[Change], bool]:
        """All that has come in, and whether some was lost (too much at once): then everything must be looked at."""
        found: list[Change] = []
        lost = False
        while True:
            try:
                received = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return found, lost
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            for message in decode.messages(memoryview(received)):
                change = self._change(message)
                if change is not None:
                    found.append(change)

    def _change(self, message: decode.Message) -> Change | None:
        kind = message.kind
        if kind in (decode.NEWLINK, decode.DELLINK):
            facts = decode.link_facts(message.body)
            self._names[facts.index] = facts.name
            if kind == decode.DELLINK:
                self._names.pop(facts.index, None)
            return Change(facts, kind == decode.DELLINK)
        if self._is_own(message.port):
            return None
        if kind == decode.DELRULE:
            rule = decode.rule(message.body)
            return Change(rule, True) if rule is not None else None
        replaced = kind == decode.NEWROUTE and message.flags & _NLM_F_REPLACE
        if kind == decode.DELROUTE or replaced:
            route = decode.route(message.body, _Names(self._names))
            return Change(route, True) if route is not None else None
        if kind in (decode.DELADDR, decode.NEWADDR):
            address = decode.address(message.body, _Names(self._names))
            return Change(address, kind == decode.DELADDR) if address is not None else None
        return None


class _Names(dict[int, str]):
    """Link names by index, asked of the kernel where no event has told them yet."""

    def __init__(self, known: dict[int, str]) -> None:
        super().__init__(known)

    def get(self, index: int, default: str | None = None) -> str:  # type: ignore[override]  # names, never None
        if index in self:
            return self[index]
        try:
            return socket.if_indextoname(index)
        except OSError:
            return default or "?"
