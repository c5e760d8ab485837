"""Detach, wait, delete: how an ENI goes, whether released or undone. Journalled, so that a crash in between is finished later."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain.ec2_errors import (
    ATTACHMENT_NOT_FOUND,
    ENI_IN_USE,
    ENI_NOT_FOUND,
    Ec2Error,
)
from vpccni_eni_manager.domain.eni_steps import Action, Step
from vpccni_eni_manager.ports import Ec2, Imds, Journal

log = logging.getLogger(__name__)
# EC2 usually detaches within a few seconds; a delete before that is refused and costs a call. IMDS, which costs nothing, shows
# when the ENI is gone from the instance; it is not waited for longer than that.
_IMDS_LOOK_S: Final = 0.25
_IMDS_MOST_S: Final = 5.0
_FIRST_TRY_S: Final = 1.0
_LAST_TRY_S: Final = 5.0
# A new ENI may be "not found" for a while; younger than this, that does not mean that it is gone.
_VISIBLE_S: Final = 15.0
# IncorrectState: the attachment is detaching already.
_NOT_ATTACHED: Final = frozenset({ATTACHMENT_NOT_FOUND, ENI_NOT_FOUND, "IncorrectState", "InvalidAttachment.NotFound"})


class RemoveEni:
    """Takes a journalled action to its end. ``active``: tokens being worked on, for the repair job to leave alone."""

    def __init__(self, ec2: Ec2, imds: Imds, journal: Journal, clock: Clock) -> None:
        self._ec2 = ec2
        self._imds = imds
        self._journal = journal
        self._clock = clock
        self.active: set[str] = set()

    async def __call__(self, action: Action, deadline: float, mac: str = "") -> None:
        """``mac``: of the ENI, by which IMDS names it. Raises Ec2Error when it cannot be finished in time; the journal keeps
        the rest then."""
        self._journal.put(action)
        self.active.add(action.token)
        try:
            if action.attachment_id:
                await self._detach(action, deadline)
                step = Step.DETACHED if action.step is Step.REMOVING else Step.UNDOING
                self._journal.put(dataclasses.replace(action, step=step, attachment_id=""))
                await self._until_gone(mac, deadline)
            await self._delete_when_detached(action, deadline)
            self._journal.drop(action.token)
        finally:
            self.active.discard(action.token)

    async def _detach(self, action: Action, deadline: float) -> None:
        try:
            await self._ec2.detach(action.attachment_id, deadline)
        except Ec2Error as error:
            if error.code not in _NOT_ATTACHED:
                raise
            log.info("%s is detached already (%s)", action.eni_id, error.code)

    async def _until_gone(self, mac: str, deadline: float) -> None:
        """Returns when IMDS does not show the ENI (any more), or cannot tell."""
        until = min(deadline, self._clock.monotonic() + _IMDS_MOST_S)
        while self._clock.monotonic() < until:
            try:
                if mac not in await self._imds.macs():
                    return
            except ReasonError:
                return
            await asyncio.sleep(_IMDS_LOOK_S)

    async def _delete_when_detached(self, action: Action, deadline: float) -> None:
        pause = _FIRST_TRY_S
        while True:
            try:
                return await self._delete(action, deadline)
            except Ec2Error as error:
                if error.code not in (*ENI_IN_USE, ENI_NOT_FOUND) or self._clock.monotonic() >= deadline:
                    raise
            await asyncio.sleep(min(pause, max(0.0, deadline - self._clock.monotonic())))
            pause = min(pause * 1.5, _LAST_TRY_S)

    async def _delete(self, action: Action, deadline: float) -> None:
        try:
            await self._ec2.delete(action.eni_id, deadline)
        except Ec2Error as error:
            age = self._clock.now() - action.started_unix_s
            if error.code != ENI_NOT_FOUND or (action.step is Step.UNDOING and age < _VISIBLE_S):
                raise
