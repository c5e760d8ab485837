"""Protocol Buffers wire format, for messages described by tables (messages.py): proto3, no packed fields, no maps.

A message is a ``dict`` from field name to ``str``, ``int``, message, or list of messages. Absent and default values are
not written, as proto3 has it; a field that the table does not name is skipped, so newer peers are understood.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    # number -> (name, kind, table of the sub-message)
    Table: TypeAlias = Mapping[int, tuple[str, int, "Table | None"]]
    Message = dict[str, Any]

STRING = 0
UINT = 1  # uint32, uint64: not negative; bool: 0 or 1
MESSAGE = 2
REPEATED = 3  # of messages

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_UINT64 = (1 << 64) - 1


class WireError(ValueError):
    """The bytes are not such a message."""


def encode(table: Table, message: Message) -> bytes:
    """The message's bytes, fields in the order of the table (ascending: what protobuf writes). KeyError: no such field."""
    out = bytearray()
    written = 0
    for number, (name, kind, sub) in table.items():
        if name not in message:
            continue
        written += 1
        value = message[name]
        if value is None:
            continue
        if kind == REPEATED:
            for item in value:
                _append_bytes(out, number, encode(_sub(sub), item))
        elif kind == MESSAGE:
            _append_bytes(out, number, encode(_sub(sub), value))
        elif kind == STRING:
            if value:
                _append_bytes(out, number, value.encode())
        elif value:
            _append_varint(out, number << 3)
            _append_varint(out, value)
    if written != len(message):
        raise KeyError(f"a field of {list(message)} is not in the table")
    return bytes(out)


def decode(table: Table, data: bytes) -> Message:
    """The message, with every field of the table: absent ones have their default (sub-message: None). Raises WireError."""
    message: Message = {name: _default(kind) for name, kind, _ in table.values()}
    _merge(table, data, 0, len(data), message)
    return message


def _default(kind: int) -> str | int | list[Message] | None:
    if kind == REPEATED:
        return []
    if kind == MESSAGE:
        return None
    return 0 if kind == UINT else ""


def _sub(sub: Table | None) -> Table:
    if sub is None:
        raise TypeError("a message field needs the table of its message")
    return sub


def _append_varint(out: bytearray, value: int) -> None:
    if not 0 <= value <= _MAX_UINT64:
        raise ValueError(f"{value} is no uint64")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _append_bytes(out: bytearray, number: int, data: bytes) -> None:
    _append_varint(out, number << 3 | _LENGTH)
    _append_varint(out, len(data))
    out += data


def _merge(table: Table, data: bytes, at: int, end: int, message: Message) -> None:
    """Reads ``data[at:end]`` into ``message``: the last scalar wins, sub-messages merge, repeated ones are appended."""
    while at < end:
        tag, at = _varint(data, at, end)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, at = _varint(data, at, end)
            begin = at
        elif wire_type in (_LENGTH, _FIXED32, _FIXED64):
            value = 4 if wire_type == _FIXED32 else 8
            if wire_type == _LENGTH:
                value, at = _varint(data, at, end)
            begin, at = at, at + value
            if at > end:
                raise WireError(f"field {tag >> 3} is cut off")
        else:
            raise WireError(f"field {tag >> 3} has wire type {wire_type}")
        if tag >> 3 == 0:
            raise WireError("field number 0")
        field = table.get(tag >> 3)
        if field is not None:
            _store(field, wire_type, data, begin, at, value, message)


def _store(
    field: tuple[str, int, Table | None],
    wire_type: int,
    data: bytes,
    begin: int,
    end: int,
    value: int,
    message: Message,
) -> None:
    name, kind, sub = field
    if wire_type != (_VARINT if kind == UINT else _LENGTH):
        # protobuf treats a field of another wire type as unknown, so do we.
        return
    if kind == UINT:
        message[name] = value
    elif kind == STRING:
        try:
            message[name] = data[begin:end].decode("utf-8")
        except UnicodeDecodeError:
            raise WireError(f"{name} is not UTF-8") from None
    else:
        target: Message | None = None if kind == REPEATED else message[name]
        if target is None:
            target = {sub_name: _default(sub_kind) for sub_name, sub_kind, _ in _sub(sub).values()}
            if kind == REPEATED:
                message[name].append(target)
            else:
                message[name] = target
        _merge(_sub(sub), data, begin, end, target)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MAX_UINT64, at
        shift += 7
        if shift > 63:
            raise WireError("varint longer than ten bytes")
    raise WireError("varint is cut off")


def to_json_names(table: Table, message: Message) -> Message:
    """The same message in protobuf's JSON mapping: lowerCamelCase names. uint64 stays a number, which parsers accept."""
    result: Message = {}
    for name, kind, sub in table.values():
        value = message.get(name)
        if value is None:
            continue
        if kind == REPEATED:
            value = [to_json_names(_sub(sub), item) for item in value]
        elif kind == MESSAGE:
            value = to_json_names(_sub(sub), value)
        head, *rest = name.split("_")
        result[head + "".join([word.capitalize() for word in rest])] = value
    return result
