"""Gives new pods their egress links (ENABLE_V4_EGRESS, ENABLE_V6_EGRESS)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable

from vpccni_ipam.domain.egress import egress_link, next_address
from vpccni_ipam.domain.host_veth import pod_hash
from vpccni_ipam.domain.model import Assignment, NodeFacts, PodIdentity, PodKey, Wiring
from vpccni_ipam.ports import HostSpec

log = logging.getLogger(__name__)


class EgressLinks:
    """One per process. ``held``: every pod interface there is. Pods keep the link that they were wired with, or none, whatever
    the settings become."""

    def __init__(self, spec: HostSpec, held: Callable[[], Iterable[Assignment]]) -> None:
        self._spec = spec
        self._held = held
        self._on = spec.v4_egress or spec.v6_egress
        self._others: frozenset[str] = frozenset()
        self._last = ""

    def node_is(self, facts: NodeFacts) -> None:
        """Without an address of the other family there is nothing to translate to."""
        if self._on and not egress_ip(self._spec, facts):
            log.warning(
                "egress of the other address family is off: the instance has no %s address",
                "IPv4" if self._spec.ipv6 else "IPv6",
            )
            self._on = False

    def kernel_has(self, addresses: frozenset[str]) -> None:
        """``addresses``: that links of the node have now; those of pods that another wired are not given again."""
        self._others = addresses - self._taken()

    def host_spec(self) -> HostSpec:
        """The node's, for as long as a pod has an egress link."""
        v6 = not self._spec.ipv6 and any(item.wiring.egress for item in self._held())
        return dataclasses.replace(self._spec, v6_egress=True) if v6 else self._spec

    def with_link(self, wiring: Wiring, pod: PodIdentity, key: PodKey) -> Wiring:
        """For a new pod; only its first interface gets one."""
        if not self._on or wiring.index or wiring.egress is not None:
            return wiring
        address = next_address(4 if self._spec.ipv6 else 6, self._taken() | self._others, self._last)
        if address is None:
            log.error("pod without an egress link: every egress address is taken", extra={"pod": pod.name})
            return wiring
        self._last = address
        return dataclasses.replace(wiring, egress=egress_link(address, pod_hash(pod, key), key.container_id))

    def _taken(self) -> frozenset[str]:
        return frozenset(item.wiring.egress.address for item in self._held() if item.wiring.egress)


def egress_ip(spec: HostSpec, facts: NodeFacts) -> str:
    """The node's address of the family that is not the cluster's; empty: it has none."""
    return facts.primary_ip if spec.ipv6 else facts.primary_ipv6
