"""Messages of which only a few bytes differ from one to the next.

pyroute2's message classes know the wire format but need some 0.1 ms per message, ten times what the kernel needs to carry
one out. So each *shape* of message is encoded by them once, with stand-in values, and from then on the few bytes that differ
(addresses, link indices, names) are put in their places.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Hashable
from typing import Any, Final

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
REPLACE: Final = 0x100
EXCL: Final = 0x200
CREATE: Final = 0x400

# Stand-ins: values that occur nowhere else in a message.
INDEX: Final = 0x5EADBEE5
FD: Final = 0x5EADBEE7
MTU: Final = 0x5EADBEE8
MAC: Final = "de:ad:be:ef:5e:ad"
OTHER_MAC: Final = "de:ad:be:ef:5e:ae"
NAME_A: Final = "\x01stand-in-name\x01"
NAME_B: Final = "\x02stand-in-name\x02"
_V4: Final = ("203.0.113.201", "203.0.113.202", "203.0.113.203")
_V6: Final = ("2001:db8:beef::c9", "2001:db8:beef::ca", "2001:db8:beef::cb")

Fields = dict[str, Any]
Attributes = list[tuple[str, Any]]
Built = tuple[bytes, tuple[bytes, ...]]


class _Shape:
    """An encoded message and where its variable bytes are."""

    def __init__(self, message: bytes, stand_ins: tuple[bytes, ...]) -> None:
        self._message = message
        self._places = []
        for value in stand_ins:
            at = message.find(value)
            if at < 0 or message.find(value, at + 1) >= 0:
                raise AssertionError(f"stand-in {value!r} must occur once in {message.hex()}")
            self._places.append((at, at + len(value)))

    def fill(self, values: tuple[bytes, ...]) -> bytearray:
        made = bytearray(self._message)
        for (start, end), value in zip(self._places, values, strict=True):
            made[start:end] = value
        return made


_shapes: dict[Hashable, _Shape] = {}


def shaped(key: Hashable, values: tuple[bytes, ...], build: Callable[[], Built]) -> bytearray:
    """The message of the shape ``key`` with ``values`` in the places of its stand-ins. ``build`` makes the first of a shape.

    Keys must be few: table numbers and prefix lengths, not addresses or names.
    """
    shape = _shapes.get(key)
    if shape is None:
        message, stand_ins = build()
        shape = _shapes[key] = _Shape(message, stand_ins)
    return shape.fill(values)


def shaped_once(build: Callable[[], Built], values: tuple[bytes, ...]) -> bytearray:
    """As ``shaped``, for a message that is not worth keeping."""
    return _Shape(*build()).fill(values)


def message(cls: Any, kind: int, flags: int, fields: Fields, attributes: Attributes) -> bytes:
    """Encoded by pyroute2's class; the sequence number is 0."""
    made = cls()
    for name, value in fields.items():
        made[name] = value
    made["attrs"] = attributes
    made["header"]["type"] = kind
    made["header"]["flags"] = flags | NLM_F_REQUEST
    made["header"]["sequence_number"] = 0
    made.encode()
    return bytes(made.data)


def stand_in(family: int, which: int) -> str:
    """One of three addresses."""
    return (_V6 if family == 6 else _V4)[which]


def pack_address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def pack_mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def u32(number: int) -> bytes:
    return struct.pack("=I", number)
