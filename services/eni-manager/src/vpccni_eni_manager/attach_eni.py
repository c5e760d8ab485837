"""A new ENI: create -> attach -> mark for deletion on termination -> attached. Whatever fails, nothing is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_eni_manager.create_eni import CreateInSubnet
from vpccni_eni_manager.domain.ec2_errors import ATTACHMENT_LIMIT, ENI_NOT_FOUND, INVALID_VALUE, Ec2Error, Failure
from vpccni_eni_manager.domain.eni_steps import Action, Step
from vpccni_eni_manager.domain.model import AddressMode, Eni, Growth, Node
from vpccni_eni_manager.domain.placement import CreateEni, free_device_index
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.ports import Counts, Ec2, Imds, Journal
from vpccni_eni_manager.remove_eni import RemoveEni

log = logging.getLogger(__name__)
# Once created, an ENI is finished or undone on a budget of its own: the caller's deadline must not strand it.
FINISH_S: Final = 60.0
UNDO_S: Final = 60.0
# What was created may be "not found" for a moment (EC2 API guide, "Eventual consistency").
_VISIBLE_S: Final = 10.0
_VISIBLE_PAUSE_S: Final = 0.5
_DEVICES_TRIED: Final = 3
_IMDS_LOOK_S: Final = 0.25
# Without IMDS's hint, EC2 is asked after that long (attaching takes a second or two), and then again with growing pauses.
_EC2_FIRST_S: Final = 2.0
_EC2_AGAIN_S: Final = 1.0
_EC2_LAST_S: Final = 5.0


class AttachEni:
    """Raises ReasonError: ENI_ATTACH_FAILED or ENI_LIMIT after the undo, or why no ENI could be created."""

    def __init__(
        self,
        ec2: Ec2,
        imds: Imds,
        inventories: Inventories,
        create: CreateInSubnet,
        remove: RemoveEni,
        journal: Journal,
        counts: Counts,
        clock: Clock,
    ) -> None:
        self._ec2 = ec2
        self._imds = imds
        self._inventories = inventories
        self._create = create
        self._remove = remove
        self._journal = journal
        self._counts = counts
        self._clock = clock

    async def __call__(
        self, plan: CreateEni, growth: Growth, node: Node, deadline: float
    ) -> tuple[Eni, tuple[str, ...]]:
        """Returns the attached ENI and the subnets that were considered."""
        token = str(uuid.uuid4())
        self._remove.active.add(token)
        try:
            made, considered = await self._create(token, plan.count, growth, node, deadline)
            eni = await self._attach(token, made, plan, node)
        finally:
            self._remove.active.discard(token)
        self._inventories.put(eni)
        self._journal.drop(token)
        if growth.mode is AddressMode.PREFIX_IPV6 and not eni.ipv6_prefixes:
            added = await self._ec2.assign(eni.eni_id, growth.mode, 1, self._clock.monotonic() + FINISH_S)
            eni = dataclasses.replace(eni, ipv6_prefixes=added.prefixes)
            self._inventories.put(eni)
        return eni, considered

    async def _attach(self, token: str, made: Eni, plan: CreateEni, node: Node) -> Eni:
        action = next(one for one in self._journal.entries() if one.token == token)
        finish_by = self._clock.monotonic() + FINISH_S
        try:
            action = await self._request_attachment(action, plan, node, finish_by)
            await self._ec2.delete_on_termination(made.eni_id, action.attachment_id, finish_by)
            return await self._until_attached(made, finish_by)
        except ReasonError as error:
            # The journal has the attachment id if the request got that far.
            action = next((one for one in self._journal.entries() if one.token == token), action)
            await self._undo(action, made.mac, error)
            if isinstance(error, Ec2Error) and error.code == ATTACHMENT_LIMIT:
                raise
            raise ReasonError(
                Reason.ENI_ATTACH_FAILED, f"{made.eni_id} was created, not attached, and deleted again: {error.message}"
            ) from error

    async def _request_attachment(self, action: Action, plan: CreateEni, node: Node, finish_by: float) -> Action:
        """At the planned device number, or at another if somebody took that one since the inventory was read."""
        tried: set[int] = set()
        device: int | None = plan.device_index
        while True:
            assert device is not None
            try:
                attachment = await self._attach_at(action.eni_id, node, device, plan.network_card, finish_by)
                break
            except Ec2Error as error:
                tried.add(device)
                if error.code != INVALID_VALUE or len(tried) == _DEVICES_TRIED:
                    raise
                fresh = await self._inventories.from_ec2(finish_by)
                device = free_device_index(fresh.enis, plan.network_card, tried)
                if device is None:
                    raise
        attached = dataclasses.replace(action, step=Step.ATTACHED, attachment_id=attachment)
        self._journal.put(attached)
        return attached

    async def _attach_at(self, eni_id: str, node: Node, device: int, card: int, finish_by: float) -> str:
        """The attachment id. Attaching has no client token: after no answer, EC2 is asked whether it happened."""
        visible_by = self._clock.monotonic() + _VISIBLE_S
        while True:
            try:
                return await self._ec2.attach(eni_id, node.instance_id, device, card, finish_by)
            except Ec2Error as error:
                if error.failure is Failure.UNCERTAIN:
                    found = await self._ec2.eni(eni_id, finish_by)
                    if found is not None and found.attached_to == node.instance_id:
                        return found.attachment_id
                    raise
                if error.code != ENI_NOT_FOUND or self._clock.monotonic() >= visible_by:
                    raise
                await asyncio.sleep(_VISIBLE_PAUSE_S)

    async def _until_attached(self, made: Eni, finish_by: float) -> Eni:
        """Returns as soon as EC2 says attached. IMDS, which costs nothing, tells when asking EC2 is worth a call."""
        with telemetry.span("eni.until_attached", attributes={"eni": made.eni_id}):
            pause, next_ask, seen = _EC2_AGAIN_S, self._clock.monotonic() + _EC2_FIRST_S, False
            while True:
                if not seen and await self._in_imds(made.mac):
                    seen, next_ask = True, self._clock.monotonic()
                if self._clock.monotonic() >= next_ask:
                    found = await self._ec2.eni(made.eni_id, finish_by)
                    if found is not None and found.status == "attached":
                        return found
                    next_ask = self._clock.monotonic() + pause
                    pause = min(pause * 2, _EC2_LAST_S)
                if self._clock.monotonic() >= finish_by:
                    raise ReasonError(
                        Reason.ENI_ATTACH_FAILED, f"{made.eni_id} did not become attached in {FINISH_S:.0f} s"
                    )
                await asyncio.sleep(_IMDS_LOOK_S)

    async def _in_imds(self, mac: str) -> bool:
        try:
            return mac in await self._imds.macs()
        except ReasonError:
            return False  # a hint only; EC2 is asked anyway

    async def _undo(self, action: Action, mac: str, error: ReasonError) -> None:
        log.warning("undoing %s: %s", action.eni_id, error, extra={"reason": str(error.reason)})
        with telemetry.span("eni.undo", attributes={"eni": action.eni_id}):
            try:
                undoing = dataclasses.replace(action, step=Step.UNDOING)
                await self._remove(undoing, self._clock.monotonic() + UNDO_S, mac)
            except ReasonError as second:
                # The journal has it: the repair job goes on with it.
                self._counts.failed("AllocENIDeleteErr", second)
                log.error("%s is left for the repair job: %s", action.eni_id, second)
