"""Deletes the tracked connections of one address (ctnetlink).

A pod's address shows as the source of what it sent, and as the source of the replies to what it was sent, whatever was
translated in between: these two are looked for, by the kernel itself where it can (5.8 and later).
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from vpccni_netconf.adapters import decode
from vpccni_netconf.adapters.encode import NLM_F_ACK, NLM_F_REQUEST, pack_address

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


class ConntrackSocket:
    """In the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIMEOUT_S, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def flush(self, address: str) -> int:
        """Number of connections deleted. Raises OSError; a kernel without connection tracking has none."""
        af = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = pack_address(address)
        source = _V6_SRC if af == socket.AF_INET6 else _V4_SRC
        found: dict[bytes, bytes] = {}
        for tuple_kind, filter_kind in ((_TUPLE_ORIG, _FILTER_ORIG), (_TUPLE_REPLY, _FILTER_REPLY)):
            wanted = _nest(tuple_kind, _nest(_TUPLE_IP, _attribute(source, packed)))
            only = _nest(_FILTER, _attribute(filter_kind, struct.pack("=I", _FILTER_IP_SRC)))
            for body in self._exchange(_CT_GET, _DUMP, af, wanted + only):
                attributes = decode.attributes(body, 4)
                # An older kernel ignores the filter and lists all.
                if _source(attributes, tuple_kind, source) == packed:
                    original = bytes(attributes[_TUPLE_ORIG])
                    identity = _attribute(_ID, bytes(attributes[_ID])) if _ID in attributes else b""
                    zone = _attribute(_ZONE, bytes(attributes[_ZONE])) if _ZONE in attributes else b""
                    found[original + zone] = _attribute(_TUPLE_ORIG | _NESTED, original) + zone + identity
        for message in found.values():
            self._exchange(_CT_DELETE, NLM_F_ACK, af, message)
        return len(found)

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
