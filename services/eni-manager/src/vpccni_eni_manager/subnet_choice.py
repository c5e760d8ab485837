"""Which subnets a new ENI may go to: the profile's, or those found by tag, or the primary one."""

from __future__ import annotations

import dataclasses
import logging

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import subnet_rules as rules
from vpccni_eni_manager.domain.model import AddressMode, Growth, Node, Subnet
from vpccni_eni_manager.domain.subnet_rules import Blocked, Candidate
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Ec2

log = logging.getLogger(__name__)


class SubnetChoice:
    """Also remembers which subnets had nothing to give lately."""

    def __init__(self, ec2: Ec2, inventories: Inventories, policy: Policy, clock: Clock) -> None:
        self._ec2 = ec2
        self._inventories = inventories
        self._policy = policy
        self._clock = clock
        self._blocks: dict[tuple[str, AddressMode], Blocked] = {}

    def had_nothing(self, subnet_id: str, mode: AddressMode, why: str) -> None:
        self._blocks = rules.block(self._blocks, (subnet_id, mode), self._clock.monotonic(), why)

    def gave(self, subnet_id: str, mode: AddressMode) -> None:
        self._blocks.pop((subnet_id, mode), None)

    def freed(self, subnet_id: str) -> None:
        """We gave something back there: it may be asked again at once."""
        for mode in AddressMode:
            self._blocks.pop((subnet_id, mode), None)

    def blocked(self, mode: AddressMode) -> dict[str, str]:
        """subnet id -> why it is set aside now."""
        return rules.blocked_now(self._blocks, mode, self._clock.monotonic())

    async def available(self, subnet_id: str, deadline: float) -> int:
        """Free addresses that EC2 counts now; 0 when the subnet is gone."""
        found = await self._ec2.subnet(subnet_id, deadline)
        return found.available_ips if found else 0

    async def candidates(self, node: Node, growth: Growth, deadline: float) -> tuple[Candidate, ...]:
        """In the order in which they are tried. Raises Ec2Error when the subnets cannot be listed."""
        blocked = self.blocked(growth.mode)
        if growth.profile is not None:
            only = self._known(growth.profile.subnet_id, node)
            return (Candidate(only, blocked.get(only.subnet_id, "")),)
        if not self._policy.subnet_discovery:
            return (self._primary(node, blocked),)
        try:
            found = await self._inventories.refresh_subnets(deadline)
        except ReasonError as error:
            if error.reason is not Reason.IAM_DENIED:
                raise
            log.warning("no subnet discovery, the primary subnet only: %s", error, extra={"reason": str(error.reason)})
            return (self._primary(node, blocked),)
        return rules.candidates(found, primary_subnet=node.subnet_id, cluster=self._policy.cluster, blocked=blocked)

    def _primary(self, node: Node, blocked: dict[str, str]) -> Candidate:
        primary = self._known(node.subnet_id, node)
        why = rules.excluded_why(primary, self._policy.cluster) or blocked.get(primary.subnet_id, "")
        return Candidate(primary, why)

    def _known(self, subnet_id: str, node: Node) -> Subnet:
        """A subnet by id alone where EC2 was not asked; ``available_ips`` -1: not known."""
        found = self._inventories.subnet(subnet_id)
        if found is None:
            return Subnet(subnet_id, node.vpc_id, node.availability_zone, "", -1)
        return dataclasses.replace(found, available_ips=-1)


def none_left(candidates: tuple[Candidate, ...], growth: Growth, blocked: dict[str, str]) -> ReasonError:
    """The failure when no candidate may be tried, with every candidate's reason."""
    details = tuple(str(candidate) for candidate in candidates)
    shown = "; ".join(details) or "no subnet in the zone"
    if any(candidate.subnet.subnet_id in blocked for candidate in candidates):
        return ReasonError(exhausted(growth.mode), f"no subnet has room now: {shown}", details=details)
    return ReasonError(Reason.SUBNET_NONE_ELIGIBLE, f"no subnet may hold a new ENI: {shown}", details=details)


def exhausted(mode: AddressMode) -> Reason:
    return Reason.SUBNET_FULL if mode is AddressMode.SECONDARY_IP else Reason.SUBNET_NO_PREFIX
