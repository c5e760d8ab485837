"""CHECK: what is recorded, what the runtime kept and what the kernel has must be the same."""

from __future__ import annotations

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.result import compose
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import Netconf, PodCall
from vpccni_ipam.wiring_gate import WiringGate


class CheckPod:
    """One per process."""

    def __init__(self, owner: PoolOwner, netconf: Netconf, locks: PodLocks, gate: WiringGate, clock: Clock) -> None:
        self._owner = owner
        self._netconf = netconf
        self._locks = locks
        self._gate = gate
        self._clock = clock

    async def __call__(self, call: PodCall, deadline: float) -> None:
        """Raises ReasonError: UNKNOWN_POD, ADDRESS_QUARANTINED, or STATE_DIFFERS listing every difference."""
        async with self._locks.hold(call.key, deadline - self._clock.monotonic()):
            item = self._owner.pool.find(call.key)
            if item is None:
                raise ReasonError(
                    Reason.UNKNOWN_POD, f"container {call.key.container_id} has no {call.key.ifname} recorded"
                )
            if self._owner.pool.quarantined(call.key):
                raise ReasonError(Reason.ADDRESS_QUARANTINED, f"{item.address}: its ENI is not usable now")
            problems: list[str] = []
            if call.kept is not None:
                ours = {ip.address for ip in compose(item).ips}
                theirs = {ip.address for ip in call.kept.ips}
                if not ours <= theirs:
                    problems.append(f"prevResult has {sorted(theirs)}, recorded is {sorted(ours)}")
            async with self._gate.one_pod():
                problems += await self._netconf.check_pod(item, deadline - self._clock.monotonic())
            if problems:
                raise ReasonError(Reason.STATE_DIFFERS, "; ".join(problems))
