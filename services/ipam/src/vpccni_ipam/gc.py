"""GC: what the runtime no longer lists is released as by DEL."""

from __future__ import annotations

import logging

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import PodCall

log = logging.getLogger(__name__)


class Gc:
    """One per process."""

    def __init__(self, del_pod: DelPod, locks: PodLocks, clock: Clock, veth_prefix: str) -> None:
        self._del_pod = del_pod
        self._locks = locks
        self._clock = clock
        self._veth_prefix = veth_prefix

    async def __call__(self, network_name: str, valid: frozenset[tuple[str, str]], deadline: float) -> int:
        """``valid``: (container id, ifname) of what lives. Returns how many were released; the first failure is raised after
        all were tried. A pod interface with a call under way is left alone: it is newer than the runtime's list."""
        listed_unix_ns = self._clock.now() * 1e9
        released = 0
        first: ReasonError | None = None
        for key, item in {item.key: item for item in self._del_pod.assignments()}.items():
            if key.network_name != network_name or (key.container_id, key.ifname) in valid:
                continue
            if self._locks.busy(key) or item.assigned_unix_ns > listed_unix_ns:
                continue
            try:
                await self._del_pod(PodCall(key, item.pod, item.wiring.netns, self._veth_prefix), deadline)
                released += 1
                log.info("GC released %s", item.address, extra={"container": key.container_id, "ip": item.address})
            except ReasonError as error:
                first = first or error
        if first is not None:
            raise first
        return released
