"""Finishes or undoes what a crash, or a failure that outlasted its time, left in the journal. At start, then every 30 s."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_eni_manager.create_eni import new_eni_of
from vpccni_eni_manager.domain import eni_steps as rules
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure
from vpccni_eni_manager.domain.eni_steps import Action, EniFate, Repair, Step
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.ports import Ec2, Journal
from vpccni_eni_manager.remove_eni import RemoveEni

log = logging.getLogger(__name__)
PERIOD_S: Final = 30.0
_BUDGET_S: Final = 30.0
# A new ENI may not be visible at first: its absence means something only after that long.
_VISIBLE_S: Final = 30.0


class RepairJournal:
    """``repaired`` is set after the first pass, well or not: growth waits for it, so as not to trip over leftovers."""

    def __init__(
        self,
        ec2: Ec2,
        inventories: Inventories,
        remove: RemoveEni,
        journal: Journal,
        clock: Clock,
        repaired: asyncio.Event,
    ) -> None:
        self._ec2 = ec2
        self._inventories = inventories
        self._remove = remove
        self._journal = journal
        self._clock = clock
        self._repaired = repaired

    async def run(self) -> None:
        while True:
            await self.once()
            self._repaired.set()
            await asyncio.sleep(PERIOD_S)

    async def once(self) -> None:
        """One pass over the entries that nobody works on."""
        for action in self._journal.entries():
            if action.token in self._remove.active:
                continue
            try:
                with telemetry.span("eni.repair", attributes={"step": str(action.step), "eni": action.eni_id}):
                    await self._one(action, self._clock.monotonic() + _BUDGET_S)
            except ReasonError as error:
                log.warning("%s %s is not repaired yet: %s", action.step, action.eni_id or action.token, error)

    async def _one(self, action: Action, deadline: float) -> None:
        if action.step is Step.INTENDED:
            resolved = await self._resolve(action, deadline)
            if resolved is None:
                return
            action = resolved
        found = await self._ec2.eni(action.eni_id, deadline)
        young = self._clock.now() - action.started_unix_s < _VISIBLE_S
        if found is None and young and action.step not in (Step.REMOVING, Step.DETACHED):
            log.info("%s is not visible in EC2 yet", action.eni_id)
            return
        fate = EniFate(True, found.attached_to, found.status) if found else rules.ABSENT
        node = await self._inventories.node()
        choice = rules.repair(action.step, fate, node.instance_id)
        log.info("repairing %s (%s): %s", action.eni_id, action.step, choice)
        if choice is Repair.FINISH and found is not None:
            await self._ec2.delete_on_termination(found.eni_id, found.attachment_id, deadline)
        elif choice is Repair.UNDO and found is not None:
            attached = found.attachment_id if found.status in ("attached", "attaching") else ""
            step = Step.DETACHED if action.step in (Step.REMOVING, Step.DETACHED) else Step.UNDOING
            await self._remove(dataclasses.replace(action, step=step, attachment_id=attached), deadline, found.mac)
        self._journal.drop(action.token)
        if self._inventories.current is not None:
            await self._inventories.from_ec2(deadline)

    async def _resolve(self, action: Action, deadline: float) -> Action | None:
        """The same request with the same client token names the ENI that the interrupted call made, if it did."""
        try:
            made = await self._ec2.create(new_eni_of(action.request), deadline)
        except Ec2Error as error:
            if error.failure is not Failure.REFUSED:
                raise
            log.info("interrupted create had no effect: %s", error)
            self._journal.drop(action.token)
            return None
        # Whatever it becomes next, it is to go: no wish stands behind it any more.
        resolved = dataclasses.replace(action, step=Step.UNDOING, eni_id=made.eni_id)
        self._journal.put(resolved)
        return resolved
