"""Faults: what goes wrong on purpose, as data that can be set, listed and cleared while the lab runs.

A fault is a row: a kind, a scope (which actions or IMDS paths, which callers, which subnets), how many calls it still
acts on, when it expires, and the kind's own figures. The table is asked per call; it keeps the counters and buckets.
"""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
import math
from collections.abc import Iterable, Mapping
from typing import Any


class Kind(enum.StrEnum):
    """The figures each kind uses are named in brackets; all times in seconds."""

    THROTTLE = "throttle"  # [rate, burst] token bucket per second, or [one_in] accepts 1 in N; [per_caller, per_action]
    ERROR = "error"  # [code, message, status] EC2 answers this error; for IMDS [status]
    TIMEOUT = "timeout"  # [seconds] accepted, no answer for that long, then the connection is cut; [executes]
    RESET = "reset"  # the connection is cut at once; [executes]
    DELAY = "delay"  # [seconds] the call is executed, its answer comes late
    DENY = "deny"  # UnauthorizedOperation
    SUBNET_FULL = "subnet-full"  # InsufficientFreeAddressesInSubnet
    NO_PREFIX = "no-prefix"  # no aligned block is left: InsufficientCidrBlocks
    ATTACH_DELAY = "attach-delay"  # [seconds] attaching takes this long
    ATTACH_STUCK = "attach-stuck"  # stays attaching for as long as the fault is set
    DETACH_DELAY = "detach-delay"  # [seconds] detaching takes this long
    DESCRIBE_STALE = "describe-stale"  # [seconds] describe calls show ENIs as they were that long ago
    IMDS_STALE = "imds-stale"  # [seconds] IMDS shows the state of that long ago
    IMDS_ERROR = "imds-error"  # [status] IMDS answers this status
    IMDS_TIMEOUT = "imds-timeout"  # [seconds]


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """``actions``: shell patterns on EC2 action names (or IMDS paths); empty: all. ``callers``, ``subnets`` likewise.

    ``per_caller``, ``per_action``: a bucket for each instead of a shared one.
    ``count``: calls it still acts on, None: no end. ``expires``: time of the model's clock, None: never.
    """

    kind: Kind
    actions: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    count: int | None = None
    expires: float | None = None
    seconds: float = 0.0
    code: str = ""
    message: str = ""
    status: int = 500
    rate: float = 0.0
    burst: float = 1.0
    one_in: int = 0
    per_caller: bool = False
    per_action: bool = False
    executes: bool = False
    id: str = ""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(f"fault {self.kind}: {problem}")

    def _problem(self) -> str:
        if self.seconds < 0 or math.isnan(self.seconds):
            return f"seconds = {self.seconds}: 0 or more is allowed"
        if self.count is not None and self.count < 1:
            return f"count = {self.count}: 1 or more is allowed"
        if not 400 <= self.status <= 599:
            return f"status = {self.status}: 400 to 599 is allowed"
        if self.kind == Kind.THROTTLE:
            if not self.one_in and not (self.rate >= 0 and self.burst >= 1):
                return f"rate = {self.rate}, burst = {self.burst}: rate of 0 or more with burst of 1 or more, or one_in"
            if self.one_in < 0:
                return f"one_in = {self.one_in}: 1 or more is allowed"
        return ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fault:
        """Raises ValueError naming the key or value that is wrong."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"fault: unknown key {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        if data.get("kind") not in list(Kind):
            raise ValueError(f"fault: kind = {data.get('kind')!r}; one of {', '.join(Kind)} is allowed")
        values: dict[str, Any] = dict(data)
        values["kind"] = Kind(data["kind"])
        for name in ("actions", "callers", "subnets"):
            value = data.get(name, ())
            values[name] = (value,) if isinstance(value, str) else tuple(value)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Only what differs from the default, ready for JSON."""
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                out[field.name] = list(value) if isinstance(value, tuple) else value
        out["kind"] = str(self.kind)
        return out


