"""Deletes leaked ENIs of the cluster: one listing per hour and node, at a random moment."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import orphans, tags
from vpccni_eni_manager.domain.ec2_errors import ENI_IN_USE, ENI_NOT_FOUND, Ec2Error
from vpccni_eni_manager.domain.orphans import Judged, Verdict
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Counts, Ec2, Journal

log = logging.getLogger(__name__)
PERIOD_S: Final = 3600.0
JITTER_S: Final = 300.0
_BUDGET_S: Final = 120.0


class SweepOrphans:
    """Safe beside other nodes doing the same: an ENI that is gone, or attached by now, is none of our business any more."""

    def __init__(
        self,
        ec2: Ec2,
        inventories: Inventories,
        journal: Journal,
        policy: Policy,
        counts: Counts,
        clock: Clock,
    ) -> None:
        self._counts = counts
        self._ec2 = ec2
        self._inventories = inventories
        self._journal = journal
        self._policy = policy
        self._clock = clock

    async def run(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(0, JITTER_S))
            try:
                await self.once()
            except ReasonError as error:
                log.warning("no sweep for leaked ENIs: %s", error, extra={"reason": str(error.reason)})
            await asyncio.sleep(PERIOD_S - JITTER_S / 2)

    async def once(self) -> tuple[Judged, ...]:
        """One sweep; returns what was judged. Raises ReasonError when the listing fails."""
        with telemetry.span("eni.sweep_orphans"):
            node = await self._inventories.node()
            deadline = self._clock.monotonic() + _BUDGET_S
            found = await self._ec2.unattached(node.vpc_id, self._policy.cluster, deadline)
            ours = {action.eni_id for action in self._journal.entries()}
            judged = orphans.judge(found, self._clock.now(), ours)
            for one in judged:
                await self._act(one, deadline)
            return judged

    async def _act(self, one: Judged, deadline: float) -> None:
        if one.verdict is Verdict.KEEP:
            return
        log.info("%s %s: %s", one.verdict.value, one.eni.eni_id, one.why)
        try:
            if one.verdict is Verdict.STAMP:
                await self._ec2.tag(one.eni.eni_id, {tags.CREATED_AT_TAG: tags.rfc3339(self._clock.now())}, deadline)
            else:
                await self._ec2.delete(one.eni.eni_id, deadline)
            self._counts.swept(one.verdict.value)
        except Ec2Error as error:
            if error.code == ENI_NOT_FOUND or error.code in ENI_IN_USE:
                log.info("%s: another node was faster (%s)", one.eni.eni_id, error.code)
            else:
                self._counts.failed("cleanUpLeakedENIDeleteErr", error)
                log.warning("leaked ENI %s stays: %s", one.eni.eni_id, error, extra={"reason": str(error.reason)})
