"""What others do to links, rules, routes and addresses of the node, as the kernel tells it (rtnetlink multicast)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from vpccni_netconf.adapters import bpf, decode
from vpccni_netconf.domain.drift import Change
from vpccni_netconf.domain.objects import LinkFacts

_LINK: Final = 1
_ADDRESS_ROUTE_RULE: Final = {4: (5, 7, 8), 6: (9, 11, 19)}
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 4 * 1024 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
_IFLA_IFNAME: Final = 3


class RtnlEvents:
    """``own_ports``: netlink ports whose requests are ours: what follows from them is not news. ``is_watched``: of a link's
    name, whether its settings matter; other links are told by index and name alone."""

    def __init__(self, own_ports: Sequence[int], is_watched: Callable[[str], bool]) -> None:
        self._own_ports = frozenset(own_ports)
        self._is_watched = is_watched
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        bpf.attach(self._socket, _program(own_ports))
        self._socket.bind((0, 0))
        self._join(_LINK)
        self.listen_to(4)
        self._names: dict[int, str] = {}

    def listen_to(self, family: int) -> None:
        """Rules, routes and addresses of the family, too. (Every link makes IPv6 ones of its own: only where they matter.)"""
        for group in _ADDRESS_ROUTE_RULE[family]:
            self._join(group)

    def _join(self, group: int) -> None:
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, struct.pack("=I", group))

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
            return Change(self._link(message.body, gone=kind == decode.DELLINK), kind == decode.DELLINK)
        if message.port in self._own_ports:
            return None
        if kind in (decode.DELRULE, decode.NEWRULE):
            rule = decode.rule(message.body)
            return Change(rule, kind == decode.DELRULE) if rule is not None else None
        if kind in (decode.DELROUTE, decode.NEWROUTE):
            route = decode.route(message.body, _Names(self._names))
            return Change(route, kind == decode.DELROUTE) if route is not None else None
        if kind in (decode.DELADDR, decode.NEWADDR):
            address = decode.address(message.body, _Names(self._names))
            return Change(address, kind == decode.DELADDR) if address is not None else None
        return None

    def _link(self, body: memoryview, *, gone: bool) -> LinkFacts:
        index, length, kind = struct.unpack_from("=4xi8xHH", body)
        # The kernel puts the name first; the rest, some 1.5 kB, is read only of links that matter.
        name = bytes(body[20 : 16 + length]).rstrip(b"\0").decode(errors="replace") if kind == _IFLA_IFNAME else ""
        if gone:
            self._names.pop(index, None)
        else:
            self._names[index] = name
        return decode.link_facts(body) if not name or self._is_watched(name) else LinkFacts(index, name)


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


_KIND_AT, _PORT_AT = 4, 12


def _program(own_ports: Sequence[int]) -> bytes:
    """Accepts what is told of links, and of rules, addresses and routes unless a port of ours is the cause."""
    foreign = (decode.NEWRULE, decode.DELRULE, decode.NEWROUTE, decode.DELROUTE, decode.NEWADDR, decode.DELADDR)
    return bpf.assemble(
        [
            (bpf.LDH, _KIND_AT, ""),
            *((bpf.JEQ, socket.htons(kind), "accept") for kind in (decode.NEWLINK, decode.DELLINK)),
            *((bpf.JEQ, socket.htons(kind), "port") for kind in foreign),
            (bpf.RET, 0, ""),
            "port",
            (bpf.LDW, _PORT_AT, ""),
            *((bpf.JEQ, socket.htonl(port), "reject") for port in own_ports),
            "accept",
            (bpf.RET, bpf.ALL, ""),
            "reject",
            (bpf.RET, 0, ""),
        ]
    )
