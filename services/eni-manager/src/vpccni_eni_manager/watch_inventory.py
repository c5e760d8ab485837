"""Polls IMDS, which costs nothing, and asks EC2 only when IMDS keeps showing something else than we know."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import merge_imds_ec2
from vpccni_eni_manager.domain.model import Inventory, Source
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Counts
from vpccni_eni_manager.upkeep import Upkeep

log = logging.getLogger(__name__)
PERIOD_S: Final = 60.0
# IMDS may lag that far behind our own changes: no reason to ask EC2.
SETTLE_S: Final = 60.0
# Tags (no_manage) change in EC2 without a trace in IMDS.
EC2_REFRESH_S: Final = 7200.0
_ASK_S: Final = 30.0


class WatchInventory:
    """Nothing is taken from IMDS alone: a difference only makes us ask EC2, once per different picture."""

    def __init__(self, inventories: Inventories, upkeep: Upkeep, policy: Policy, counts: Counts, clock: Clock) -> None:
        self._inventories = inventories
        self._upkeep = upkeep
        self._policy = policy
        self._counts = counts
        self._clock = clock
        self._judged: merge_imds_ec2.Fingerprint | None = None

    async def run(self) -> None:
        while True:
            try:
                await self.once()
            except ReasonError as error:
                log.warning("inventory not refreshed: %s", error, extra={"reason": str(error.reason)})
            await asyncio.sleep(PERIOD_S * random.uniform(0.9, 1.1))

    async def once(self) -> None:
        """One look. Raises ReasonError."""
        node = await self._inventories.reread_node()
        if self._policy.imds_only:
            await self._inventories.from_imds()
            return
        deadline = self._clock.monotonic() + _ASK_S
        current = self._inventories.current
        if current is None or current.source is not Source.EC2:
            current = await self._inventories.from_ec2(deadline)
        else:
            current = await self._compare(current, deadline)
        if self._policy.provisioning:
            await self._upkeep(node, current, deadline)

    async def _compare(self, current: Inventory, deadline: float) -> Inventory:
        if self._clock.monotonic() - self._inventories.asked_ec2_at > EC2_REFRESH_S:
            return await self._inventories.from_ec2(deadline)
        shown = merge_imds_ec2.fingerprint((await self._inventories.from_imds()).enis)
        settled = self._clock.monotonic() - self._inventories.own_change_at > SETTLE_S
        if shown == merge_imds_ec2.fingerprint(current.enis) or shown == self._judged or not settled:
            return current
        log.info("IMDS shows something else than is known; asking EC2")
        self._counts.imds_out_of_sync()
        refreshed = await self._inventories.from_ec2(deadline)
        self._judged = shown
        return refreshed
