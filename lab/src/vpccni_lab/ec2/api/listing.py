"""What all describe calls share: ids, filters and pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from vpccni_lab.ec2 import errors
from vpccni_lab.ec2.api.params import Params, strings
from vpccni_lab.ec2.records import Tags

R = TypeVar("R")
Getters = Mapping[str, Callable[[R], Sequence[str]]]
_MAX_FILTER_VALUES = 200


def yes_no(value: bool) -> tuple[str]:
    return ("true" if value else "false",)


def _pattern(value: str) -> re.Pattern[str]:
    """EC2's wildcards: * and ?, a backslash takes away their meaning; case counts."""
    out, escaped = "", False
    for char in value:
        if escaped:
            out, escaped = out + re.escape(char), False
        elif char == "\\":
            escaped = True
        else:
            out += {"*": ".*", "?": "."}.get(char) or re.escape(char)
    return re.compile(out, re.DOTALL)


def filtered(records: Sequence[R], params: Params, getters: Getters[R], tags: Callable[[R], Tags] | None) -> list[R]:
    """Records that match every filter (any of its values). Raises Ec2Error for a filter the call does not have."""
    kept = list(records)
    for item in params.get("Filters") or ():
        name = str(item.get("Name", ""))
        values = [str(value) for value in item.get("Values") or ()]
        if len(values) > _MAX_FILTER_VALUES:
            raise errors.Ec2Error("FilterLimitExceeded", f"The maximum number of filter values is {_MAX_FILTER_VALUES}")
        getter = _getter(name, getters, tags)
        patterns = [_pattern(value) for value in values]
        kept = [record for record in kept if any(p.fullmatch(v) for v in getter(record) for p in patterns)]
    return kept


def _getter(name: str, getters: Getters[R], tags: Callable[[R], Tags] | None) -> Callable[[R], Sequence[str]]:
    if name in getters:
        return getters[name]
    if tags is not None:
        of = tags
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return lambda record: (of(record)[key],) if key in of(record) else ()
        if name == "tag-key":
            return lambda record: tuple(of(record))
        if name == "tag-value":
            return lambda record: tuple(of(record).values())
    raise errors.invalid_value(f"The filter '{name}' is invalid")


def picked(
    params: Params,
    parameter: str,
    lookup: Callable[[str], R | None],
    everything: Callable[[], list[R]],
    missing: Callable[[Sequence[str]], errors.Ec2Error],
) -> list[R]:
    """Those that the call names by id, or all. An unknown id raises what ``missing`` makes of it."""
    wanted = tuple(dict.fromkeys(strings(params, parameter)))
    if not wanted:
        return everything()
    if params.get("MaxResults") is not None:
        raise errors.combination(f"The parameter {parameter} cannot be used with the parameter MaxResults")
    found = {name: lookup(name) for name in wanted}
    unknown = [name for name, record in found.items() if record is None]
    if unknown:
        raise missing(unknown)
    return [record for record in found.values() if record is not None]


def page(
    records: list[R], params: Params, key: Callable[[R], str], low: int = 5, high: int = 1000
) -> tuple[list[R], str | None]:
    """One page, in order of id, and the token of the next (None: this is the last). Without MaxResults: all."""
    asked, token = params.get("MaxResults"), params.get("NextToken")
    if asked is None and not token:
        return records, None
    size = high if asked is None else int(asked)
    if not low <= size <= high:
        bound = f"greater than {low}" if size < low else f"less than {high}"
        raise errors.invalid_value(f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {bound}.")
    ordered = sorted(records, key=key)
    if token:
        after = _decode(str(token))
        ordered = [record for record in ordered if key(record) > after]
    if len(ordered) <= size:
        return ordered, None
    return ordered[:size], _encode(key(ordered[size - 1]))


def _encode(last: str) -> str:
    return base64.urlsafe_b64encode(f"after:{last}".encode()).decode()


def _decode(token: str) -> str:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not text.startswith("after:"):
        raise errors.Ec2Error("InvalidNextToken", f"The specified token '{token}' is invalid.")
    return text.removeprefix("after:")
