"""Classic BPF programs on sockets, so that what is not news does not even wake the process."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final

_SO_ATTACH_FILTER: Final = 26

# Loads take network order.
LDH, LDW, JEQ, JSET, RET = 0x28, 0x20, 0x15, 0x45, 0x06
ALL: Final = 0xFFFFFFFF
"""Operand of RET: the whole message; 0: none of it."""

Line = str | tuple[int, int, str]
"""A text is a label; an instruction is (code, operand, label to jump to when the comparison holds)."""


def assemble(lines: Sequence[Line]) -> bytes:
    places: dict[str, int] = {}
    instructions: list[tuple[int, int, str]] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(instructions)
        else:
            instructions.append(line)
    return b"".join(
        struct.pack("=HBBI", code, places[target] - at - 1 if target else 0, 0, operand)
        for at, (code, operand, target) in enumerate(instructions)
    )


def attach(to: socket.socket, program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
