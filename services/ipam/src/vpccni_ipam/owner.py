"""The one writer of the pool: every change of it goes through here, is recorded in the ledger, and wakes who must know."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.checkpoint import Checkpoint, Ledger
from vpccni_ipam.domain.model import Assignment, Moment, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.hold_back import SETTLE_S, HoldBack
from vpccni_ipam.ports import Store
from vpccni_ipam.tally import Tally
from vpccni_ipam.waiting import Waiter, WaitingAdds

log = logging.getLogger(__name__)

_TRIAGE_S: Final = 0.05
# Growth that ended with one of these does not get better by waiting: an ADD that only growth could serve fails at once.
FINAL = frozenset(
    {
        Reason.ENI_LIMIT,
        Reason.SUBNET_FULL,
        Reason.SUBNET_NO_PREFIX,
        Reason.SUBNET_NONE_ELIGIBLE,
        Reason.NODE_NOT_GROWING,
        Reason.MAX_PODS,
        Reason.IAM_DENIED,
        Reason.ENI_CONFIG_MISSING,
        Reason.ENI_CONFIG_INVALID,
    }
)


@dataclasses.dataclass(slots=True)
class Growth:
    """Growth as it stands. ``error``: why the last step failed; None when it did not. ``setup_error``: why
    an attached ENI gives no address. ``limit``: why no step can help although the pool is low; None: one can. ``candidates``: subnets looked at."""

    active: bool = False
    since_unix: float = 0.0
    error: ReasonError | None = None
    setup_error: ReasonError | None = None
    limit: ReasonError | None = None
    candidates: tuple[str, ...] = ()
    traceparent: str = ""


class PoolOwner:
    """Pool, ledger, store and the queue of waiting ADDs behind one door."""

    def __init__(self, pool: Pool, store: Store, ledger: Ledger, clock: Clock, tally: Tally) -> None:
        self.pool = pool
        self.waiting = WaitingAdds()
        self.growth = Growth()
        self.changed = asyncio.Event()
        self.urgent = asyncio.Event()
        self.started = asyncio.Event()
        self.not_started: ReasonError = ReasonError(Reason.NOT_READY, "start-up has not finished")
        self.tally = tally
        self.held_back = HoldBack()
        self.cordoned = ""
        """Why ENIs are neither attached nor given back for now (the node is cordoned or being drained); empty: they are."""
        self.left_out_why = ""
        """Why new pods get no address of this network card; empty: they do."""
        self.triage: Callable[[], None] = lambda: None
        """Fails waiting ADDs that nothing can serve; called soon after ADDs have begun to wait."""
        self.on_release: Callable[[Assignment], None] = lambda _: None
        self._triage_due = False
        self.last_demand = 0.0
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.now())

    def wake(self) -> None:
        """The keeper looks at once, not when it has time."""
        self.urgent.set()
        self.changed.set()

    def supply(self) -> Supply:
        return self.pool.supply(len(self.waiting))

    async def commit(self, *, gather: bool = False) -> None:
        """Returns when all changes made so far are durable. Raises ReasonError(STORE_FAILED)."""
        with telemetry.span("store.write"):
            await self._store.commit(gather=gather)

    def restore(self, checkpoint: Checkpoint) -> None:
        self.pool.restore(checkpoint.assignments, checkpoint.cooling)
        self.held_back.hold_until(checkpoint.releasing, self.now())
        self._note_held_back()
        for item in checkpoint.assignments:
            self._ledger.put(item)
        for cool in checkpoint.cooling:
            self._ledger.cool(cool)

    def assign(self, key: PodKey, pod: PodIdentity, wiring: Wiring) -> Assignment | None:
        """An address now, or None when none is free or others wait for one already."""
        self._expire()
        self.last_demand = self._clock.monotonic()
        if self.waiting.first() is not None:
            return None
        return self._assign(key, pod, wiring)

    def enqueue(self, key: PodKey, pod: PodIdentity, wiring: Wiring, timeout: float) -> Waiter:
        """Waits for an address for at most ``timeout`` seconds; the waiter's future gets it, or a ReasonError."""
        loop = asyncio.get_running_loop()
        waiter = Waiter(
            key, pod, wiring, self._clock.monotonic(), telemetry.current_traceparent(), loop.create_future()
        )
        self.waiting.add(waiter)
        self.tally.add("awscni_no_available_ip_addresses")
        handle = loop.call_later(max(timeout, 0.0), lambda: waiter.fail(self.why_none()))
        waiter.future.add_done_callback(lambda _: handle.cancel())
        if not self._triage_due:
            self._triage_due = True
            loop.call_later(_TRIAGE_S, self._triage)
        self.wake()
        self._arm()
        return waiter

    def _triage(self) -> None:
        self._triage_due = False
        self.triage()

    def why_none(self) -> ReasonError:
        """The most telling reason why an ADD got no address: why growth failed, else that addresses cool, else that growth goes on."""
        supply = self.supply()
        counts = (
            f"{supply.assigned} assigned, {supply.cooling} cooling, {supply.free} free, {supply.waiting} ADDs waiting"
        )
        error = self.growth.error or self.growth.setup_error
        if error is None and supply.cooling and not self.growth.active:
            error = ReasonError(Reason.ALL_COOLING, "every address of this node is in use or cooling down")
        error = error or self.growth.limit
        if error is not None:
            return ReasonError(error.reason, f"{error.message} ({counts})", origin=error.origin)
        return ReasonError(Reason.POOL_WARMING, f"addresses are on their way ({counts})")

    def refusal(self) -> ReasonError | None:
        """What an ADD would be refused with now; None while an address is free."""
        return None if self.supply().free else self.why_none()

    def release(self, key: PodKey) -> Assignment | None:
        item = self.pool.find(key)
        if item is None:
            return None
        cool = self.pool.release(key, self.now())
        self._ledger.drop(key)
        if cool is not None:
            self._ledger.cool(cool)
        self.changed.set()
        self._arm()
        self.on_release(item)
        return item

    def take_back(self, key: PodKey) -> None:
        """Undoes ``assign`` for a pod that was never told of its address: free again at once."""
        self.pool.take_back(key)
        self._ledger.drop(key)
        self.changed.set()
        self.serve()

    async def releasing(self, items: tuple[str, ...], seconds: float) -> None:
        """Records durably what is about to be given back to EC2 by a call of at most ``seconds``; held back for as long and
        until EC2 has settled, in a next process too. Raises ReasonError(STORE_FAILED)."""
        self.held_back.hold(items, self.now(), seconds + SETTLE_S)
        self._note_held_back()
        await self.commit()

    def released(self, items: tuple[str, ...]) -> None:
        """The call is over, however it ended: EC2 settles from now on. Goes to disk with the next change."""
        self.held_back.hold(items, self.now())
        self._note_held_back()

    def given_again(self, items: Iterable[str]) -> None:
        """EC2 has just given them, or surely still has them."""
        self.held_back.drop(items)
        self._note_held_back()

    def _note_held_back(self) -> None:
        self._ledger.releasing(self.held_back.until_unix(self.now()))

    def rewire(self, key: PodKey, wiring: Wiring) -> Assignment:
        item = self.pool.rewire(key, wiring)
        self._ledger.put(item)
        return item

    def serve(self) -> None:
        """Gives free addresses to those who wait."""
        self._expire()
        while (waiter := self.waiting.first()) is not None:
            item = self._assign(waiter.key, waiter.pod, waiter.wiring)
            if item is None:
                break
            waiter.future.set_result(item)
            self.tally.observe_wait(self._clock.monotonic() - waiter.since)
        self._arm()

    def _assign(self, key: PodKey, pod: PodIdentity, wiring: Wiring) -> Assignment | None:
        item = self.pool.assign(key, pod, wiring, self.now())
        if item is not None:
            self._ledger.put(item)
            self.changed.set()
        return item

    def _expire(self) -> None:
        over = self.pool.expire(self.now())
        if over:
            self._ledger.expired(over)
            self.changed.set()

    def _arm(self) -> None:
        """While ADDs wait, the end of the next cooldown is an event."""
        expiry = self.pool.next_expiry()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if expiry is not None and len(self.waiting):
            delay = max(0.0, expiry - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay + 0.001, self.serve)
