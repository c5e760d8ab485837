"""Whether the role may make the calls that the settings need, and what subnets and tags look like now. Changes nothing."""

from __future__ import annotations

from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import access, tags
from vpccni_eni_manager.domain.access import Access, ActionAccess
from vpccni_eni_manager.domain.model import Eni, Node
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import DryRuns, HopLimit, Sample

# Given to a scoped sample where EC2 could not be asked for the real one.
_NO_ATTACHMENT: Final = "eni-attach-00000000000000000"


class CheckAccess:
    """Some 15 calls to EC2, paced like all others."""

    def __init__(
        self, dry_run: DryRuns, hop_limit: HopLimit, inventories: Inventories, policy: Policy, clock: Clock
    ) -> None:
        self._dry_run = dry_run
        self._hop_limit = hop_limit
        self._inventories = inventories
        self._policy = policy
        self._clock = clock

    async def __call__(self, deadline: float) -> Access:
        """Never raises ReasonError: what cannot be found out is said in the answer."""
        try:
            node = await self._inventories.node(fresh=True)
        except ReasonError as error:
            return Access(imds_error=str(error))
        hop_limit = await self._hop_limit()
        if self._policy.imds_only:
            return Access(imds_hop_limit=hop_limit)
        enis, subnets, problem = await self._seen(node, deadline)
        return Access(
            actions=await self._actions(node, enis, deadline),
            subnets=subnets,
            subnets_error=problem,
            missing_tags=self._missing_tags(node, enis),
            imds_hop_limit=hop_limit,
        )

    async def _seen(self, node: Node, deadline: float) -> tuple[tuple[Eni, ...], tuple[access.SubnetState, ...], str]:
        """ENIs (as known before, where EC2 does not answer), subnets, and why the subnets could not be listed."""
        try:
            enis = (await self._inventories.from_ec2(deadline)).enis
        except ReasonError:  # the dry run of the same call says why
            enis = self._inventories.current.enis if self._inventories.current else ()
        try:
            found = await self._inventories.refresh_subnets(deadline)
        except ReasonError as error:
            return enis, (), str(error)
        return enis, access.subnet_states(found, node.subnet_id, self._policy.cluster), ""

    async def _actions(self, node: Node, enis: tuple[Eni, ...], deadline: float) -> tuple[ActionAccess, ...]:
        policy = self._policy
        primary = next((eni for eni in enis if eni.is_primary), None)
        sample = Sample(
            instance_id=node.instance_id,
            instance_type=node.instance_type,
            subnet_id=node.subnet_id,
            eni_id=node.primary_eni,
            attachment_id=(primary.attachment_id if primary else "") or _NO_ATTACHMENT,
            security_groups=node.security_groups,
            tags=tags.at_creation(self._wanted_tags(node), self._clock.now()),
        )
        names = access.needed(imds_only=policy.imds_only, provisioning=policy.provisioning, ipv6=policy.ipv6)
        return tuple([access.judged(name, await self._dry_run(name, sample, deadline)) for name in names])

    def _wanted_tags(self, node: Node) -> dict[str, str]:
        return tags.wanted(node.instance_id, self._policy.cluster, self._policy.additional_tags)

    def _missing_tags(self, node: Node, enis: tuple[Eni, ...]) -> dict[str, tuple[str, ...]]:
        """As upkeep would write them: not on a trunk, whose tags belong to the VPC resource controller."""
        if not self._policy.provisioning:
            return {}
        wanted = self._wanted_tags(node)
        lacking = {
            eni.eni_id: tuple(tags.missing(eni.tags, wanted))
            for eni in enis
            if eni.managed and eni.interface_type != "trunk"
        }
        return {eni_id: keys for eni_id, keys in lacking.items() if keys}
