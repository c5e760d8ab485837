"""Leaked ENIs: made by a CNI daemon of this cluster, attached to nothing. Which may be deleted (rules as the original's)."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Iterable
from typing import Final

from vpccni_eni_manager.domain.model import Eni
from vpccni_eni_manager.domain.tags import CREATED_AT_TAG, DESCRIPTION_PREFIX, parse_rfc3339

# Another node may be between its create and its attach.
MIN_AGE_S: Final = 300.0


class Verdict(enum.Enum):
    KEEP = "keep"
    STAMP = "stamp"  # no usable creation time: write one now, judge it next time
    DELETE = "delete"


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    eni: Eni
    verdict: Verdict
    why: str


def judge(enis: Iterable[Eni], now_unix_s: float, in_our_hands: Collection[str]) -> tuple[Judged, ...]:
    """``enis``: unattached ones that carry the instance_id tag. ``in_our_hands``: ids that our own journal still works on.

    A creation time that cannot be read is overwritten and judged next time (the original deletes such an ENI at once).
    """
    return tuple(_judge_one(eni, now_unix_s, in_our_hands) for eni in enis)


def _judge_one(eni: Eni, now_unix_s: float, in_our_hands: Collection[str]) -> Judged:
    if eni.status != "available":
        return Judged(eni, Verdict.KEEP, f"status {eni.status}")
    if not eni.description.startswith(DESCRIPTION_PREFIX):
        return Judged(eni, Verdict.KEEP, "description is not ours")
    if eni.eni_id in in_our_hands:
        return Judged(eni, Verdict.KEEP, "being worked on by this node")
    created = parse_rfc3339(eni.tags.get(CREATED_AT_TAG, ""))
    if created is None:
        return Judged(eni, Verdict.STAMP, f"no readable tag {CREATED_AT_TAG}")
    age = now_unix_s - created
    if age < MIN_AGE_S:
        return Judged(eni, Verdict.KEEP, f"{age:.0f} s old, less than {MIN_AGE_S:.0f} s")
    return Judged(eni, Verdict.DELETE, f"{age:.0f} s old and attached to nothing")
