"""Gives addresses, prefixes or whole ENIs back. Everything is checked before anything is done."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import logging
import uuid
from collections.abc import Coroutine, Sequence
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock
from vpccni_kit.keyed_lock import KeyedLock

from vpccni_eni_manager.domain.ec2_errors import ENI_NOT_FOUND, INVALID_VALUE, Ec2Error, Failure
from vpccni_eni_manager.domain.eni_steps import Action, Step
from vpccni_eni_manager.domain.merge_imds_ec2 import addresses_of
from vpccni_eni_manager.domain.model import Eni, Inventory
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Counts, Ec2
from vpccni_eni_manager.remove_eni import RemoveEni
from vpccni_eni_manager.subnet_choice import SubnetChoice

log = logging.getLogger(__name__)
_REMOVE_S: Final = 120.0
_ASK_S: Final = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Surplus:
    """Addresses and prefixes of one ENI to give back."""

    eni_id: str
    ips: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


class ReleaseCapacity:
    """Refuses (CAPACITY_IN_USE) what is not ours to give back: primary, trunk, EFA and unmanaged ENIs, primary addresses."""

    def __init__(
        self,
        ec2: Ec2,
        inventories: Inventories,
        remove: RemoveEni,
        choice: SubnetChoice,
        policy: Policy,
        counts: Counts,
        clock: Clock,
        locks: KeyedLock,
    ) -> None:
        self._ec2 = ec2
        self._inventories = inventories
        self._remove = remove
        self._choice = choice
        self._policy = policy
        self._counts = counts
        self._clock = clock
        self._locks = locks
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, surplus: Sequence[Surplus], eni_ids: Sequence[str], deadline: float) -> Inventory:
        """The inventory after it. An ENI or address that is gone already counts as given back. Raises ReasonError."""
        if not self._policy.provisioning:
            raise ReasonError(
                Reason.NODE_NOT_GROWING, "DISABLE_NETWORK_RESOURCE_PROVISIONING is set: nothing is changed"
            )
        inventory = await self._inventories.get(deadline)
        if any(inventory.eni(name) is None for name in (*eni_ids, *(one.eni_id for one in surplus))):
            inventory = await self._inventories.from_ec2(deadline)
        for one in surplus:
            _check_addresses(inventory.eni(one.eni_id), one)
        for eni_id in eni_ids:
            _check_removable(inventory.eni(eni_id))
        for one in surplus:
            await asyncio.shield(self._start(self._give_back(one, deadline), f"give back of {one.eni_id}"))
        leaving = [eni for name in eni_ids if (eni := inventory.eni(name)) is not None]
        removals = [self._start(self._remove_one(eni), f"removal of {eni.eni_id}") for eni in leaving]
        for removal in removals:
            await asyncio.shield(removal)
        return await self._inventories.get(deadline)

    async def drained(self) -> None:
        """Waits for what is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _give_back(self, one: Surplus, deadline: float) -> None:
        async with self._locks.hold(("eni", one.eni_id)):
            held = await self._held(one.eni_id, deadline)
            if held is None:
                return
            ips = tuple(ip for ip in one.ips if ip in held.secondary_ips)
            ipv4 = tuple(prefix for prefix in one.prefixes if prefix in held.ipv4_prefixes)
            ipv6 = tuple(prefix for prefix in one.prefixes if prefix in held.ipv6_prefixes)
            try:
                # EC2 takes addresses and prefixes in one call only if it is one kind at a time.
                if ips:
                    await self._ec2.unassign_ipv4(one.eni_id, ips, (), deadline)
                    self._given(held, ips)
                if ipv4:
                    await self._ec2.unassign_ipv4(one.eni_id, (), ipv4, deadline)
                    self._given(held, ipv4)
                if ipv6:
                    await self._ec2.unassign_ipv6_prefixes(one.eni_id, ipv6, deadline)
                    self._given(held, ipv6)
            except Ec2Error as error:
                if error.failure is Failure.UNCERTAIN:
                    self._inventories.doubt(one.eni_id, (*one.ips, *one.prefixes))
                if error.code not in (INVALID_VALUE, ENI_NOT_FOUND):
                    raise
                await self._check_gone(one, error, deadline)

    def _given(self, eni: Eni, given: tuple[str, ...]) -> None:
        """EC2 took these back: so it is from now on, whatever becomes of the rest."""
        self._choice.freed(eni.subnet_id)
        current = self._inventories.current
        now = (current.eni(eni.eni_id) if current else None) or eni
        self._inventories.put(_without(now, frozenset(given)), removed=given)

    async def _held(self, eni_id: str, deadline: float) -> Eni | None:
        return (await self._inventories.get(deadline)).eni(eni_id)

    async def _check_gone(self, one: Surplus, error: Ec2Error, deadline: float) -> None:
        """EC2 refused: fine if it does not hold them any more. Raises ``error`` if it does."""
        held = (await self._inventories.from_ec2(deadline)).eni(one.eni_id)
        kept = {*one.ips, *one.prefixes} & addresses_of(held) if held else set()
        if kept:
            raise error

    async def _as_tagged_now(self, eni: Eni) -> Eni:
        """The ENI with the tags that it has in EC2 now: no_manage may have been set since we looked last. One call."""
        found = await self._ec2.eni(eni.eni_id, self._clock.monotonic() + _ASK_S)
        if found is None or found.tags == eni.tags:
            return eni
        return self._inventories.put(dataclasses.replace(eni, tags=found.tags)).eni(eni.eni_id) or eni

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Goes on when the caller is gone: what EC2 answers must be known here in any case."""
        task = asyncio.create_task(work, name=name)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("%s: %s", task.get_name(), error)

    async def _remove_one(self, eni: Eni) -> None:
        async with self._locks.hold(("eni", eni.eni_id)):
            eni = await self._as_tagged_now(eni)
            _check_removable(eni)
            self._inventories.put(dataclasses.replace(eni, status="detaching"))
            action = Action(
                token=str(uuid.uuid4()),
                step=Step.REMOVING,
                started_unix_s=self._clock.now(),
                eni_id=eni.eni_id,
                attachment_id=eni.attachment_id,
            )
            try:
                await self._remove(action, self._clock.monotonic() + _REMOVE_S, eni.mac)
            except ReasonError as error:
                self._counts.failed("FreeENIDeleteErr", error)
                self._inventories.forget_told(eni.eni_id)
                await self._inventories.from_ec2(self._clock.monotonic() + 10.0)
                raise
            self._choice.freed(eni.subnet_id)
            self._inventories.drop(eni.eni_id)


def _without(eni: Eni, given: frozenset[str]) -> Eni:
    def keep(held: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for one in held if one not in given)

    return dataclasses.replace(
        eni,
        secondary_ips=keep(eni.secondary_ips),
        ipv4_prefixes=keep(eni.ipv4_prefixes),
        ipv6_prefixes=keep(eni.ipv6_prefixes),
    )


def _check_addresses(eni: Eni | None, one: Surplus) -> None:
    """Raises ReasonError: malformed addresses, or ones that must stay."""
    for text in (*one.ips, *one.prefixes):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ReasonError(
                Reason.REQUEST_INVALID, f"addresses of {one.eni_id}: {text!r} is no address or prefix"
            ) from None
    if eni is None:
        return
    if not eni.managed:
        raise ReasonError(Reason.CAPACITY_IN_USE, f"{eni.eni_id} is not managed: {eni.unmanaged_why}")
    if eni.primary_ip in one.ips:
        raise ReasonError(Reason.CAPACITY_IN_USE, f"{eni.primary_ip} is the primary address of {eni.eni_id}")


def _check_removable(eni: Eni | None) -> None:
    """Raises ReasonError(CAPACITY_IN_USE)."""
    if eni is None:
        return
    why = ""
    if eni.is_primary:
        why = "it is the instance's primary ENI"
    elif not eni.managed:
        why = f"it is not managed: {eni.unmanaged_why}"
    elif eni.interface_type != "interface":
        why = f"its interface type is {eni.interface_type}"
    if why:
        raise ReasonError(Reason.CAPACITY_IN_USE, f"{eni.eni_id} is not deleted: {why}")
