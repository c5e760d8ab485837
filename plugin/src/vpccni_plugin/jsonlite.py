"""JSON (RFC 8259) for one small document: strict, bounded, with the position in every complaint.

``json`` of the standard library needs ``re`` and ``codecs``: more start-up time than the rest of the plugin together.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None

MAX_DEPTH = 64
_MAX_NUMBER = 400  # characters; a longer literal is not a number that anyone meant
_WHITESPACE = " \t\n\r"
_DIGITS = "0123456789"
_HEX = "0123456789abcdefABCDEF"
_PLAIN_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ENCODE_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LITERALS = (("true", True), ("false", False), ("null", None))


class JsonError(ValueError):
    """The text is not JSON; the message ends with the position."""


def loads(data: bytes) -> Json:
    """The value of one document in UTF-8. Raises JsonError. A lone surrogate escape becomes U+FFFD, as in Go."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise JsonError(f"not UTF-8 at byte {exc.start}") from None
    # The sentinel is no JSON character, so that the parser may look one character ahead without a length check.
    source = text + "\0"
    value, end = _value(source, _skip(source, 0), 0)
    end = _skip(source, end)
    if end != len(text):
        raise _error(source, end, "unexpected text after the value")
    return value


def _error(source: str, at: int, what: str) -> JsonError:
    length = len(source) - 1  # without the sentinel
    if at >= length:
        return JsonError(f"{what}: the text ends at character {length}")
    line = source.count("\n", 0, at) + 1
    column = at - source.rfind("\n", 0, at)
    return JsonError(f"{what} at line {line} column {column}: {source[at : min(at + 12, length)]!r}")


def _skip(source: str, at: int) -> int:
    while source[at] in _WHITESPACE:
        at += 1
    return at


def _value(source: str, at: int, depth: int) -> tuple[Json, int]:
    first = source[at]
    if first == '"':
        return _string(source, at + 1)
    if first == "{":
        return _object(source, at + 1, depth + 1)
    if first == "[":
        return _array(source, at + 1, depth + 1)
    if first in "-0123456789":
        return _number(source, at)
    for word, value in _LITERALS:
        if source.startswith(word, at):
            return value, at + len(word)
    raise _error(source, at, "expected a value")


def _object(source: str, at: int, depth: int) -> tuple[Json, int]:
    if depth > MAX_DEPTH:
        raise _error(source, at - 1, f"nested deeper than {MAX_DEPTH}")
    result: dict[str, Json] = {}
    at = _skip(source, at)
    if source[at] == "}":
        return result, at + 1
    while True:
        if source[at] != '"':
            raise _error(source, at, 'expected a key in "')
        key, at = _string(source, at + 1)
        at = _skip(source, at)
        if source[at] != ":":
            raise _error(source, at, "expected ':'")
        result[key], at = _value(source, _skip(source, at + 1), depth)
        at = _skip(source, at)
        if source[at] == "}":
            return result, at + 1
        if source[at] != ",":
            raise _error(source, at, "expected ',' or '}'")
        at = _skip(source, at + 1)


def _array(source: str, at: int, depth: int) -> tuple[Json, int]:
    if depth > MAX_DEPTH:
        raise _error(source, at - 1, f"nested deeper than {MAX_DEPTH}")
    result: list[Json] = []
    at = _skip(source, at)
    if source[at] == "]":
        return result, at + 1
    while True:
        value, at = _value(source, at, depth)
        result.append(value)
        at = _skip(source, at)
        if source[at] == "]":
            return result, at + 1
        if source[at] != ",":
            raise _error(source, at, "expected ',' or ']'")
        at = _skip(source, at + 1)


def _string(source: str, at: int) -> tuple[str, int]:
    """The string that starts at ``at`` (after its quote), and the position after its closing quote."""
    end = source.find('"', at)
    if end >= 0:
        chunk = source[at:end]
        if "\\" not in chunk and chunk.isprintable():
            return chunk, end + 1
    parts: list[str] = []
    begin = at
    while True:
        char = source[at]
        if char == '"':
            parts.append(source[begin:at])
            return "".join(parts), at + 1
        if char == "\\":
            parts.append(source[begin:at])
            piece, at = _escape(source, at)
            parts.append(piece)
            begin = at
        elif char < " ":
            raise _error(source, at, "control character or end inside a string")
        else:
            at += 1


def _escape(source: str, at: int) -> tuple[str, int]:
    """``at`` is the position of the backslash."""
    kind = source[at + 1]
    plain = _PLAIN_ESCAPES.get(kind)
    if plain is not None:
        return plain, at + 2
    if kind != "u":
        raise _error(source, at, "unknown escape")
    unit = _hex4(source, at + 2)
    at += 6
    if 0xD800 <= unit < 0xDC00 and source[at] == "\\" and source[at + 1] == "u":
        low = _hex4(source, at + 2)
        if 0xDC00 <= low < 0xE000:
            return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), at + 6
    if 0xD800 <= unit < 0xE000:
        return "\ufffd", at
    return chr(unit), at


def _hex4(source: str, at: int) -> int:
    digits = source[at : at + 4]
    for index in range(4):
        if index >= len(digits) or digits[index] not in _HEX:
            raise _error(source, at + index, "expected four hexadecimal digits")
    return int(digits, 16)


def _number(source: str, at: int) -> tuple[int | float, int]:
    begin = at
    if source[at] == "-":
        at += 1
    integer = at
    at = _digits(source, at)
    if source[integer] == "0" and at - integer > 1:
        raise _error(source, begin, "number with a leading zero")
    is_float = False
    if source[at] == ".":
        is_float = True
        at = _digits(source, at + 1)
    if source[at] in "eE":
        is_float = True
        at += 1
        if source[at] in "+-":
            at += 1
        at = _digits(source, at)
    if at - begin > _MAX_NUMBER:
        raise _error(source, begin, f"number of more than {_MAX_NUMBER} characters")
    if not is_float:
        return int(source[begin:at]), at
    number = float(source[begin:at])
    if number in (float("inf"), float("-inf")):
        raise _error(source, begin, "number out of range")
    return number, at


def _digits(source: str, at: int) -> int:
    begin = at
    while source[at] in _DIGITS:
        at += 1
    if at == begin:
        raise _error(source, at, "expected a digit")
    return at


def dumps(value: Json) -> str:
    """Compact JSON text; keys in the order of the mapping. Strings must be encodable in UTF-8, floats finite."""
    if isinstance(value, str):
        return _quote(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join([_quote(key) + ":" + dumps(item) for key, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([dumps(item) for item in value]) + "]"
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _quote(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:
        return '"' + text + '"'
    parts: list[str] = []
    for char in text:
        plain = _ENCODE_ESCAPES.get(char)
        if plain is not None:
            parts.append(plain)
        elif char < " ":
            parts.append(f"\\u{ord(char):04x}")
        else:
            parts.append(char)
    return '"' + "".join(parts) + '"'
