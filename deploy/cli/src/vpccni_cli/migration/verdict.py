"""What becomes of one thing of the original."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any


class Outcome(enum.StrEnum):
    """SAME: same name, same meaning. MAPPED: same effect by another way, or needs nothing. REFUSED: cannot be carried over."""

    SAME = "same"
    MAPPED = "mapped"
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """``subject``: as the original has it, with its value. ``values``: what it adds to our values, possibly nothing."""

    subject: str
    outcome: Outcome
    why: str
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def same(subject: str, why: str = "", **values: Any) -> Verdict:
    return Verdict(subject, Outcome.SAME, why, values)


def mapped(subject: str, why: str, **values: Any) -> Verdict:
    return Verdict(subject, Outcome.MAPPED, why, values)


def refused(subject: str, why: str) -> Verdict:
    return Verdict(subject, Outcome.REFUSED, why)
