"""The addresses of one ADD: of one network card, or of every card at once and then all or none."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.model import PodIdentity, PodKey, Wiring
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.pools import Record
from vpccni_ipam.waiting import Waiter

_CALLER_GONE = frozenset({Reason.DEADLINE_EXCEEDED, Reason.DRAINING})


@dataclasses.dataclass(eq=False, slots=True)
class Wish:
    """Who wants addresses. ``wait_until``: monotonic seconds. ``abandon`` when the caller is gone: it waits no longer."""

    key: PodKey
    pod: PodIdentity
    wait_until: float = 0.0
    abandoned: bool = False
    waiters: list[Waiter] = dataclasses.field(default_factory=list)

    def abandon(self) -> None:
        self.abandoned = True
        for waiter in self.waiters:
            waiter.fail(ReasonError(Reason.DEADLINE_EXCEEDED, "the caller gave up"))


class TakeAddresses:
    """One per process. Raises ReasonError."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def of_one(self, wish: Wish, owners: Sequence[PoolOwner], wiring: Wiring) -> Record:
        """An address of the first card that has one or gets one; the other cards come in when it does not."""
        first: ReasonError | None = None
        for owner in owners:
            try:
                return (await self.of_each(wish, [(owner, wiring)]))[0]
            except ReasonError as error:
                first = first or error
                if wish.abandoned or error.reason in _CALLER_GONE:
                    break
        raise first or ReasonError(Reason.INTERNAL, "no network card to take an address of")

    async def of_each(self, wish: Wish, wanted: Sequence[tuple[PoolOwner, Wiring]]) -> list[Record]:
        """An address of each; when one is not to be had none is taken, and that one's reason is raised."""
        with telemetry.span("pool.assign") as span:
            found: list[Record] = []
            missing: list[tuple[PoolOwner, Wiring]] = []
            for owner, wiring in wanted:
                item = owner.assign(wish.key, wish.pod, wiring)
                if item is None:
                    missing.append((owner, wiring))
                else:
                    found.append(Record(owner, item))
            if missing:
                found += await self._wait(wish, missing, found)
            span.set("vpccni.address", ",".join(record.item.address for record in found))
            span.set("vpccni.eni", ",".join(record.item.eni_id for record in found))
        return found

    async def _wait(
        self, wish: Wish, missing: Sequence[tuple[PoolOwner, Wiring]], taken: Sequence[Record]
    ) -> list[Record]:
        """For all of ``missing`` side by side; when one fails the others, and what is ``taken``, go back."""
        with telemetry.span("pool.wait") as span:
            span.keep()
            left = wish.wait_until - self._clock.monotonic()
            wish.waiters = [owner.enqueue(wish.key, wish.pod, wiring, left) for owner, wiring in missing]
            if wish.abandoned:
                wish.abandon()
            futures = [waiter.future for waiter in wish.waiters]
            done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
            for owner, _ in missing:
                span.link(owner.growth.traceparent)
                span.set("vpccni.growth", owner.growth.traceparent)
            waited = list(zip((owner for owner, _ in missing), futures, strict=True))
            failed = next(((o, error) for o, f in waited if f in done and (error := f.exception()) is not None), None)
            if failed is None:
                return [Record(owner, future.result()) for owner, future in waited]
            for record in taken:
                record.owner.take_back(record.item.key)
            for owner, future in waited:
                if not future.done():
                    future.cancel()
                elif future.exception() is None:
                    owner.take_back(wish.key)
            raise _of_card(*failed)


def _of_card(owner: PoolOwner, error: BaseException) -> BaseException:
    """The error, naming the network card where that is not the first."""
    name = f"network card {owner.pool.card}"
    if not owner.pool.card or not isinstance(error, ReasonError) or name in error.message:
        return error
    return ReasonError(error.reason, f"{name}: {error.message}", origin=error.origin)
