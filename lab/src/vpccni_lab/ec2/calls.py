"""The log of API calls, bounded, and counters that are not."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

_KEPT: Final = 10_000
_SUMMARY_CHARS: Final = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """``time``: model clock at arrival; ``code``: "OK" or EC2's error code; ``duration``: seconds until answered."""

    time: float
    caller: str
    action: str
    parameters: str
    code: str
    duration: float
    request_id: str


def summarise(params: Mapping[str, Any]) -> str:
    """``Key=value`` pairs on one line, nested values in their Python form, cut to 200 characters."""
    text = " ".join(f"{key}={value}" for key, value in params.items() if key != "DryRun" or value)
    return text if len(text) <= _SUMMARY_CHARS else text[: _SUMMARY_CHARS - 1] + "…"


class CallLog:
    """``counts``: (caller, action, code) -> number since the start or the last ``reset``."""

    def __init__(self, keep: int = _KEPT) -> None:
        self._calls: collections.deque[Call] = collections.deque(maxlen=keep)
        self.counts: collections.Counter[tuple[str, str, str]] = collections.Counter()

    def add(self, call: Call) -> None:
        self._calls.append(call)
        self.counts[call.caller, call.action, call.code] += 1

    def recent(self, count: int = 100, *, caller: str = "", action: str = "", since: float = 0.0) -> list[Call]:
        """The newest ``count`` calls, oldest first."""
        found = [
            call
            for call in self._calls
            if call.time >= since and caller in ("", call.caller) and action in ("", call.action)
        ]
        return found[-count:] if count else []

    def by_action(self, caller: str = "") -> dict[str, int]:
        """Number of calls per action, IMDS excluded (its log is its own)."""
        total: collections.Counter[str] = collections.Counter()
        for (who, action, _), number in self.counts.items():
            if caller in ("", who):
                total[action] += number
        return dict(sorted(total.items()))

    def total(self, *, caller: str = "", action: str = "", code: str = "") -> int:
        return sum(
            number
            for (who, what, result), number in self.counts.items()
            if caller in ("", who) and action in ("", what) and code in ("", result)
        )

    def reset(self) -> None:
        self._calls.clear()
        self.counts.clear()
