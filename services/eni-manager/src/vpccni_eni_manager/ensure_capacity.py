"""One step towards more capacity: fills an attached ENI with one call, or creates and attaches one."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock
from vpccni_kit.keyed_lock import KeyedLock

from vpccni_eni_manager.attach_eni import AttachEni
from vpccni_eni_manager.describe import Describe
from vpccni_eni_manager.domain.ec2_errors import (
    ADDRESS_LIMIT,
    ATTACHMENT_LIMIT,
    ENI_NOT_FOUND,
    INSUFFICIENT_CODES,
    INVALID_VALUE,
    Ec2Error,
    Failure,
)
from vpccni_eni_manager.domain.model import AddressMode, Assigned, Eni, Growth, InstanceLimits, Inventory, Node
from vpccni_eni_manager.domain.placement import Assign, CreateEni, Refuse, plan_growth
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Ec2
from vpccni_eni_manager.subnet_choice import SubnetChoice, exhausted

log = logging.getLogger(__name__)
_ROUNDS: Final = 16  # each excludes an ENI or refreshes the inventory; no type has more ENIs on a card
_LEARNT_LIMIT_S: Final = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class Grown:
    """What a step did. ``action``: assigned or attached. ``inventory``: what EC2 holds after it."""

    action: str
    eni_id: str
    added: Assigned
    inventory: Inventory
    candidates: tuple[str, ...] = ()


class EnsureCapacity:
    """Equal wishes at the same time share one step: what it adds was meant for all of them, and ipam counts again after it.

    A step goes on when its caller is gone (deadline): half a step would be worse. ``locks``: shared with release, by ENI.
    """

    def __init__(
        self,
        ec2: Ec2,
        inventories: Inventories,
        describe: Describe,
        choice: SubnetChoice,
        attach: AttachEni,
        policy: Policy,
        clock: Clock,
        locks: KeyedLock,
        repaired: asyncio.Event,
    ) -> None:
        self._ec2 = ec2
        self._inventories = inventories
        self._describe = describe
        self._choice = choice
        self._attach = attach
        self._policy = policy
        self._clock = clock
        self._locks = locks
        self._repaired = repaired
        self._under_way: dict[tuple[object, ...], asyncio.Task[Grown]] = {}
        self._learnt_limits: dict[
            int, tuple[int, float]
        ] = {}  # card -> (ENIs it held when EC2 refused one more, until)

    async def __call__(self, growth: Growth, deadline: float) -> Grown:
        """Raises ReasonError: ENI_LIMIT, SUBNET_FULL, SUBNET_NO_PREFIX, SUBNET_NONE_ELIGIBLE, ENI_ATTACH_FAILED, EC2_*, …"""
        if not self._policy.provisioning:
            raise ReasonError(
                Reason.NODE_NOT_GROWING,
                "DISABLE_NETWORK_RESOURCE_PROVISIONING or ENABLE_IMDS_ONLY_MODE is set: ENIs are managed by someone else",
            )
        key = (growth.mode, growth.network_card, growth.profile, growth.excluded_enis, growth.may_create_eni)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._step(growth, deadline), name="ensure capacity")
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        elif span := telemetry.current():
            span.event("joined a step under way")
        return await asyncio.shield(task)

    def _finished(self, key: tuple[object, ...], task: asyncio.Task[Grown]) -> None:
        del self._under_way[key]
        if not task.cancelled() and (error := task.exception()):
            log.info("step failed: %s", error)

    async def drained(self) -> None:
        """Waits for steps under way."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _step(self, growth: Growth, deadline: float) -> Grown:
        await self._repaired.wait()
        async with self._locks.hold(("card", growth.network_card)):
            node = await self._inventories.node()
            limits = await self._describe.limits(node.instance_type, deadline)
            failed: ReasonError | None = None
            asked = growth
            for _ in range(_ROUNDS):
                inventory = await self._inventories.get(deadline)
                growth = self._without_blocked_subnets(growth, inventory)
                plan = plan_growth(inventory, limits, growth)
                match plan:
                    case Refuse(reason, message):
                        raise failed or self._set_aside(asked, inventory, limits) or ReasonError(reason, message)
                    case CreateEni():
                        self._check_learnt_limit(inventory, growth.network_card)
                        return await self._new_eni(plan, growth, node, failed, deadline)
                    case Assign(eni, count):
                        try:
                            if grown := await self._fill(eni, count, growth, deadline):
                                return grown
                        except Ec2Error as error:
                            failed = self._noted(error, eni, growth)
                            growth = _without(growth, eni)
            raise failed or ReasonError(Reason.EC2_REFUSED, "the inventory changed with every step; nothing was added")

    def _without_blocked_subnets(self, growth: Growth, inventory: Inventory) -> Growth:
        """ENIs in a subnet that just had nothing to give would only be refused again."""
        blocked = self._choice.blocked(growth.mode)
        full = {eni.eni_id for eni in inventory.enis if eni.subnet_id in blocked}
        return dataclasses.replace(growth, excluded_enis=growth.excluded_enis | full) if full else growth

    def _set_aside(self, growth: Growth, inventory: Inventory, limits: InstanceLimits) -> ReasonError | None:
        """The refusal to give when an ENI would have room, were its subnet not set aside for a while."""
        plan = plan_growth(inventory, limits, growth)
        if not isinstance(plan, Assign):
            return None
        why = self._choice.blocked(growth.mode).get(plan.eni.subnet_id, "no room")
        return ReasonError(exhausted(growth.mode), f"{plan.eni.eni_id} in {plan.eni.subnet_id}: {why}")

    def _noted(self, error: Ec2Error, eni: Eni, growth: Growth) -> ReasonError:
        """Raises what trying elsewhere cannot help; else remembers the subnet."""
        no_room = error.code in INSUFFICIENT_CODES or (
            error.code == INVALID_VALUE and growth.mode is not AddressMode.SECONDARY_IP
        )
        if not no_room:
            raise error
        self._choice.had_nothing(eni.subnet_id, growth.mode, error.code)
        return ReasonError(exhausted(growth.mode), f"{eni.eni_id} in {eni.subnet_id}: {error.message}")

    async def _fill(self, eni: Eni, count: int, growth: Growth, deadline: float) -> Grown | None:
        """None: the inventory was wrong about this ENI and has been read again. Raises Ec2Error."""
        async with self._locks.hold(("eni", eni.eni_id)):
            try:
                added = await self._assign(eni, count, growth.mode, deadline)
            except Ec2Error as error:
                if error.failure is Failure.UNCERTAIN:
                    return await self._after_uncertain(eni, error, deadline)
                if error.code in (ADDRESS_LIMIT, ENI_NOT_FOUND):
                    log.warning("%s holds something else than was known; reading the inventory again", eni.eni_id)
                    await self._refresh_and_check(eni, error, deadline)
                    return None
                raise
            self._choice.gave(eni.subnet_id, growth.mode)
            now = self._inventories.current
            held = (now.eni(eni.eni_id) if now else None) or eni
            now_held = _with(held, added, growth.mode)
            inventory = self._inventories.put(now_held, added=(*added.ips, *added.prefixes))
            return Grown("assigned", eni.eni_id, added, inventory)

    async def _assign(self, eni: Eni, count: int, mode: AddressMode, deadline: float) -> Assigned:
        """Everything in one call; if the subnet has less, one more call for what it has."""
        try:
            return await self._ec2.assign(eni.eni_id, mode, count, deadline)
        except Ec2Error as error:
            if error.code not in INSUFFICIENT_CODES or count <= 1:
                raise
            smaller = 1
            if mode is AddressMode.SECONDARY_IP:
                smaller = min(count - 1, await self._choice.available(eni.subnet_id, deadline))
            if smaller < 1:
                raise
            return await self._ec2.assign(eni.eni_id, mode, smaller, deadline)

    async def _after_uncertain(self, eni: Eni, error: Ec2Error, deadline: float) -> Grown:
        """No answer came: EC2 is asked what the ENI holds. Raises ``error`` when nothing was added."""
        inventory = await self._inventories.from_ec2(max(deadline, self._clock.monotonic() + 5.0))
        now = inventory.eni(eni.eni_id)
        added = _difference(eni, now) if now else Assigned()
        if not added.ips and not added.prefixes:
            raise error
        return Grown("assigned", eni.eni_id, added, inventory)

    async def _refresh_and_check(self, eni: Eni, error: Ec2Error, deadline: float) -> None:
        """Raises ``error`` when EC2 shows just what we knew: the next round would be refused again."""
        now = (await self._inventories.from_ec2(deadline)).eni(eni.eni_id)
        if now is not None and (now.secondary_ips, now.ipv4_prefixes) == (eni.secondary_ips, eni.ipv4_prefixes):
            raise error

    async def _new_eni(
        self, plan: CreateEni, growth: Growth, node: Node, failed: ReasonError | None, deadline: float
    ) -> Grown:
        node = await self._with_current_groups(node)
        try:
            eni, candidates = await self._attach(plan, growth, node, deadline)
        except ReasonError as error:
            if isinstance(error, Ec2Error) and error.code == ATTACHMENT_LIMIT:
                held = (await self._inventories.from_ec2(self._clock.monotonic() + 10.0)).enis
                on_card = sum(one.network_card == plan.network_card for one in held)
                self._learnt_limits[plan.network_card] = (on_card, self._clock.monotonic() + _LEARNT_LIMIT_S)
            if failed is not None and error.reason is Reason.SUBNET_NONE_ELIGIBLE:
                raise ReasonError(failed.reason, f"{failed.message}; {error.message}", details=error.details) from error
            raise
        added = Assigned(eni.secondary_ips, eni.ipv4_prefixes + eni.ipv6_prefixes)
        inventory = await self._inventories.get(deadline)
        return Grown("attached", eni.eni_id, added, inventory, candidates)

    async def _with_current_groups(self, node: Node) -> Node:
        try:
            return await self._inventories.node(fresh=True)
        except ReasonError as error:
            log.warning("security groups as they were last: %s", error)
            return node

    def _check_learnt_limit(self, inventory: Inventory, card: int) -> None:
        """EC2 knows better than any table: where it refused one more, it is not asked again for five minutes."""
        limit, until = self._learnt_limits.get(card, (0, 0.0))
        held = sum(eni.network_card == card for eni in inventory.enis)
        if self._clock.monotonic() < until and held >= limit:
            raise ReasonError(Reason.ENI_LIMIT, f"card {card}: EC2 refused more than {limit} ENIs")


def _without(growth: Growth, eni: Eni) -> Growth:
    return dataclasses.replace(growth, excluded_enis=growth.excluded_enis | {eni.eni_id})


def _with(eni: Eni, added: Assigned, mode: AddressMode) -> Eni:
    """The ENI after an assign call; it may give what we believed the ENI to have already."""
    if mode is AddressMode.PREFIX_IPV6:
        return dataclasses.replace(eni, ipv6_prefixes=_joined(eni.ipv6_prefixes, added.prefixes))
    return dataclasses.replace(
        eni,
        secondary_ips=_joined(eni.secondary_ips, added.ips),
        ipv4_prefixes=_joined(eni.ipv4_prefixes, added.prefixes),
    )


def _joined(held: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*held, *more)))


def _difference(before: Eni, now: Eni) -> Assigned:
    held = {*before.secondary_ips, *before.ipv4_prefixes, *before.ipv6_prefixes}
    return Assigned(
        tuple(ip for ip in now.secondary_ips if ip not in held),
        tuple(prefix for prefix in now.ipv4_prefixes + now.ipv6_prefixes if prefix not in held),
    )
