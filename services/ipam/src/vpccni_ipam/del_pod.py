"""DEL: unwire, release into cooldown, make it durable. Unknown pod or gone namespace: success."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, Branch, PodKey, Wiring
from vpccni_ipam.domain.result import KeptFacts, kept_interfaces
from vpccni_ipam.pod_eni import PodEni
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.pools import Pools, Record
from vpccni_ipam.ports import Netconf, PendingDel, PendingDels, PodCall
from vpccni_ipam.tally import Tally
from vpccni_ipam.wiring_gate import WiringGate

log = logging.getLogger(__name__)
TEARDOWN_TIMEOUT_S: Final = 10.0
_NO_MAC: Final = "00:00:00:00:00:00"


class DelPod:
    """One per process."""

    def __init__(
        self,
        pools: Pools,
        tally: Tally,
        netconf: Netconf,
        pending: PendingDels,
        locks: PodLocks,
        gate: WiringGate,
        clock: Clock,
    ) -> None:
        self._pools = pools
        self._tally = tally
        self._netconf = netconf
        self._pending = pending
        self._locks = locks
        self._gate = gate
        self._clock = clock
        self.branches: PodEni | None = None
        self._draining = asyncio.Lock()

    async def __call__(self, call: PodCall, deadline: float) -> None:
        """``deadline``: monotonic seconds. Success unless the kernel refuses. Raises ReasonError."""
        try:
            await self._carry_out(call, deadline)
        except ReasonError as error:
            if error.reason not in (Reason.NETCONF_UNREACHABLE, Reason.DEADLINE_EXCEEDED):
                raise
            # The runtime need not keep the sandbox for our sake: carried out when netconf is back.
            self._pending.put(call)
            self._tally.add("vpccni_pending_dels_total")
            log.warning("DEL queued: %s", error, extra={"reason": str(error.reason), **_who(call)})

    def branch(self, key: PodKey) -> Assignment | None:
        """The pod interface's record if it has a branch ENI."""
        return self.branches.find(key) if self.branches else None

    def assignments(self) -> list[Assignment]:
        """Every pod interface there is: of the pool, and with branch ENIs."""
        branches = self.branches.assignments() if self.branches else ()
        return [*self._pools.assignments(), *branches]

    async def drain(self) -> int:
        """Carries out what is queued, oldest first; what fails stays queued. Returns how many are left."""
        left = 0
        async with self._draining:
            for queued in self._pending.entries():
                try:
                    await self._carry_out(queued.call, self._clock.monotonic() + TEARDOWN_TIMEOUT_S, queued)
                except ReasonError as error:
                    left += 1
                    log.warning("queued DEL: %s", error, extra={"reason": str(error.reason), **_who(queued.call)})
                    continue
                self._pending.done(queued)
                log.info("queued DEL carried out", extra=_who(queued.call))
        return left

    async def _carry_out(self, call: PodCall, deadline: float, queued: PendingDel | None = None) -> None:
        async with self._locks.hold(call.key, deadline - self._clock.monotonic()):
            if queued is not None and not self._pending.holds(queued):
                return  # an ADD of the same pod interface came meanwhile
            records = self._pools.recorded(call.key, call.pod, call.veth_prefix)
            branch = None if records else self.branch(call.key)
            known = [record.item for record in records] or ([branch] if branch else [])
            kept = self._from_kept(call, known)
            if not known and not call.netns and any(item.branch is not None for item in kept):
                return  # the runtime repeats itself, and the VLAN id may have another pod by now
            for item in (*known, *kept):
                timeout = min(TEARDOWN_TIMEOUT_S, deadline - self._clock.monotonic())
                async with self._gate.one_pod():
                    await self._netconf.teardown_pod(item, timeout)
            if branch is not None and self.branches is not None:
                self.branches.release(branch.key)
            for record in records:
                await self._release(record)

    def _from_kept(self, call: PodCall, known: Sequence[Assignment]) -> list[Assignment]:
        """Interfaces that only the kept result knows of."""
        recorded = {item.wiring.index for item in known}
        found = kept_interfaces(call.kept, call.pod, call.key) if call.kept is not None else ()
        items = [_of_kept(call, index, facts) for index, facts in enumerate(found) if index not in recorded]
        return [item for item in items if not self._taken_over(item)]

    def _taken_over(self, item: Assignment) -> bool:
        """True when the address belongs to another pod by now: a late DEL must not unwire that one."""
        holder = self._pools.holder(item.address)
        return holder is not None and holder != item.key

    async def _release(self, record: Record) -> None:
        owner, item = record
        owner.release(item.key)
        try:
            await owner.commit()
        except ReasonError as error:
            # Nothing is lost: after a crash the record has no host link any more and is dropped.
            log.error("DEL is not durable yet: %s", error, extra={"reason": str(error.reason), "ip": item.address})


def _of_kept(call: PodCall, index: int, facts: KeptFacts) -> Assignment:
    veth = facts.host_veth or host_veth(call.veth_prefix, call.pod, call.key, index)
    return Assignment(
        key=call.key,
        pod=call.pod,
        wiring=Wiring(veth, call.netns, index=index),
        address=facts.address,
        assigned_unix_ns=0,
        route_table=facts.route_table,
        branch=_kept_branch(facts) if facts.vlan_id else None,
    )


def _kept_branch(facts: KeptFacts) -> Branch:
    """Enough to unwire; what the result does not say is not needed for that."""
    host = f"{facts.address}/{128 if ':' in facts.address else 32}"
    return Branch("", facts.vlan_id, _NO_MAC, host, facts.gateway or facts.address, _NO_MAC, strict=True)


def _who(call: PodCall) -> dict[str, str]:
    return {"container": call.key.container_id, "pod": f"{call.pod.namespace}/{call.pod.name}"}
