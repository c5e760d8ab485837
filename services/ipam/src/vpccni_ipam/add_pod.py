"""ADD: an address, durable, and a wired pod; or nothing at all and the reason."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey, Wiring
from vpccni_ipam.egress_links import EgressLinks
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.pools import Pools, Record
from vpccni_ipam.ports import Netconf, PendingDels
from vpccni_ipam.take_addresses import TakeAddresses, Wish
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
Assignments = tuple[Assignment, ...]
"""What a pod holds: one interface on each network card, by its place in the pod."""


@dataclasses.dataclass(frozen=True, slots=True)
class AddCall:
    """``deadline``: monotonic seconds at which the caller gives up. ``mtu`` in bytes. ``multi_nic``: an address of every
    network card."""

    key: PodKey
    pod: PodIdentity
    netns: str
    veth_prefix: str
    mtu: int
    deadline: float
    multi_nic: bool = False


class AddPod:
    """One per process. ``add_wait_s``: the longest wait for an address. ``multi_nic``: ENABLE_MULTI_NIC."""

    def __init__(
        self,
        pools: Pools,
        netconf: Netconf,
        pending: PendingDels,
        locks: PodLocks,
        gate: WiringGate,
        clock: Clock,
        add_wait_s: float,
        egress: EgressLinks,
        *,
        multi_nic: bool = False,
    ) -> None:
        self._pools = pools
        self._egress = egress
        self._take = TakeAddresses(clock)
        self._netconf = netconf
        self._pending = pending
        self._locks = locks
        self._gate = gate
        self._clock = clock
        self._add_wait_s = add_wait_s
        self._multi_nic = multi_nic
        self._running: set[asyncio.Task[Assignments]] = set()

    async def __call__(self, call: AddCall) -> Assignments:
        """What the pod holds, durable and wired: one address, or one of every network card. Same key again: the same
        addresses, kernel state converged. Raises ReasonError."""
        if call.multi_nic and not self._multi_nic:
            raise ReasonError(
                Reason.CONFIG_INVALID,
                "ENABLE_MULTI_NIC is false and the pod's annotation k8s.amazonaws.com/nicConfig asks for an address of "
                "every network card; allowed: ENABLE_MULTI_NIC=true, or a pod without the annotation",
            )
        wish = Wish(call.key, call.pod)
        task = asyncio.create_task(self._run(wish, call))
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            wish.abandon()
            raise

    def _done(self, task: asyncio.Task[Assignments]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; asyncio warns about errors nobody looked at

    async def _run(self, wish: Wish, call: AddCall) -> Assignments:
        if not self._pools.first.started.is_set():
            await self._wait_for_start(call)
        async with self._locks.hold(call.key, call.deadline - self._clock.monotonic()):
            # The runtime wants this pod interface: an earlier DEL of it that is still queued must not take it away later.
            self._pending.forget(call.key)
            held = [self._again(record, call) for record in self._pools.records(call.key)]
            fresh = [self._with_egress(record) for record in await self._addresses(wish, call, held)]
            records = sorted([*held, *fresh], key=lambda record: record.item.wiring.index)
            try:
                await self._realise(records, call)
                if wish.abandoned and fresh:
                    raise ReasonError(Reason.DEADLINE_EXCEEDED, "the caller gave up while the pod was being wired")
            except ReasonError as error:
                if fresh:
                    await self._undo(fresh, error)
                raise
            return tuple(record.item for record in records)

    def _with_egress(self, record: Record) -> Record:
        owner, item = record
        wiring = self._egress.with_link(item.wiring, item.pod, item.key)
        return record if wiring is item.wiring else Record(owner, owner.rewire(item.key, wiring))

    async def _wait_for_start(self, call: AddCall) -> None:
        owner = self._pools.first
        try:
            async with asyncio.timeout(self._wait_bound(call)):
                await owner.started.wait()
        except TimeoutError:
            raise owner.not_started from None

    def _wait_bound(self, call: AddCall) -> float:
        """Seconds that may be waited: the setting, and never so long that the caller's deadline passes first."""
        left = call.deadline - self._clock.monotonic()
        return max(0.0, min(self._add_wait_s, left - min(_MARGIN_S, left * _MARGIN_SHARE)))

    def _again(self, record: Record, call: AddCall) -> Record:
        owner, item = record
        if owner.pool.quarantined(call.key):
            raise ReasonError(
                Reason.ADDRESS_QUARANTINED, f"{item.address} is recorded for this pod, but its ENI is not usable now"
            )
        wiring = dataclasses.replace(item.wiring, netns=call.netns, mtu=call.mtu)
        return record if item.wiring == wiring else Record(owner, owner.rewire(call.key, wiring))

    async def _addresses(self, wish: Wish, call: AddCall, held: Sequence[Record]) -> list[Record]:
        """What the pod still lacks."""
        owners = self._pools.asked()
        if not call.multi_nic:
            if held:
                return []
            wish.wait_until = self._clock.monotonic() + self._wait_bound(call)
            return [await self._take.of_one(wish, owners, _wiring(call, 0, 1))]
        have = {record.owner.pool.card for record in held}
        lacking = [owner for owner in owners if owner.pool.card not in have]
        interfaces = len(held) + len(lacking)
        taken = {record.item.wiring.index for record in held}
        indices = [index for index in range(interfaces) if index not in taken]
        wish.wait_until = self._clock.monotonic() + self._wait_bound(call)
        wanted = [(o, _wiring(call, index, interfaces)) for o, index in zip(lacking, indices, strict=False)]
        return await self._take.of_each(wish, wanted)

    async def _realise(self, records: Sequence[Record], call: AddCall) -> None:
        """Durable and wired, side by side; the request to netconf leaves first, the checkpoint is written while it works."""
        commits = [asyncio.create_task(record.owner.commit(gather=True)) for record in records]
        try:
            for record in records:
                await self._set_up(record.item, call)
        except ReasonError:
            await asyncio.gather(*commits, return_exceptions=True)
            raise
        first: ReasonError | None = None
        for commit in commits:
            try:
                await commit
            except ReasonError as error:
                first = first or error
        if first is not None:
            raise first

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

    async def _undo(self, records: Sequence[Record], because: ReasonError) -> None:
        """Back to before; the addresses cool down, since the pod may have sent from them already."""
        for owner, item in reversed(records):
            log.warning(
                "ADD undone: %s",
                because.message,
                extra={
                    "reason": str(because.reason),
                    "pod": f"{item.pod.namespace}/{item.pod.name}",
                    "ip": item.address,
                },
            )
            try:
                async with self._gate.one_pod():
                    await self._netconf.teardown_pod(item, UNDO_TIMEOUT_S)
            except ReasonError as error:
                log.warning("undo of an ADD: teardown failed: %s", error, extra={"reason": str(error.reason)})
            owner.release(item.key)
            try:
                await owner.commit()
            except ReasonError as error:
                log.warning("undo of an ADD: %s", error, extra={"reason": str(error.reason)})


def _wiring(call: AddCall, index: int, interfaces: int) -> Wiring:
    veth = host_veth(call.veth_prefix, call.pod, call.key, index)
    return Wiring(veth, call.netns, call.mtu, index, interfaces)
