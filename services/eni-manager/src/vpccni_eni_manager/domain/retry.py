"""Whether a failed EC2 call is made again, and when. The only retry of EC2 calls there is: the SDK's is off."""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_eni_manager.domain.ec2_errors import Failure

BASE_S: Final = 0.2
CAP_S: Final = 3.0
MAX_CONNECTION_TRIES: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Again:
    """Wait ``delay_s`` seconds, then call again."""

    delay_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class GiveUp:
    """The failure stands."""


def decide(
    failure: Failure, *, attempt: int, repeatable: bool, time_left_s: float, random_unit: float
) -> Again | GiveUp:
    """``attempt``: calls made so far, >= 1. ``repeatable``: doing it twice does no harm. ``random_unit`` in [0, 1).

    Throttled calls are repeated as long as the deadline allows: the account's limit recovers by itself. Lost connections
    and server errors a few times only, and after an uncertain one only if repeating does no harm. Delays: full jitter,
    0.2 s doubled up to 3 s (AWS Architecture Blog, "Exponential backoff and jitter").
    """
    if failure is Failure.REFUSED:
        return GiveUp()
    if failure is Failure.UNCERTAIN and not repeatable:
        return GiveUp()
    if failure is not Failure.THROTTLED and attempt >= MAX_CONNECTION_TRIES:
        return GiveUp()
    delay = min(CAP_S, BASE_S * 2.0 ** min(attempt - 1, 10)) * random_unit
    return Again(delay) if delay < time_left_s else GiveUp()
