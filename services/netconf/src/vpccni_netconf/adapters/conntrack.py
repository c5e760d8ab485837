"""Deletes the tracked connections of one address (ctnetlink).

A pod's address shows as the source of what it sent, and as the source of the replies to what it was sent, whatever was
translated in between: these two are looked for, by the kernel itself where it can (5.8 and later).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection
from typing import Final

from vpccni_netconf.adapters import decode
from vpccni_netconf.adapters.shapes import NLM_F_ACK, NLM_F_REQUEST, pack_address

_NETLINK_NETFILTER: Final = 12
_DUMP: Final = 0x300
_CT_GET: Final = (1 << 8) | 1
_CT_DELETE: Final = (1 << 8) | 2
_NESTED: Final = 0x8000
_TUPLE_ORIG, _TUPLE_REPLY, _TUPLE_IP, _ID, _ZONE, _FILTER = 1, 2, 1, 12, 18, 25
_FILTER_ORIG, _FILTER_REPLY = 1, 2
_FILTER_IP_SRC: Final = 1
_V4_SRC, _V6_SRC = 1, 3
_RECEIVE_BYTES: Final = 256 * 1024
_TIMEOUT_S: Final = 10
_FILTERED_WALKS: Final = 2


class ConntrackSocket:
    """In the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIMEOUT_S, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def flush(self, addresses: Collection[str]) -> int:
        """Number of connections deleted. Raises OSError; a kernel without connection tracking has none."""
        if _tracked() == 0:
            return 0
        deleted = 0
        for af in (socket.AF_INET, socket.AF_INET6):
            packed = {pack_address(text) for text in addresses if (":" in text) == (af == socket.AF_INET6)}
            for message in self._find(af, packed).values() if packed else ():
                self._exchange(_CT_DELETE, NLM_F_ACK, af, message)
                deleted += 1
        return deleted

    def _find(self, af: int, packed: set[bytes]) -> dict[bytes, bytes]:
        """Delete requests of what matches. For few addresses the kernel filters; for many one unfiltered walk is cheaper."""
        source = _V6_SRC if af == socket.AF_INET6 else _V4_SRC
        requests = [b""]
        if len(packed) <= _FILTERED_WALKS:
            requests = [
                _filter(tuple_kind, source, one) for tuple_kind in (_TUPLE_ORIG, _TUPLE_REPLY) for one in packed
            ]
        found: dict[bytes, bytes] = {}
        for request in requests:
            for body in self._exchange(_CT_GET, _DUMP, af, request):
                attributes = decode.attributes(body, 4)
                # Looked at in any case: an older kernel ignores the filter and lists all.
                if not packed & {_source(attributes, kind, source) for kind in (_TUPLE_ORIG, _TUPLE_REPLY)}:
                    continue
                original = bytes(attributes[_TUPLE_ORIG])
                rest = b"".join(
                    _attribute(kind, bytes(attributes[kind])) for kind in (_ZONE, _ID) if kind in attributes
                )
                found[original + rest] = _attribute(_TUPLE_ORIG | _NESTED, original) + rest
        return found

    def _exchange(self, kind: int, flags: int, af: int, payload: bytes) -> list[memoryview]:
        self._sequence += 1
        body = struct.pack("=BBH", af, 0, 0) + payload
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags | NLM_F_REQUEST, self._sequence, 0) + body)
        found: list[memoryview] = []
        while True:
            for message in decode.messages(memoryview(self._socket.recv(_RECEIVE_BYTES))):
                if message.sequence != self._sequence:
                    continue
                if message.kind == decode.NLMSG_DONE:
                    return found
                if message.kind == decode.NLMSG_ERROR:
                    # ENOENT: ended by itself meanwhile; EINVAL of a dump: connection tracking is not loaded.
                    if message.errno in (0, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP):
                        return found
                    raise OSError(message.errno, errno.errorcode.get(message.errno, "unknown error"))
                found.append(message.body)


def _tracked() -> int:
    """Connections that this namespace tracks; -1 when the kernel does not say."""
    try:
        with open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return -1


def _filter(tuple_kind: int, source: int, packed: bytes) -> bytes:
    wanted = _nest(tuple_kind, _nest(_TUPLE_IP, _attribute(source, packed)))
    flags = _FILTER_ORIG if tuple_kind == _TUPLE_ORIG else _FILTER_REPLY
    return wanted + _nest(_FILTER, _attribute(flags, struct.pack("=I", _FILTER_IP_SRC)))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value.ljust((len(value) + 3) & ~3, b"\0")


def _nest(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _source(attributes: decode.Attributes, tuple_kind: int, source: int) -> bytes:
    found = attributes.get(tuple_kind)
    if found is None:
        return b""
    ip = decode.attributes(found, 0).get(_TUPLE_IP)
    value = decode.attributes(ip, 0).get(source) if ip is not None else None
    return bytes(value) if value is not None else b""
