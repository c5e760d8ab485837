"""A token bucket per class of EC2 action, slowed down by throttle replies: many nodes share one account's limits.

EC2 throttles per account and region with buckets of its own (EC2 user guide, "Request throttling"); a node cannot see
them, only the replies. So: start generous, halve on every throttle reply, recover step by step with successes.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Final


class ApiClass(enum.StrEnum):
    """Actions that EC2 counts alike."""

    DESCRIBE = "describe"
    ENI = "eni"
    ADDRESS = "address"
    TAG = "tag"


_CLASSES: Final = {
    "AssignPrivateIpAddresses": ApiClass.ADDRESS,
    "UnassignPrivateIpAddresses": ApiClass.ADDRESS,
    "AssignIpv6Addresses": ApiClass.ADDRESS,
    "UnassignIpv6Addresses": ApiClass.ADDRESS,
    "CreateTags": ApiClass.TAG,
}


def api_class(api: str) -> ApiClass:
    """The bucket that pays for an action."""
    return ApiClass.DESCRIBE if api.startswith("Describe") else _CLASSES.get(api, ApiClass.ENI)


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """``rate`` tokens per second now, between ``floor`` and ``ceiling``; ``level`` at time ``updated``, at most ``burst``.

    A level below 0 means that calls have been let in on credit and wait for their turn.
    """

    rate: float
    floor: float
    ceiling: float
    burst: float
    level: float
    updated: float = 0.0


_SUCCESS_STEP: Final = 0.1  # share of the ceiling that a success gives back
# Chosen with the fleet simulation (docs/fleet.md). Down to KNEE calls/s a throttle reply halves the rate; from there it sinks
# slowly, so that a node which meets one acceptance in ten has its call through within an ADD's bound (50 s). FLOOR is for
# hours of throttling: 1,000 nodes that knock more often get no pod served sooner, they only drown the account in refusals.
KNEE: Final = 0.2
FLOOR: Final = 0.05
_THROTTLE_FACTOR: Final = 0.5
_SLOW_FACTOR: Final = 0.9


def fresh(kind: ApiClass) -> Bucket:
    """A node needs a few calls per minute; the burst lets a start-up or a large release through at once."""
    ceiling, burst = (10.0, 20.0) if kind is ApiClass.DESCRIBE else (5.0, 10.0)
    return Bucket(rate=ceiling, floor=FLOOR, ceiling=ceiling, burst=burst, level=burst)


def refill(bucket: Bucket, now: float) -> Bucket:
    """``now``: monotonic seconds."""
    gained = max(0.0, now - bucket.updated) * bucket.rate
    return dataclasses.replace(bucket, level=min(bucket.burst, bucket.level + gained), updated=now)


def take(bucket: Bucket, now: float) -> tuple[Bucket, float]:
    """Takes one token; returns the bucket and the seconds to wait before the call may go out (0 when there was one)."""
    full = refill(bucket, now)
    left = full.level - 1.0
    return dataclasses.replace(full, level=left), max(0.0, -left / full.rate)


def throttled(bucket: Bucket, now: float) -> Bucket:
    """After a throttle reply: half the rate (a tenth less where it is low already), nothing saved up."""
    full = refill(bucket, now)
    slower = max(KNEE, bucket.rate * _THROTTLE_FACTOR) if bucket.rate > KNEE else bucket.rate * _SLOW_FACTOR
    return dataclasses.replace(full, rate=max(bucket.floor, slower), level=min(full.level, 0.0))


def succeeded(bucket: Bucket, now: float) -> Bucket:
    """After an answer that was not a throttle reply: a step back towards the ceiling."""
    full = refill(bucket, now)
    return dataclasses.replace(full, rate=min(bucket.ceiling, bucket.rate + bucket.ceiling * _SUCCESS_STEP))
