"""What of a checkpoint still holds, and what can be known without one (docs/pool.md, "Restart")."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from vpccni_ipam.domain.eni_numbers import card_of
from vpccni_ipam.domain.host_veth import host_veth, link_matches, pod_hash
from vpccni_ipam.domain.model import Assignment, Moment, PodIdentity, PodKey, Wiring

REBUILT_NETWORK: Final = "_rebuilt"
"""Network name of assignments that were rebuilt from the kernel: container id and pod name are not known there."""

_MIGRATED: Final = ("_migrated-from-cri", "unknown")


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedPod:
    """A pod as the kernel shows it. ``host_veth`` empty: rules or a route without a link."""

    host_veth: str
    address: str
    route_table: int


def with_wiring(item: Assignment, veth_prefix: str, index: int = 0) -> Assignment:
    """Fills in what a checkpoint of the original does not have: the veth name follows from the pod's name and from ``index``,
    its place among the pod's interfaces."""
    if item.wiring.host_veth:
        return item
    veth = host_veth(veth_prefix, item.pod, item.key, index) if item.pod.known else ""
    return dataclasses.replace(item, wiring=dataclasses.replace(item.wiring, host_veth=veth, index=index))


def split_stale(
    items: Iterable[Assignment], host_links: frozenset[str]
) -> tuple[tuple[Assignment, ...], tuple[Assignment, ...]]:
    """(kept, stale). Stale: the pod is named, and no host link (whatever its prefix) is that pod's."""
    kept: list[Assignment] = []
    stale: list[Assignment] = []
    for item in items:
        hash_text = item.wiring.host_veth[-11:] or pod_hash(item.pod, item.key, item.wiring.index)
        alive = not (item.pod.known or item.wiring.host_veth) or any(link_matches(n, hash_text) for n in host_links)
        (kept if alive else stale).append(item)
    return tuple(kept), tuple(stale)


def rebuild(observed: Iterable[ObservedPod], now: Moment, card: int = 0) -> tuple[Assignment, ...]:
    """Assignments for every pod link with an address that the kernel has, under keys made of the link's name. ``card``: those
    whose route table is of an ENI of this network card."""
    return tuple(
        Assignment(
            key=PodKey(REBUILT_NETWORK, pod.host_veth, ""),
            pod=PodIdentity(),
            wiring=Wiring(pod.host_veth),
            address=pod.address,
            assigned_unix_ns=int(now.unix * 1e9),
            route_table=pod.route_table,
        )
        for pod in observed
        if pod.host_veth and pod.address and card_of(pod.route_table) == card
    )


def other_keys(key: PodKey, veth: str) -> tuple[PodKey, ...]:
    """Keys under which a pod interface may be recorded besides its own: rebuilt from the kernel, or migrated from CRI."""
    network, ifname = _MIGRATED
    return (PodKey(REBUILT_NETWORK, veth, ""), PodKey(network, key.container_id, ifname))
