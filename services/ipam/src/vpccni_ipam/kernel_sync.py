"""Everything that netconf must know, sent again: at start-up and whenever netconf has restarted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_ipam.domain.model import Assignment, NodeFacts
from vpccni_ipam.egress_links import EgressLinks
from vpccni_ipam.enis import Enis
from vpccni_ipam.pools import Pools
from vpccni_ipam.ports import HostSpec, Netconf
from vpccni_ipam.wiring_gate import WiringGate

log = logging.getLogger(__name__)
TIMEOUT_S: Final = 30.0


class KernelSync:
    """One per process."""

    def __init__(
        self,
        pools: Pools,
        netconf: Netconf,
        enis: Callable[[], Iterable[Enis]],
        gate: WiringGate,
        spec: HostSpec,
        egress: EgressLinks,
    ) -> None:
        """``enis``: of every network card."""
        self._pools = pools
        self._netconf = netconf
        self._enis = enis
        self._gate = gate
        self._spec = spec
        self._egress = egress
        self.facts: NodeFacts | None = None
        self.branches: Callable[[], Iterable[Assignment]] = lambda: ()
        """Pods with branch ENIs."""
        self._vpc_cidrs: tuple[str, ...] = ()

    async def host(self, facts: NodeFacts) -> None:
        """Raises ReasonError."""
        self.facts = facts
        if self._spec.ipv6:
            self._vpc_cidrs = facts.vpc_ipv6_cidrs
        self._vpc_cidrs = self._vpc_cidrs or facts.vpc_cidrs
        await self._netconf.apply_host(self._egress.host_spec(), facts, self._vpc_cidrs, TIMEOUT_S)

    async def vpc_cidrs(self, cidrs: tuple[str, ...]) -> None:
        """A changed set of IPv4 VPC CIDRs goes into the rules of the host; what fails is sent with the next change or restart."""
        if self.facts is None or self._spec.ipv6 or set(cidrs) == set(self._vpc_cidrs):
            return
        log.info("VPC CIDRs changed", extra={"old": self._vpc_cidrs, "new": cidrs})
        old, self._vpc_cidrs = self._vpc_cidrs, cidrs
        try:
            await self.host(self.facts)
        except ReasonError as error:
            self._vpc_cidrs = old
            log.warning("VPC CIDRs are not applied yet: %s", error, extra={"reason": str(error.reason)})

    async def pods(self) -> None:
        """Sends the complete set of pods; of one host link the newest (an older sandbox's DEL may be on its way). ENIs that netconf
        still has and nobody else are removed there. Raises ReasonError."""
        async with self._gate.all_pods():
            newest: dict[str, Assignment] = {}
            for item in sorted((*self._pools.assignments(), *self.branches()), key=lambda a: a.assigned_unix_ns):
                newest[item.wiring.host_veth] = item
            applied = await self._netconf.apply_pods(newest.values(), TIMEOUT_S)
        if applied.missing_links:
            log.warning("pods without a host link", extra={"links": list(applied.missing_links)})
        await self._remove_enis(applied.eni_ids)

    async def _remove_enis(self, netconf_has: Iterable[str]) -> None:
        """ENIs that went while ipam was away. Every ENI is in its pool before netconf hears of it, so one that is in none now
        is no more; but only EC2 knows all there are."""
        cards = tuple(self._enis())
        if not all(enis.ec2_heard for enis in cards):
            return
        known = frozenset[str]().union(*(enis.eni_ids for enis in cards))
        for eni_id in set(netconf_has) - known:
            log.warning("ENI %s went while ipam was away", eni_id, extra={"eni": eni_id})
            await self._netconf.remove_eni(eni_id, "", 0, TIMEOUT_S)

    async def everything(self) -> None:
        """Raises ReasonError."""
        if self.facts is None:
            return
        await self.host(self.facts)
        for enis in self._enis():
            await enis.apply_all(TIMEOUT_S)
        await self.pods()
