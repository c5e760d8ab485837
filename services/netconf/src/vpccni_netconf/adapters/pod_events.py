"""What happens inside pods' namespaces: a socket in each, which hears what was taken away there.

One socket for all (NETLINK_LISTEN_ALL_NSID) would need CAP_NET_BROADCAST, and would hear every set-up and removal twice; a
socket of its own is opened when the pod is wired and closed before it is unwired. It keeps the namespace alive, so it is
closed, too, when the namespace's name goes (``NetnsNames``).
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from typing import Final

from vpccni_netconf.adapters import bpf, decode
from vpccni_netconf.domain.drift import Change

# Links, neighbours, and of both families addresses, routes and rules (RTNLGRP_*).
_GROUPS: Final = sum(1 << group - 1 for group in (1, 3, 5, 7, 8, 9, 11, 19))
_KIND_AT, _NEIGHBOUR_STATE_AT = 4, 24
_NUD_PERMANENT: Final = 0x80
_RECEIVE_BYTES: Final = 64 * 1024
_OF_SOME_LINK: Final = "?"

_PROGRAM: Final = bpf.assemble(
    [
        (bpf.LDH, _KIND_AT, ""),
        *(
            (bpf.JEQ, socket.htons(kind), "accept")
            for kind in (decode.NEWLINK, decode.DELADDR, decode.DELROUTE, decode.DELNEIGH, decode.DELRULE)
        ),
        (bpf.JEQ, socket.htons(decode.NEWNEIGH), "neighbour"),
        (bpf.RET, 0, ""),
        "neighbour",  # others' come and go with traffic
        (bpf.LDH, _NEIGHBOUR_STATE_AT, ""),
        (bpf.JEQ, socket.htons(_NUD_PERMANENT), "accept"),
        (bpf.RET, 0, ""),
        "accept",
        (bpf.RET, bpf.ALL, ""),
    ]
)


def open_socket() -> socket.socket:
    """In the namespace of the calling thread, for good. Raises OSError."""
    made = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        bpf.attach(made, _PROGRAM)
        made.bind((0, _GROUPS))
    except OSError:
        made.close()
        raise
    return made


class PodEvents:
    """See ``ports.PodEvents``. One event loop entry for all sockets."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[str, socket.socket] = {}
        self._pods: dict[int, str] = {}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def listened_to(self) -> frozenset[str]:
        return frozenset(self._sockets)

    def listen_to(self, pod: str, opened: socket.socket) -> None:
        self.leave(pod)
        self._sockets[pod] = opened
        self._pods[opened.fileno()] = pod
        self._epoll.register(opened.fileno(), select.EPOLLIN)

    def leave(self, pod: str) -> None:
        left = self._sockets.pop(pod, None)
        if left is not None:
            del self._pods[left.fileno()]
            left.close()  # leaves the epoll by itself

    def drain(self) -> dict[str, list[Change] | None]:
        found: dict[str, list[Change] | None] = {}
        for fd, _ in self._epoll.poll(0):
            pod = self._pods.get(fd)
            if pod is not None:
                found[pod] = _drain(self._sockets[pod])
        return found


def _drain(opened: socket.socket) -> list[Change] | None:
    """None when some was lost."""
    found: list[Change] = []
    lost = False
    while True:
        try:
            received = opened.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None if lost else found
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            lost = True
            continue
        for message in decode.messages(memoryview(received)):
            with contextlib.suppress(ValueError):
                change = _change(message)
                if change is not None:
                    found.append(change)


class _AnyLink(dict[int, str]):
    """Names of links are not known here; what was taken away is told apart by the rest of it."""

    def get(self, index: int, default: str | None = None) -> str:  # type: ignore[override]  # names, never None
        return _OF_SOME_LINK


def _change(message: decode.Message) -> Change | None:
    names = _AnyLink()
    match message.kind:
        case decode.NEWLINK:
            return Change(decode.link_facts(message.body), gone=False)
        case decode.DELRULE:
            rule = decode.rule(message.body)
            return Change(rule, gone=True) if rule is not None else None
        case decode.DELROUTE:
            route = decode.route(message.body, names)
            return Change(route, gone=True) if route is not None else None
        case decode.DELADDR:
            address = decode.address(message.body, names)
            return Change(address, gone=True) if address is not None else None
        case decode.NEWNEIGH | decode.DELNEIGH:
            neighbour = decode.neighbour(message.body, names, any_state=message.kind == decode.DELNEIGH)
            return Change(neighbour, message.kind == decode.DELNEIGH) if neighbour is not None else None
        case _:
            return None
