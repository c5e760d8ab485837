"""ADD: an address, durable, and a wired pod; or nothing at all and the reason."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey, Wiring
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import Netconf
from vpccni_ipam.waiting import Waiter
from vpccni_ipam.wiring_gate import WiringGate

log = logging.getLogger(__name__)
SETUP_TIMEOUT_S: Final = 15.0
UNDO_TIMEOUT_S: Final = 5.0
# How long an ADD waits for a netconf that is being restarted, and how often it tries.
_NETCONF_WAIT_S: Final = 10.0
_NETCONF_RETRY_S: Final = 0.2
# What is kept of the caller's deadline for wiring the pod after the wait: a fifth, at most five seconds.
_MARGIN_SHARE: Final = 0.2
_MARGIN_S: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class AddCall:
    """``deadline``: monotonic seconds at which the caller gives up. ``mtu`` in bytes."""

    key: PodKey
    pod: PodIdentity
    netns: str
    veth_prefix: str
    mtu: int
    deadline: float


class _Attempt:
    """One call under way; ``abandon`` when the caller is gone: what was done for it is undone."""

    def __init__(self, call: AddCall) -> None:
        self.call = call
        self.abandoned = False
        self.waiter: Waiter | None = None

    def abandon(self) -> None:
        self.abandoned = True
        if self.waiter is not None:
            self.waiter.fail(ReasonError(Reason.DEADLINE_EXCEEDED, "the caller gave up"))


class AddPod:
    """One per process. ``add_wait_s``: the longest wait for an address."""

    def __init__(
        self,
        owner: PoolOwner,
        netconf: Netconf,
        locks: PodLocks,
        gate: WiringGate,
        clock: Clock,
        add_wait_s: float,
    ) -> None:
        self._owner = owner
        self._netconf = netconf
        self._locks = locks
        self._gate = gate
        self._clock = clock
        self._add_wait_s = add_wait_s
        self._running: set[asyncio.Task[Assignment]] = set()

    async def __call__(self, call: AddCall) -> Assignment:
        """The assignment, durable and wired. Same key again: the same address, kernel state converged. Raises ReasonError."""
        attempt = _Attempt(call)
        task = asyncio.create_task(self._run(attempt))
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            attempt.abandon()
            raise

    def _done(self, task: asyncio.Task[Assignment]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; asyncio warns about errors nobody looked at

    async def _run(self, attempt: _Attempt) -> Assignment:
        call = attempt.call
        if not self._owner.started.is_set():
            await self._wait_for_start(call)
        async with self._locks.hold(call.key, call.deadline - self._clock.monotonic()):
            item = self._owner.pool.find(call.key)
            fresh = item is None
            if item is None:
                item = await self._address(attempt)
            else:
                item = self._again(item, call)
            try:
                await self._realise(item, call)
            except ReasonError as error:
                if fresh:
                    await self._undo(item, error)
                raise
            if attempt.abandoned and fresh:
                gone = ReasonError(Reason.DEADLINE_EXCEEDED, "the caller gave up while the pod was being wired")
                await self._undo(item, gone)
                raise gone
            return item

    async def _wait_for_start(self, call: AddCall) -> None:
        try:
            async with asyncio.timeout(self._wait_bound(call)):
                await self._owner.started.wait()
        except TimeoutError:
            raise self._owner.not_started from None

    def _wait_bound(self, call: AddCall) -> float:
        """Seconds that may be waited: the setting, and never so long that the caller's deadline passes first."""
        left = call.deadline - self._clock.monotonic()
        return max(0.0, min(self._add_wait_s, left - min(_MARGIN_S, left * _MARGIN_SHARE)))

    def _again(self, item: Assignment, call: AddCall) -> Assignment:
        if self._owner.pool.quarantined(call.key):
            raise ReasonError(
                Reason.ADDRESS_QUARANTINED, f"{item.address} is recorded for this pod, but its ENI is not usable now"
            )
        wiring = Wiring(item.wiring.host_veth, call.netns, call.mtu)
        return item if item.wiring == wiring else self._owner.rewire(call.key, wiring)

    async def _address(self, attempt: _Attempt) -> Assignment:
        call = attempt.call
        wiring = Wiring(host_veth(call.veth_prefix, call.pod, call.key), call.netns, call.mtu)
        with telemetry.span("pool.assign") as span:
            item = self._owner.assign(call.key, call.pod, wiring)
            if item is None:
                item = await self._wait(attempt, wiring)
            span.set("vpccni.address", item.address)
            span.set("vpccni.eni", item.eni_id)
        return item

    async def _wait(self, attempt: _Attempt, wiring: Wiring) -> Assignment:
        call = attempt.call
        with telemetry.span("pool.wait") as span:
            span.keep()
            attempt.waiter = self._owner.enqueue(call.key, call.pod, wiring, self._wait_bound(call))
            if attempt.abandoned:
                attempt.abandon()
            try:
                return await attempt.waiter.future
            finally:
                span.link(self._owner.growth.traceparent)
                span.set("vpccni.growth", self._owner.growth.traceparent)

    async def _realise(self, item: Assignment, call: AddCall) -> None:
        """Durable and wired, side by side; the request to netconf leaves first, the checkpoint is written while it works."""
        commit = asyncio.create_task(self._owner.commit(gather=True))
        try:
            await self._set_up(item, call)
        except ReasonError:
            await asyncio.gather(commit, return_exceptions=True)
            raise
        await commit

    async def _set_up(self, item: Assignment, call: AddCall) -> None:
        """Wires the pod; a netconf that is not there (its container is being restarted) is given some seconds. Raises ReasonError."""
        started = self._clock.monotonic()
        # The gate is left between two tries: netconf must be told of everything else first.
        give_up = min(started + _NETCONF_WAIT_S, started + self._wait_bound(call))
        while True:
            now = self._clock.monotonic()
            try:
                async with self._gate.one_pod():
                    await self._netconf.setup_pod(item, min(SETUP_TIMEOUT_S, call.deadline - now))
                return
            except ReasonError as error:
                if error.reason is not Reason.NETCONF_UNREACHABLE or now + _NETCONF_RETRY_S >= give_up:
                    raise
            await asyncio.sleep(_NETCONF_RETRY_S)

    async def _undo(self, item: Assignment, because: ReasonError) -> None:
        """Back to before; the address cools down, since the pod may have sent from it already."""
        log.warning(
            "ADD undone: %s",
            because.message,
            extra={"reason": str(because.reason), "pod": f"{item.pod.namespace}/{item.pod.name}", "ip": item.address},
        )
        try:
            async with self._gate.one_pod():
                await self._netconf.teardown_pod(item, UNDO_TIMEOUT_S)
        except ReasonError as error:
            log.warning("undo of an ADD: teardown failed: %s", error, extra={"reason": str(error.reason)})
        self._owner.release(item.key)
        try:
            await self._owner.commit()
        except ReasonError as error:
            log.warning("undo of an ADD: %s", error, extra={"reason": str(error.reason)})
