"""Environment variables -> typed values, with every bad value reported at once.

A malformed value never takes a node down: it falls back to the default, as the original does, and the fall-back is
reported (log, metric, event). Only a combination that cannot work is an error; a service raises that itself
(``ReasonError(CONFIG_INVALID)``) after looking at all values. The same declarations are the source of
docs/configuration.md (checked by a test).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

# The seed's booleans are Go's strconv.ParseBool set; "TrUe" is malformed there, and so here.
TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclasses.dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One environment variable. ``parse`` raises ValueError with what is allowed; ``allowed`` and ``effect`` are for docs."""

    name: str
    kind: str
    default: T
    allowed: str
    effect: str
    parse: Callable[[str], T]
    malformed: str = "falls back to the default; reported in log, metric and event"


@dataclasses.dataclass(frozen=True, slots=True)
class BadValue:
    """A value that was not usable, and what stands in its place."""

    name: str
    value: str
    problem: str
    used: object

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: {self.problem}; using {self.used!r}"


class Values:
    """Parsed values by Setting, and the bad ones. ``values[SETTING]`` is typed by the setting."""

    def __init__(self, values: dict[str, object], bad: tuple[BadValue, ...], given: frozenset[str]) -> None:
        self._values = values
        self.bad = bad
        self.given = given

    def __getitem__(self, setting: Setting[T]) -> T:
        return self._values[setting.name]  # type: ignore[return-value]  # read() stored setting.parse's result

    def as_text(self) -> dict[str, str]:
        """For Inspect and the introspection pages."""
        return {name: str(value) for name, value in sorted(self._values.items())}


def read(settings: Iterable[Setting[Any]], environ: Mapping[str, str]) -> Values:
    """Parses all settings. Unset or empty: the default. Malformed: the default, and a BadValue."""
    values: dict[str, object] = {}
    bad: list[BadValue] = []
    given: set[str] = set()
    for setting in settings:
        raw = environ.get(setting.name, "")
        if not raw.strip():
            values[setting.name] = setting.default
            continue
        given.add(setting.name)
        try:
            values[setting.name] = setting.parse(raw.strip())
        except ValueError as error:
            values[setting.name] = setting.default
            bad.append(BadValue(setting.name, raw, str(error), setting.default))
    return Values(values, tuple(bad), frozenset(given))


def boolean(name: str, default: bool, effect: str) -> Setting[bool]:
    def parse(raw: str) -> bool:
        if raw in TRUE:
            return True
        if raw in FALSE:
            return False
        raise ValueError("not a boolean; allowed: true, false")

    return Setting(
        name, "Boolean as a String", default, "true, false (1, t, T, TRUE, True, 0, f, F, FALSE, False)", effect, parse
    )


def integer(
    name: str, default: int, effect: str, *, low: int, high: int, clamp_low_to: int | None = None
) -> Setting[int]:
    """``clamp_low_to``: values below ``low`` mean this instead of being malformed (the seed's "non-positive is unset")."""

    def parse(raw: str) -> int:
        try:
            number = int(raw, 10)
        except ValueError:
            raise ValueError(f"not an integer; allowed: {low} to {high}") from None
        if number < low and clamp_low_to is not None:
            return clamp_low_to
        if not low <= number <= high:
            raise ValueError(f"out of range; allowed: {low} to {high}")
        return number

    return Setting(name, "Integer as a String", default, f"{low} to {high}", effect, parse)


def text(name: str, default: str, effect: str, *, allowed: str = "any text") -> Setting[str]:
    return Setting(name, "String", default, allowed, effect, lambda raw: raw)


def choice(name: str, default: str, options: tuple[str, ...], effect: str, *, fold_case: bool = False) -> Setting[str]:
    def parse(raw: str) -> str:
        for option in options:
            if raw == option or (fold_case and raw.lower() == option.lower()):
                return option
        raise ValueError(f"not one of: {', '.join(options)}")

    return Setting(name, "String", default, ", ".join(options), effect, parse)


def ipv4_cidrs(name: str, effect: str) -> Setting[tuple[str, ...]]:
    """Comma-separated IPv4 CIDRs, normalised; bad items are skipped (seed, EXCLUDE_SNAT_CIDRS) — see ``bad_cidrs``."""

    def parse(raw: str) -> tuple[str, ...]:
        return tuple(str(net) for item in raw.split(",") if (net := _ipv4_network(item)))

    return Setting(
        name, "String", (), "comma-separated IPv4 CIDRs", effect, parse, "bad items are skipped and reported"
    )


def _ipv4_network(item: str) -> ipaddress.IPv4Network | None:
    if "/" not in item:
        return None
    try:
        return ipaddress.IPv4Network(item.strip(), strict=False)
    except ValueError:
        return None


def bad_cidrs(name: str, environ: Mapping[str, str]) -> tuple[BadValue, ...]:
    """The items of a CIDR list that ``ipv4_cidrs`` skipped."""
    items = [item for item in environ.get(name, "").split(",") if item.strip()]
    return tuple(
        BadValue(name, item, "not an IPv4 CIDR, skipped", None) for item in items if _ipv4_network(item) is None
    )


def json_tags(name: str, effect: str) -> Setting[tuple[tuple[str, str], ...]]:
    """A JSON object of strings (seed, ADDITIONAL_ENI_TAGS). Keys over 128 or values over 256 characters are malformed."""

    def parse(raw: str) -> tuple[tuple[str, str], ...]:
        try:
            found = json.loads(raw)
        except ValueError as error:
            raise ValueError(f"not JSON ({error}); allowed: an object of strings") from None
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise ValueError("not a JSON object of strings")
        for key, value in found.items():
            if not 1 <= len(key) <= 128 or len(value) > 256:
                raise ValueError(f"tag {key[:20]!r}: keys have 1 to 128 and values at most 256 characters")
        return tuple(found.items())

    return Setting(name, "String", (), 'JSON object, e.g. {"tag_key": "tag_val"}', effect, parse)


def as_table(settings: Iterable[Setting[Any]]) -> list[tuple[str, str, str, str, str, str]]:
    """Rows (name, type, default, allowed, effect, malformed) for docs/configuration.md."""
    return [(s.name, s.kind, _shown(s.default), s.allowed, s.effect, s.malformed) for s in settings]


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "empty" if default in ("", ()) else str(default)
