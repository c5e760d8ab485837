"""CHECK: what is recorded, what the runtime kept and what the kernel has must be the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, PodKey
from vpccni_ipam.domain.result import compose
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.pools import Pools
from vpccni_ipam.ports import Netconf, PodCall
from vpccni_ipam.wiring_gate import WiringGate


class CheckPod:
    """One per process."""

    def __init__(
        self,
        pools: Pools,
        netconf: Netconf,
        locks: PodLocks,
        gate: WiringGate,
        clock: Clock,
        branch: Callable[[PodKey], Assignment | None] = lambda _: None,
    ) -> None:
        """``branch``: the record of a pod interface with a branch ENI."""
        self._pools = pools
        self._netconf = netconf
        self._locks = locks
        self._gate = gate
        self._clock = clock
        self._branch = branch

    async def __call__(self, call: PodCall, deadline: float) -> None:
        """Raises ReasonError: UNKNOWN_POD, ADDRESS_QUARANTINED, or STATE_DIFFERS listing every difference."""
        async with self._locks.hold(call.key, deadline - self._clock.monotonic()):
            branch = self._branch(call.key)
            items = [branch] if branch is not None else self._of_the_pools(call)
            problems: list[str] = []
            if call.kept is not None:
                ours = {ip.address for ip in compose(*items).ips}
                theirs = {ip.address for ip in call.kept.ips}
                if not ours <= theirs:
                    problems.append(f"prevResult has {sorted(theirs)}, recorded is {sorted(ours)}")
            async with self._gate.one_pod():
                for item in items:
                    problems += await self._netconf.check_pod(item, deadline - self._clock.monotonic())
            if problems:
                raise ReasonError(Reason.STATE_DIFFERS, "; ".join(problems))

    def _of_the_pools(self, call: PodCall) -> list[Assignment]:
        records = self._pools.recorded(call.key, call.pod, call.veth_prefix)
        if not records:
            raise ReasonError(
                Reason.UNKNOWN_POD, f"container {call.key.container_id} has no {call.key.ifname} recorded"
            )
        for owner, item in records:
            if owner.pool.quarantined(item.key):
                raise ReasonError(Reason.ADDRESS_QUARANTINED, f"{item.address}: its ENI is not usable now")
        return [_as_called(item, call) for _, item in records]


def _as_called(item: Assignment, call: PodCall) -> Assignment:
    """A record that was made under another key says less than the call."""
    if item.key == call.key:
        return item
    veth = item.wiring.host_veth or host_veth(call.veth_prefix, call.pod, call.key, item.wiring.index)
    wiring = dataclasses.replace(item.wiring, host_veth=veth, netns=item.wiring.netns or call.netns)
    return dataclasses.replace(item, key=call.key, pod=call.pod, wiring=wiring)
