"""Pods with security groups of their own: a branch ENI from the VPC resource controller instead of an address of the pool."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_ipam.add_pod import SETUP_TIMEOUT_S, UNDO_TIMEOUT_S, AddCall, Assignments
from vpccni_ipam.domain.host_veth import host_veth
from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.pod_eni import PodFacts, branch_of
from vpccni_ipam.egress_links import EgressLinks
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import Netconf
from vpccni_ipam.wiring_gate import WiringGate

log = logging.getLogger(__name__)
STRICT_PREFIX: Final = "vlan"
"""Host links of pods in strict mode: no rule for pod links must match them."""
_WAIT_S: Final = 20.0
_WAIT_SHARE: Final = 0.5
Add = Callable[[AddCall], Awaitable[Assignments]]


class BranchStore(Protocol):
    """Durable records. put and drop raise ReasonError(STORE_FAILED)."""

    def load(self) -> list[Assignment]: ...
    def put(self, item: Assignment) -> None: ...
    def drop(self, key: PodKey) -> None: ...


class OwnPods:
    """The pods of this node as the watch has them; ``ask`` is for those that it does not have yet."""

    def __init__(self, ask: Callable[[PodIdentity], Awaitable[PodFacts | None]]) -> None:
        self._ask = ask
        self._pods: Mapping[tuple[str, str], PodFacts] = {}
        self._changed = asyncio.Event()

    def take(self, found: Mapping[tuple[str, str], PodFacts]) -> None:
        self._pods = dict(found)
        self._changed.set()
        self._changed = asyncio.Event()

    async def find(self, pod: PodIdentity) -> PodFacts:
        """Raises ReasonError: POD_NOT_FOUND, KUBERNETES_UNREACHABLE."""
        found = self._known(pod)
        if found is None:
            found = await self._ask(pod)
        if found is None or (pod.uid and found.uid != pod.uid):
            raise ReasonError(Reason.POD_NOT_FOUND, f"the API server has no pod {pod.namespace}/{pod.name} {pod.uid}")
        return found

    def _known(self, pod: PodIdentity) -> PodFacts | None:
        found = self._pods.get((pod.namespace, pod.name))
        return found if found is not None and (not pod.uid or found.uid == pod.uid) else None

    async def annotated(self, pod: PodIdentity, timeout: float) -> PodFacts:
        """As soon as the pod's branch ENI is said. Raises ReasonError(BRANCH_ENI_MISSING) after ``timeout`` seconds, …"""
        found = await self.find(pod)
        try:
            async with asyncio.timeout(timeout):
                while not found.annotation:
                    await self._changed.wait()
                    found = self._known(pod) or found
        except TimeoutError:
            raise ReasonError(
                Reason.BRANCH_ENI_MISSING, f"pod {pod.namespace}/{pod.name} has no branch ENI after {timeout:.0f} s"
            ) from None
        return found


class PodEni:
    """One per process. Calls for pods without security groups of their own go on to ``add``."""

    def __init__(
        self,
        owner: PoolOwner,
        netconf: Netconf,
        locks: PodLocks,
        gate: WiringGate,
        clock: Clock,
        store: BranchStore,
        pods: OwnPods,
        add: Add,
        egress: EgressLinks,
        *,
        strict: bool,
        ipv6: bool,
    ) -> None:
        self._owner = owner
        self._netconf = netconf
        self._locks = locks
        self._gate = gate
        self._clock = clock
        self._store = store
        self._pods = pods
        self._add = add
        self._egress = egress
        self._strict = strict
        self._ipv6 = ipv6
        self._held = {item.key: item for item in store.load()}

    def find(self, key: PodKey) -> Assignment | None:
        return self._held.get(key)

    def assignments(self) -> Iterable[Assignment]:
        return list(self._held.values())

    def release(self, key: PodKey) -> None:
        """The pod is unwired; the branch ENI is the controller's. Raises ReasonError(STORE_FAILED)."""
        if self._held.pop(key, None) is not None:
            self._store.drop(key)

    @property
    def trunk_mac(self) -> str:
        """Empty: no trunk ENI is attached."""
        trunks = (eni.facts.mac for eni in self._owner.pool.enis.values() if eni.facts.is_trunk)
        return next(trunks, "")

    async def __call__(self, call: AddCall) -> Assignments:
        """A pod with a branch ENI has that one interface, also when it asks for every network card. Raises ReasonError: BRANCH_ENI_MISSING, TRUNK_MISSING, POD_NOT_FOUND, KUBERNETES_UNREACHABLE, …"""
        if not call.pod.known or not (await self._pods.find(call.pod)).wants_branch:
            return await self._add(call)
        left = call.deadline - self._clock.monotonic()
        with telemetry.span("pod.branch_eni") as span:
            facts = await self._pods.annotated(call.pod, min(_WAIT_S, left * _WAIT_SHARE))
            if not self.trunk_mac:
                raise ReasonError(Reason.TRUNK_MISSING, "no trunk ENI is attached to this instance (yet)")
            address, branch = branch_of(facts.annotation, self.trunk_mac, ipv6=self._ipv6, strict=self._strict)
            span.set("vpccni.eni", branch.eni_id)
            span.set("vpccni.address", address)
        prefix = STRICT_PREFIX if self._strict else call.veth_prefix
        wiring = Wiring(host_veth(prefix, call.pod, call.key), call.netns, call.mtu)
        known = self._held.get(call.key)
        if known is not None:
            wiring = dataclasses.replace(wiring, egress=known.wiring.egress)
        else:
            wiring = self._egress.with_link(wiring, call.pod, call.key)
        assigned = int(self._owner.now().unix * 1e9)
        item = Assignment(call.key, call.pod, wiring, address, assigned, branch.eni_id, branch=branch)
        async with self._locks.hold(call.key, call.deadline - self._clock.monotonic()):
            await self._realise(item, call.deadline)
        return (item,)

    async def _realise(self, item: Assignment, deadline: float) -> None:
        fresh = item.key not in self._held
        self._store.put(item)
        self._held[item.key] = item
        try:
            async with self._gate.one_pod():
                await self._netconf.setup_pod(item, min(SETUP_TIMEOUT_S, deadline - self._clock.monotonic()))
        except ReasonError:
            if fresh:
                await self._undo(item)
            raise

    async def _undo(self, item: Assignment) -> None:
        try:
            async with self._gate.one_pod():
                await self._netconf.teardown_pod(item, UNDO_TIMEOUT_S)
            self.release(item.key)
        except ReasonError as error:
            log.warning("undo of an ADD: %s", error, extra={"reason": str(error.reason), "ip": item.address})
