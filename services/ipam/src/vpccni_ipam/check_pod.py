"""CHECK: what is recorded, what the runtime kept and what the kernel has must be the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, PodKey, Wiring
from vpccni_ipam.domain.restore import other_keys
from vpccni_ipam.domain.result import compose
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import Netconf, PodCall
from vpccni_ipam.wiring_gate import WiringGate


class CheckPod:
    """One per process."""

    def __init__(
        self,
        owner: PoolOwner,
        netconf: Netconf,
        locks: PodLocks,
        gate: WiringGate,
        clock: Clock,
        branch: Callable[[PodKey], Assignment | None] = lambda _: None,
    ) -> None:
        """``branch``: the record of a pod interface with a branch ENI."""
        self._owner = owner
        self._netconf = netconf
        self._locks = locks
        self._gate = gate
        self._clock = clock
        self._branch = branch

    async def __call__(self, call: PodCall, deadline: float) -> None:
        """Raises ReasonError: UNKNOWN_POD, ADDRESS_QUARANTINED, or STATE_DIFFERS listing every difference."""
        async with self._locks.hold(call.key, deadline - self._clock.monotonic()):
            item = self._branch(call.key) or self._of_the_pool(call)
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

    def _of_the_pool(self, call: PodCall) -> Assignment:
        key = self._recorded_as(call)
        if key is None:
            raise ReasonError(
                Reason.UNKNOWN_POD, f"container {call.key.container_id} has no {call.key.ifname} recorded"
            )
        item = self._item(key, call)
        if self._owner.pool.quarantined(key):
            raise ReasonError(Reason.ADDRESS_QUARANTINED, f"{item.address}: its ENI is not usable now")
        return item

    def _recorded_as(self, call: PodCall) -> PodKey | None:
        """Its own key, or that of a record that was rebuilt from the kernel, which knows no container ids."""
        veth = host_veth(call.veth_prefix, call.pod, call.key)
        keys = (call.key, *other_keys(call.key, veth))
        return next((key for key in keys if self._owner.pool.find(key) is not None), None)

    def _item(self, key: PodKey, call: PodCall) -> Assignment:
        item = self._owner.pool.find(key)
        assert item is not None
        if key == call.key:
            return item
        veth = item.wiring.host_veth or host_veth(call.veth_prefix, call.pod, call.key)
        wiring = Wiring(veth, item.wiring.netns or call.netns, item.wiring.mtu)
        return dataclasses.replace(item, key=call.key, pod=call.pod, wiring=wiring)
