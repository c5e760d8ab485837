"""Regular expressions (the common part of Python, RE2 and ECMA-262) for the values that a Setting accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4_CIDR: Final = rf"{OCTET}(\.{OCTET}){{3}}/(3[0-2]|[12]?[0-9])"
IPV4_CIDR_LIST: Final = rf"^\s*({IPV4_CIDR}\s*)?(,\s*({IPV4_CIDR}\s*)?)*$"
INTEGER: Final = "^[+-]?[0-9]+$"
# The four digits are written out: RE2 multiplies nested repetitions, and allows 1000.
_HEX: Final = "[0-9a-fA-F]"
_CHARACTER: Final = rf'([^"\\\x00-\x1f]|\\(["\\/bfnrt]|u{_HEX}{_HEX}{_HEX}{_HEX}))'


def json_strings(key_least: int | None = None, key_most: int | None = None, value_most: int | None = None) -> str:
    """A flat JSON object whose values are strings, with the given lengths of keys and values in characters."""
    key = "*" if key_most is None else f"{{{key_least},{key_most}}}"
    value = "*" if value_most is None else f"{{0,{value_most}}}"
    pair = rf'"{_CHARACTER}{key}"\s*:\s*"{_CHARACTER}{value}"\s*'
    return rf"^\s*\{{\s*({pair}(,\s*{pair})*)?\}}\s*$"


def words(options: Iterable[str], *, fold_case: bool = False) -> str:
    """Exactly one of these."""

    def folded(word: str) -> str:
        return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else re.escape(c) for c in word)

    return f"^({'|'.join(folded(word) if fold_case else re.escape(word) for word in options)})$"


def between(low: int, high: int, *, below_too: bool = False) -> str:
    """As ``int`` reads it:  ``low`` to ``high`` (0 <= low <= high). ``below_too``: anything lower is fine as well, negative numbers included."""
    if below_too:
        return f"^(-[0-9]+|\\+?0*({decimal(0, high)}))$"
    zero = "|-0+" if low == 0 else ""  # int("-0") is 0
    return f"^(\\+?0*({decimal(low, high)}){zero})$"


def decimal(low: int, high: int) -> str:
    """Alternatives for ``low`` to ``high`` without sign or leading zeros."""
    return "|".join(_range(low, high))


def _range(low: int, high: int) -> list[str]:
    """Alternatives for low..high without leading zeros, by splitting at powers of ten."""
    parts: list[str] = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (digits - 1) if digits > 1 else 0)
        last = min(high, 10**digits - 1)
        if first <= last:
            parts += _same_length(str(first), str(last))
    return parts


def _same_length(low: str, high: str) -> list[str]:
    """Alternatives for low..high, both with the same number of digits."""
    if low == high:
        return [low]
    if len(low) == 1:
        return [_digit(low, high)]
    rest = len(low) - 1
    if low[0] == high[0]:
        return [low[0] + part for part in _same_length(low[1:], high[1:])]
    parts: list[str] = []
    first, last = int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        parts += [low[0] + part for part in _same_length(low[1:], "9" * rest)]
        first += 1
    tail: list[str] = []
    if high[1:] != "9" * rest:
        tail = [high[0] + part for part in _same_length("0" * rest, high[1:])]
        last -= 1
    if first <= last:
        parts.append(_digit(str(first), str(last)) + _any(rest))
    return parts + tail


def _digit(low: str, high: str) -> str:
    return low if low == high else f"[{low}-{high}]"


def _any(count: int) -> str:
    return "[0-9]" if count == 1 else f"[0-9]{{{count}}}"
