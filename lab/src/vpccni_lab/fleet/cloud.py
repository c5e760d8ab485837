"""EC2 as one node calls it: paced by eni-manager's token buckets, repeated by its retry rule, answered by the lab's model."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from vpccni_eni_manager.domain import bucket, ec2_errors, retry
from vpccni_eni_manager.domain.bucket import ApiClass, Bucket
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure
from vpccni_eni_manager.domain.model import Eni

from vpccni_lab.ec2 import records
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.fleet.virtual import Process, Simulation

# Seconds from the call to its answer: what the actions take from inside a Region, rounded up.
_LATENCY_S: Final = {
    "AssignPrivateIpAddresses": 0.4,
    "UnassignPrivateIpAddresses": 0.4,
    "CreateNetworkInterface": 0.6,
    "AttachNetworkInterface": 0.6,
    "DetachNetworkInterface": 0.4,
    "DeleteNetworkInterface": 0.4,
}
_OTHERS_S: Final = 0.15
_JITTER: Final = 0.2


class Caller:
    """What adapters/ec2_call.py is in a real node. ``fresh``: the bucket of a class as a node starts with it.

    ``calls``: (action, code) -> number, shared by all nodes.
    """

    def __init__(
        self,
        sim: Simulation,
        ec2: Ec2,
        name: str,
        rng: random.Random,
        calls: collections.Counter[tuple[str, str]],
        fresh: Callable[[ApiClass], Bucket] = bucket.fresh,
    ) -> None:
        self.sim = sim
        self.ec2 = ec2
        self.name = name
        self.rng = rng
        self._calls = calls
        self._fresh = fresh
        self._buckets: dict[ApiClass, Bucket] = {}

    def call(
        self, action: str, params: Mapping[str, Any], deadline: float, *, repeatable: bool = True
    ) -> Process[dict[str, Any]]:
        """One EC2 action. Raises Ec2Error as the real one does."""
        kind, attempt = bucket.api_class(action), 0
        while True:
            wait = self._turn(action, kind, deadline)
            latency = _LATENCY_S.get(action, _OTHERS_S) * self.rng.uniform(1 - _JITTER, 1 + _JITTER)
            yield wait + latency / 2
            attempt += 1
            reply = self.ec2.call(self.name, action, params)
            self._calls[action, reply.code] += 1
            yield latency / 2
            now = self.sim.now
            if reply.error is None:
                self._buckets[kind] = bucket.succeeded(self._buckets[kind], now)
                return dict(reply.result)
            error = _error(action, reply.error.code, reply.error.status, reply.error.message)
            if error.failure is Failure.THROTTLED:
                self._buckets[kind] = bucket.throttled(self._buckets[kind], now)
            choice = retry.decide(
                error.failure,
                attempt=attempt,
                repeatable=repeatable,
                time_left_s=deadline - now,
                random_unit=self.rng.random(),
            )
            if isinstance(choice, retry.GiveUp):
                raise error
            yield choice.delay_s

    def _turn(self, action: str, kind: ApiClass, deadline: float) -> float:
        """Takes a token; returns the seconds to wait for it. Raises Ec2Error when the deadline comes first."""
        now = self.sim.now
        held = self._buckets.get(kind) or bucket.refill(self._fresh(kind), now)
        taken, wait = bucket.take(held, now)
        if now + wait >= deadline:
            raise Ec2Error(action, "RequestLimitExceeded", Failure.THROTTLED, "paced beyond the deadline")
        self._buckets[kind] = taken
        return wait


def _error(action: str, code: str, status: int, message: str) -> Ec2Error:
    return Ec2Error(action, code, ec2_errors.failure_of(code, status), message)


def eni_of(record: records.Eni, **changes: Any) -> Eni:
    """The model's record as eni-manager's adapter would read it from a describe."""
    held = record.attachment
    values: dict[str, Any] = {
        "eni_id": record.id,
        "mac": record.mac,
        "device_number": held.device_index if held else 0,
        "network_card": held.network_card if held else 0,
        "subnet_id": record.subnet_id,
        "primary_ip": record.private_ip,
        "secondary_ips": record.secondary_ips,
        "ipv4_prefixes": record.prefixes,
        "tags": record.tags,
        "is_primary": held is not None and held.device_index == 0,
        "status": held.status if held else "available",
        "attached_unix_s": held.attach_time if held else 0.0,
        "attachment_id": held.id if held else "",
        "attached_to": record.instance_id,
        "description": record.description,
    }
    return Eni(**{**values, **changes})
