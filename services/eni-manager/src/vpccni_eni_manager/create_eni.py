"""CreateNetworkInterface in the first subnet that has room, best first; the intent is in the journal before the call."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.clock import Clock

from vpccni_eni_manager.domain import tags
from vpccni_eni_manager.domain.ec2_errors import INSUFFICIENT_CODES, PROFILE_FIELDS, Ec2Error, Failure
from vpccni_eni_manager.domain.eni_steps import Action, Step
from vpccni_eni_manager.domain.model import AddressMode, Eni, Growth, Node
from vpccni_eni_manager.domain.subnet_rules import Candidate, room_for_new_eni
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Ec2, Journal, NewEni
from vpccni_eni_manager.subnet_choice import SubnetChoice, none_left

log = logging.getLogger(__name__)


def request_of(new: NewEni) -> dict[str, Any]:
    """For the journal."""
    return dataclasses.asdict(new)


def new_eni_of(request: Mapping[str, Any]) -> NewEni:
    """From the journal."""
    known = {**request, "mode": AddressMode(request["mode"]), "security_groups": tuple(request["security_groups"])}
    return NewEni(**known)


class CreateInSubnet:
    """Tries the candidates in order. A subnet without room is set aside for a while, for this kind of address only."""

    def __init__(
        self,
        ec2: Ec2,
        inventories: Inventories,
        choice: SubnetChoice,
        journal: Journal,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._ec2 = ec2
        self._inventories = inventories
        self._choice = choice
        self._journal = journal
        self._policy = policy
        self._clock = clock

    async def __call__(
        self, token: str, count: int, growth: Growth, node: Node, deadline: float
    ) -> tuple[Eni, tuple[str, ...]]:
        """The created ENI (journalled as CREATED under ``token``) and the candidates. Raises ReasonError."""
        candidates = await self._choice.candidates(node, growth, deadline)
        seen: list[Candidate] = []
        for candidate in candidates:
            if candidate.refused:
                seen.append(candidate)
                continue
            try:
                made = await self._in_subnet(token, candidate, count, growth, node, deadline)
            except Ec2Error as error:
                if error.failure is not Failure.UNCERTAIN:
                    self._journal.drop(token)
                if error.code not in INSUFFICIENT_CODES:
                    raise _named(error, growth) from error
                self._choice.had_nothing(candidate.subnet.subnet_id, growth.mode, error.code)
                seen.append(dataclasses.replace(candidate, refused=error.code))
                continue
            self._choice.gave(candidate.subnet.subnet_id, growth.mode)
            return made, _shown((*seen, *candidates[len(seen) :]))
        _shown(seen)
        raise none_left(tuple(seen), growth, self._choice.blocked(growth.mode))

    async def _in_subnet(
        self, token: str, candidate: Candidate, count: int, growth: Growth, node: Node, deadline: float
    ) -> Eni:
        subnet = candidate.subnet
        # Candidates come fullest last: none after this one has more.
        wanted = min(count, room_for_new_eni(subnet, growth.mode, count))
        if wanted < 1:
            code = "InsufficientFreeAddressesInSubnet"
            told = f"{subnet.subnet_id} has {subnet.available_ips} free addresses"
            raise Ec2Error("CreateNetworkInterface", code, Failure.REFUSED, told)
        try:
            return await self._create(token, candidate, wanted, growth, node, deadline)
        except Ec2Error as error:
            if error.code not in INSUFFICIENT_CODES or wanted <= 1:
                raise
            smaller = 1
            if growth.mode is AddressMode.SECONDARY_IP:
                smaller = min(wanted - 1, await self._choice.available(subnet.subnet_id, deadline) - 1)
            if smaller < 1:
                raise
            return await self._create(token, candidate, smaller, growth, node, deadline)

    async def _create(
        self, token: str, candidate: Candidate, count: int, growth: Growth, node: Node, deadline: float
    ) -> Eni:
        # EC2 binds a client token to its parameters: each try with other parameters needs one of its own.
        profile = growth.profile
        groups = profile.security_groups if profile and profile.security_groups else node.security_groups
        primary = self._inventories.current.primary if self._inventories.current else None
        wanted_tags = tags.wanted(node.instance_id, self._policy.cluster, self._policy.additional_tags)
        new = NewEni(
            token=f"{token}-{candidate.subnet.subnet_id[-8:]}-{count}",
            subnet_id=candidate.subnet.subnet_id,
            security_groups=groups,
            description=tags.description(node.instance_id),
            tags=tags.at_creation(wanted_tags, self._clock.now()),
            mode=growth.mode,
            count=count,
            connection_tracking=primary.connection_tracking if primary else {},
        )
        intent = Action(token=token, step=Step.INTENDED, started_unix_s=self._clock.now(), request=request_of(new))
        self._journal.put(intent)
        made = await self._ec2.create(new, deadline)
        self._journal.put(dataclasses.replace(intent, step=Step.CREATED, eni_id=made.eni_id))
        log.info("created %s in %s with %d %s", made.eni_id, new.subnet_id, count, growth.mode)
        return made


def _shown(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Every subnet that was looked at and why it was refused: in the span, in the log, and for the caller."""
    lines = tuple(str(candidate) for candidate in candidates)
    span = telemetry.current()
    for candidate in candidates if span else ():
        assert span is not None
        span.event("subnet", {"subnet": candidate.subnet.subnet_id, "refused": candidate.refused})
    log.info("subnets for a new ENI: %s", "; ".join(lines) or "none in the zone")
    return lines


def _named(error: Ec2Error, growth: Growth) -> ReasonError:
    """A wrong ENIConfig is named as such."""
    field = PROFILE_FIELDS.get(error.code)
    if growth.profile is None or field is None:
        return error
    value = growth.profile.subnet_id if field == "subnet" else ", ".join(growth.profile.security_groups)
    return ReasonError(
        Reason.ENI_CONFIG_INVALID, f"ENIConfig {growth.profile.name}: {field} {value!r}: {error.message}"
    )
