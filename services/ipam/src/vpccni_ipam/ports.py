"""What the use cases need from the outside. Every method raises ReasonError; ``timeout`` is in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Protocol

from vpccni_ipam.domain.eni_config import EniConfig
from vpccni_ipam.domain.giveback import GiveBack
from vpccni_ipam.domain.growth import GrowthStep
from vpccni_ipam.domain.model import (
    AddressMode,
    Assignment,
    EniFacts,
    Inventory,
    NodeFacts,
    PodIdentity,
    PodKey,
    Source,
)
from vpccni_ipam.domain.restore import ObservedPod
from vpccni_ipam.domain.result import CniResult


@dataclasses.dataclass(frozen=True, slots=True)
class HostSpec:
    """Host-wide datapath settings for netconf; the identity part comes from NodeFacts."""

    node_port_support: bool = True
    external_snat: bool = False
    randomize_snat: str = "prng"
    exclude_snat_cidrs: tuple[str, ...] = ()
    external_service_cidrs: tuple[str, ...] = ()
    veth_prefix: str = "eni"
    connmark: int = 0x80
    eni_mtu: int = 9001
    configure_rp_filter: bool = True
    ipv6: bool = False
    pod_eni_strict: bool = False
    disable_tcp_early_demux: bool = False
    v4_egress: bool = False
    v6_egress: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """What the kernel has. ``egress_addresses``: that some link of the node has a route for."""

    pods: tuple[ObservedPod, ...]
    host_links: frozenset[str]
    egress_addresses: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """Something differed from the desired state; ``action``: repaired, failed or fight."""

    kind: str
    object: str
    action: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class PodsApplied:
    """``missing_links``: host links of pods that are not there. ``eni_ids``: secondary ENIs that netconf looks after."""

    missing_links: tuple[str, ...]
    eni_ids: tuple[str, ...]


class Netconf(Protocol):
    """The kernel. An Assignment says all there is to say about a pod interface."""

    async def apply_host(
        self, spec: HostSpec, facts: NodeFacts, vpc_cidrs: tuple[str, ...], timeout: float
    ) -> None: ...
    async def apply_eni(self, eni: EniFacts, route_table: int, mtu: int, timeout: float) -> int: ...
    async def remove_eni(self, eni_id: str, primary_ip: str, route_table: int, timeout: float) -> None: ...
    async def setup_pod(self, item: Assignment, timeout: float) -> None: ...
    async def teardown_pod(self, item: Assignment, timeout: float) -> None: ...
    async def check_pod(self, item: Assignment, timeout: float) -> tuple[str, ...]: ...
    async def apply_pods(self, items: Iterable[Assignment], timeout: float) -> PodsApplied: ...
    async def observe(self, veth_prefix: str, timeout: float) -> Observed: ...
    def watch_drift(self) -> AsyncIterator[Drift]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class GrowthRequest:
    """One step of growth on one network card. ``excluded_enis`` are not to be filled."""

    step: GrowthStep
    mode: AddressMode
    max_enis: int
    reserved_enis: int = 0
    excluded_enis: tuple[str, ...] = ()
    profile: EniConfig | None = None
    network_card: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Grown:
    """What a step brought, and what EC2 holds after it."""

    action: str
    eni_id: str
    addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    inventory: Inventory
    candidates: tuple[str, ...] = ()


class EniManager(Protocol):
    """EC2 and IMDS."""

    async def describe(self, timeout: float) -> NodeFacts: ...
    async def inventory(self, source: Source, timeout: float) -> Inventory: ...
    async def ensure_capacity(self, request: GrowthRequest, timeout: float) -> Grown: ...
    async def release_capacity(self, what: GiveBack, timeout: float) -> Inventory: ...
    def watch_inventory(self) -> AsyncIterator[Inventory]: ...


class Store(Protocol):
    """Durable state. ``commit`` is done when everything that was recorded before the call is durable; ``gather``: it may start
    a little later, for others to join."""

    def commit(self, *, gather: bool) -> Awaitable[None]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class PodCall:
    """A DEL or CHECK as the runtime asks for it. ``kept``: the result that the runtime kept, if it gave one."""

    key: PodKey
    pod: PodIdentity
    netns: str
    veth_prefix: str
    kept: CniResult | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PendingDel:
    """A queued DEL; ``name`` is that of its file."""

    call: PodCall
    name: str


class PendingDels(Protocol):
    """DELs that were answered with success and are yet to be carried out."""

    def put(self, call: PodCall) -> None: ...
    def entries(self) -> list[PendingDel]: ...
    def done(self, item: PendingDel) -> None: ...
    def holds(self, item: PendingDel) -> bool: ...
    def forget(self, key: PodKey) -> None: ...
    def changed(self) -> bool: ...
