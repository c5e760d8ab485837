"""How an EC2 call is made: paced by the bucket of its class, in a thread, retried by us alone, measured, traced."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_eni_manager.adapters.metrics import AwsMetrics
from vpccni_eni_manager.domain import bucket, retry
from vpccni_eni_manager.domain.bucket import ApiClass, Bucket, api_class
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure

log = logging.getLogger(__name__)
Answer = dict[str, Any]


class Transport(Protocol):
    """One attempt, blocking. Raises Ec2Error."""

    def attempt(self, api: str, params: Mapping[str, Any]) -> Answer: ...


@dataclasses.dataclass(slots=True)
class ApiCount:
    """Of one EC2 action since the start. ``calls``: attempts. ``errors``: throttle replies included."""

    calls: int = 0
    errors: int = 0
    throttled: int = 0


class Ec2Caller:
    """Owns pacing and retries. ``on_outcome`` hears of every final outcome (None: success), for the health board."""

    def __init__(
        self,
        transport: Transport,
        threads: ThreadPoolExecutor,
        clock: Clock,
        metrics: AwsMetrics,
        on_outcome: Callable[[Ec2Error | None], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._threads = threads
        self._clock = clock
        self._metrics = metrics
        self._on_outcome = on_outcome
        self._buckets = {kind: bucket.refill(bucket.fresh(kind), clock.monotonic()) for kind in ApiClass}
        self.counts: collections.defaultdict[str, ApiCount] = collections.defaultdict(ApiCount)

    def buckets(self) -> dict[ApiClass, Bucket]:
        """As they stand now."""
        now = self._clock.monotonic()
        return {kind: bucket.refill(found, now) for kind, found in self._buckets.items()}

    async def try_once(self, api: str, params: Mapping[str, Any], deadline: float) -> Ec2Error | None:
        """A request that EC2 is sure to refuse: what it answers is no news of EC2's health, and no error to count."""
        with telemetry.span(f"ec2.{api}", client=True, attributes={**_about(api), "ec2.dry_run": "true"}) as span:
            try:
                await self._wait_for_turn(api, deadline, span)
                self._metrics.requests.labels(api).inc()
                self.counts[api].calls += 1
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._threads, self._transport.attempt, api, params)
            except Ec2Error as error:
                _end(span, error.request_id, 1)
                if error.failure is Failure.THROTTLED:
                    self._throttled(error, 1, span)
                return error
            _end(span, str(answer.get("ResponseMetadata", {}).get("RequestId", "")), 1)
            return None

    async def call(self, api: str, params: Mapping[str, Any], deadline: float, *, repeatable: bool = True) -> Answer:
        """One EC2 action. ``repeatable``: sending it twice does no harm. Raises Ec2Error, at the deadline at the latest.

        A request that is on the wire is not abandoned: its answer is awaited even past the deadline (at most the HTTP
        timeout), because it may have changed something.
        """
        with telemetry.span(f"ec2.{api}", client=True, attributes=_about(api)) as span:
            attempt = 0
            last: Ec2Error | None = None
            while True:
                try:
                    await self._wait_for_turn(api, deadline, span)
                except Ec2Error as late:
                    raise await self._failed(last or late, attempt, span) from late
                attempt += 1
                try:
                    answer = await self._attempt(api, params)
                except Ec2Error as error:
                    last = _still_uncertain(error, last)
                    choice = self._after_failure(error, attempt, repeatable, deadline, span)
                    if isinstance(choice, retry.GiveUp):
                        raise await self._failed(last, attempt, span) from error
                    await asyncio.sleep(choice.delay_s)
                    continue
                self._change_bucket(api, bucket.succeeded)
                _end(span, str(answer.get("ResponseMetadata", {}).get("RequestId", "")), attempt)
                if api == "DescribeSubnets":
                    self._show_subnets(answer)
                await self._on_outcome(None)
                return answer

    def _show_subnets(self, answer: Answer) -> None:
        for subnet in answer.get("Subnets") or ():
            zone, free = subnet.get("AvailabilityZone", ""), subnet.get("AvailableIpAddressCount", 0)
            self._metrics.subnet_free.labels(subnet["SubnetId"], zone).set(free)

    async def _failed(self, error: Ec2Error, attempts: int, span: telemetry.Span) -> Ec2Error:
        _end(span, error.request_id, attempts)
        await self._on_outcome(error)
        return error

    async def _wait_for_turn(self, api: str, deadline: float, span: telemetry.Span) -> None:
        kind = api_class(api)
        now = self._clock.monotonic()
        if now >= deadline:
            raise Ec2Error(api, "DeadlineExceeded", Failure.NOT_SENT, "no time left to call EC2")
        taken, wait_s = bucket.take(self._buckets[kind], now)
        if now + wait_s >= deadline:
            raise Ec2Error(
                api,
                "RequestLimitExceeded",
                Failure.THROTTLED,
                f"EC2 throttles: this node allows itself {taken.rate:.1f} calls/s now, the next in {wait_s:.1f} s",
            )
        self._buckets[kind] = taken
        self._show(kind)
        if wait_s > 0:
            span.event("paced", {"seconds": wait_s})
            await asyncio.sleep(wait_s)

    async def _attempt(self, api: str, params: Mapping[str, Any]) -> Answer:
        self._metrics.requests.labels(api).inc()
        self.counts[api].calls += 1
        started = time.perf_counter()
        failed, status = "false", "200"
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._transport.attempt, api, params)
        except Ec2Error as error:
            failed, status = "true", error.code
            self._metrics.request_errors.labels(api).inc()
            self.counts[api].errors += 1
            self._metrics.errors.labels(api, error.code).inc()
            raise
        finally:
            self._metrics.latency.labels(api, failed, status).observe((time.perf_counter() - started) * 1000)

    def _after_failure(
        self, error: Ec2Error, attempt: int, repeatable: bool, deadline: float, span: telemetry.Span
    ) -> retry.Again | retry.GiveUp:
        if error.failure is Failure.THROTTLED:
            self._throttled(error, attempt, span)
        choice = retry.decide(
            error.failure,
            attempt=attempt,
            repeatable=repeatable,
            time_left_s=deadline - self._clock.monotonic(),
            random_unit=random.random(),
        )
        again = f"again in {choice.delay_s:.2f} s" if isinstance(choice, retry.Again) else "given up"
        log.info("%s, attempt %d, %s", error.message, attempt, again, extra={"reason": str(error.reason)})
        return choice

    def _throttled(self, error: Ec2Error, attempt: int, span: telemetry.Span) -> None:
        self._metrics.throttled.labels(error.api).inc()
        self.counts[error.api].throttled += 1
        self._change_bucket(error.api, bucket.throttled)
        span.event("throttled", {"attempt": attempt, "aws.request_id": error.request_id})

    def _change_bucket(self, api: str, change: Callable[[bucket.Bucket, float], bucket.Bucket]) -> None:
        kind = api_class(api)
        self._buckets[kind] = change(self._buckets[kind], self._clock.monotonic())
        self._show(kind)

    def _show(self, kind: ApiClass) -> None:
        self._metrics.bucket_level.labels(kind).set(self._buckets[kind].level)
        self._metrics.bucket_rate.labels(kind).set(self._buckets[kind].rate)


def _about(api: str) -> dict[str, str]:
    """OpenTelemetry's attributes of an AWS SDK call."""
    return {"rpc.system": "aws-api", "rpc.service": "EC2", "rpc.method": api}


def _end(span: telemetry.Span, request_id: str, attempts: int) -> None:
    span.set("aws.request_id", request_id)
    span.set("ec2.retries", max(0, attempts - 1))


def _still_uncertain(error: Ec2Error, before: Ec2Error | None) -> Ec2Error:
    """After an attempt that may have had an effect, only EC2's own refusal tells that it had none."""
    if before is None or before.failure is not Failure.UNCERTAIN or error.failure is Failure.REFUSED:
        return error
    return Ec2Error(error.api, error.code, Failure.UNCERTAIN, error.message, error.request_id)