def _matches(patterns: tuple[str, ...], values: Iterable[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)


@dataclasses.dataclass(slots=True)
class _Row:
    fault: Fault
    left: int | None
    acted: int = 0
    seen: int = 0
    buckets: dict[tuple[str, str], tuple[float, float]] = dataclasses.field(
        default_factory=dict
    )  # (caller, action) -> (tokens, as of)


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Who asks for what: ``callers`` are the names one client goes by (node name, instance id)."""

    callers: tuple[str, ...]
    action: str
    subnet: str = ""


class FaultTable:
    """The faults that stand. Not thread safe, as the rest of the model."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._made = 0

    def add(self, fault: Fault | Mapping[str, Any]) -> str:
        """Returns the fault's id (its own, or a new one). Raises ValueError."""
        row = fault if isinstance(fault, Fault) else Fault.from_dict(fault)
        self._made += 1
        name = row.id or f"fault-{self._made}"
        if name in self._rows:
            raise ValueError(f"fault id {name!r} is in use")
        self._rows[name] = _Row(dataclasses.replace(row, id=name), row.count)
        return name

    def remove(self, fault_id: str) -> None:
        """Raises ValueError for an unknown id."""
        if self._rows.pop(fault_id, None) is None:
            raise ValueError(f"fault id {fault_id!r} is not set; set: {', '.join(self._rows) or 'none'}")

    def clear(self) -> None:
        self._rows.clear()

    def to_list(self) -> list[dict[str, Any]]:
        """Each fault as a dict, with ``acted`` (how often it did) and ``left`` (None: no end)."""
        return [{**row.fault.to_dict(), "acted": row.acted, "left": row.left} for row in self._rows.values()]

    def __len__(self) -> int:
        return len(self._rows)

    def _standing(self, kind: Kind, scope: Scope, now: float) -> Iterable[_Row]:
        for name, row in list(self._rows.items()):
            fault = row.fault
            if fault.expires is not None and now >= fault.expires:
                del self._rows[name]
                continue
            if (
                fault.kind == kind
                and row.left != 0
                and _matches(fault.actions, (scope.action,))
                and _matches(fault.callers, scope.callers)
                and (not fault.subnets or _matches(fault.subnets, (scope.subnet,)))
            ):
                yield row

    def find(self, kind: Kind, scope: Scope, now: float) -> Fault | None:
        """The first fault of this kind that applies, counted as having acted."""
        if not self._rows:
            return None
        for row in self._standing(kind, scope, now):
            if kind == Kind.THROTTLE and self._admits(row, scope, now):
                continue
            row.acted += 1
            if row.left is not None:
                row.left -= 1
            return row.fault
        return None

    def is_set(self, fault_id: str, now: float) -> bool:
        """Whether this fault is there and has not expired (its count may be used up)."""
        row = self._rows.get(fault_id)
        return row is not None and (row.fault.expires is None or now < row.fault.expires)

    def _admits(self, row: _Row, scope: Scope, now: float) -> bool:
        fault = row.fault
        row.seen += 1
        if fault.one_in:
            return row.seen % fault.one_in == 0
        key = (scope.callers[0] if fault.per_caller and scope.callers else "", scope.action if fault.per_action else "")
        tokens, as_of = row.buckets.get(key, (fault.burst, now))
        tokens = min(fault.burst, tokens + (now - as_of) * fault.rate)
        admitted = tokens >= 1
        row.buckets[key] = (tokens - 1 if admitted else tokens, now)
        return admitted


_MUTATING: tuple[str, ...] = (
    "Allocate*",
    "Ass*",
    "Attach*",
    "Authorize*",
    "Create*",
    "Delete*",
    "Detach*",
    "Dis*",
    "Modify*",
)
_MUTATING += ("Re*", "Run*", "Terminate*", "Unassign*")

# What EC2 grants an account per Region and API by default (EC2 developer guide, "Request throttling"): bucket of 100
# refilled by 20/s for calls that only look, of 50 by 5/s for those that change. A real account may have more by now.
ACCOUNT_LIMITS = (
    Fault(Kind.THROTTLE, ("Describe*", "Get*"), rate=20, burst=100, per_action=True, id="account-describe"),
    Fault(Kind.THROTTLE, _MUTATING, rate=5, burst=50, per_action=True, id="account-change"),
)
