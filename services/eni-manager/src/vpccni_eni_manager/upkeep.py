"""Tags and security groups of managed ENIs, written only where EC2 shows that they differ."""

from __future__ import annotations

import dataclasses
import logging
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import tags
from vpccni_eni_manager.domain.model import Eni, Inventory, Node, Source
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Ec2

log = logging.getLogger(__name__)
_AGAIN_S: Final = 900.0


class Upkeep:
    """A write that fails (a role without the permission) is tried again after 15 minutes, not with every look."""

    def __init__(self, ec2: Ec2, inventories: Inventories, policy: Policy, clock: Clock) -> None:
        self._ec2 = ec2
        self._inventories = inventories
        self._policy = policy
        self._clock = clock
        self._pause_until: dict[tuple[str, str], float] = {}

    async def __call__(self, node: Node, inventory: Inventory, deadline: float) -> None:
        """Never raises ReasonError: what fails is logged."""
        if inventory.source is not Source.EC2:
            return
        for eni in inventory.enis:
            if eni.managed and eni.status == "attached":
                await self._tags(eni, node, deadline)
                await self._groups(eni, node, deadline)

    async def _tags(self, eni: Eni, node: Node, deadline: float) -> None:
        """Not on a trunk: its tags belong to the VPC resource controller."""
        wanted = tags.wanted(node.instance_id, self._policy.cluster, self._policy.additional_tags)
        lacking = tags.missing(eni.tags, wanted)
        if not lacking or eni.interface_type == "trunk" or self._paused(eni, "tags"):
            return
        try:
            await self._ec2.tag(eni.eni_id, lacking, deadline)
        except ReasonError as error:
            self._pause(eni, "tags", error)
        else:
            self._put(eni, tags={**eni.tags, **lacking})

    async def _groups(self, eni: Eni, node: Node, deadline: float) -> None:
        """All ENIs have the primary ENI's groups, unless ENIConfigs give them their own."""
        wanted = tuple(sorted(node.security_groups))
        right = not wanted or tuple(sorted(eni.security_groups)) == wanted
        if right or eni.is_primary or self._policy.custom_networking or self._paused(eni, "groups"):
            return
        try:
            await self._ec2.set_groups(eni.eni_id, wanted, deadline)
        except ReasonError as error:
            self._pause(eni, "groups", error)
        else:
            log.info("security groups of %s: %s", eni.eni_id, ", ".join(wanted))
            self._put(eni, security_groups=wanted)

    def _put(self, eni: Eni, **changes: object) -> None:
        now = self._inventories.current
        held = now.eni(eni.eni_id) if now else None
        if held is not None:
            self._inventories.put(dataclasses.replace(held, **changes))  # type: ignore[arg-type]  # two fixed callers above

    def _paused(self, eni: Eni, what: str) -> bool:
        return self._clock.monotonic() < self._pause_until.get((eni.eni_id, what), 0.0)

    def _pause(self, eni: Eni, what: str, error: ReasonError) -> None:
        self._pause_until[eni.eni_id, what] = self._clock.monotonic() + _AGAIN_S
        log.warning("%s of %s not written: %s", what, eni.eni_id, error, extra={"reason": str(error.reason)})
