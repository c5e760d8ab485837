"""What the use cases need from outside, as small protocols. Every EC2 call ends by ``deadline`` (monotonic seconds).

EC2 calls raise ``domain.ec2_errors.Ec2Error``, IMDS reads ``ReasonError(IMDS_UNREACHABLE)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from vpccni_api.reasons import ReasonError

from vpccni_eni_manager.domain.ec2_errors import Ec2Error
from vpccni_eni_manager.domain.eni_steps import Action
from vpccni_eni_manager.domain.model import AddressMode, Assigned, Eni, InstanceLimits, Node, Subnet


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewEni:
    """Parameters of CreateNetworkInterface. ``token``: the client token that makes a repeated call return the same ENI."""

    token: str
    subnet_id: str
    security_groups: tuple[str, ...]
    description: str
    tags: Mapping[str, str]
    mode: AddressMode
    count: int
    connection_tracking: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a tried call names: real things of this node, so that policies scoped by resource or tag are judged as well."""

    instance_id: str
    instance_type: str
    subnet_id: str
    eni_id: str
    attachment_id: str
    security_groups: tuple[str, ...]
    tags: Mapping[str, str]


class DryRuns(Protocol):
    """Sends an EC2 action as a request that is not carried out; returns what EC2 answered."""

    async def __call__(self, action: str, sample: Sample, deadline: float) -> Ec2Error | None: ...


class HopLimit(Protocol):
    """Hop limit of instance metadata: 1; 2 for two or more; 0: not known."""

    async def __call__(self) -> int: ...


class Ec2(Protocol):
    """The EC2 actions in use. Each is one API call (a listing: one per page)."""

    async def enis_of(self, instance_id: str, deadline: float) -> tuple[Eni, ...]:
        """Every ENI that is attached to the instance or on its way."""

    async def eni(self, eni_id: str, deadline: float) -> Eni | None:
        """None when EC2 does not know it (which may be too early to say, for a new one)."""

    async def unattached(self, vpc_id: str, cluster: str, deadline: float) -> tuple[Eni, ...]:
        """ENIs of this VPC (and cluster) that carry the instance_id tag and are attached to nothing."""

    async def subnets(self, vpc_id: str, availability_zone: str, deadline: float) -> tuple[Subnet, ...]: ...
    async def subnet(self, subnet_id: str, deadline: float) -> Subnet | None: ...
    async def instance_limits(self, instance_type: str, deadline: float) -> InstanceLimits | None: ...
    async def create(self, new: NewEni, deadline: float) -> Eni: ...
    async def attach(self, eni_id: str, instance_id: str, device: int, card: int, deadline: float) -> str:
        """Returns the attachment id."""

    async def delete_on_termination(self, eni_id: str, attachment_id: str, deadline: float) -> None: ...
    async def set_groups(self, eni_id: str, groups: Sequence[str], deadline: float) -> None: ...
    async def detach(self, attachment_id: str, deadline: float) -> None: ...
    async def delete(self, eni_id: str, deadline: float) -> None: ...
    async def assign(self, eni_id: str, mode: AddressMode, count: int, deadline: float) -> Assigned: ...
    async def unassign_ipv4(
        self, eni_id: str, ips: Sequence[str], prefixes: Sequence[str], deadline: float
    ) -> None: ...
    async def unassign_ipv6_prefixes(self, eni_id: str, prefixes: Sequence[str], deadline: float) -> None: ...
    async def tag(self, eni_id: str, tags: Mapping[str, str], deadline: float) -> None: ...


class Imds(Protocol):
    """Instance metadata."""

    async def node(self) -> Node: ...
    async def enis(self) -> tuple[Eni, ...]:
        """Every ENI that IMDS lists, all fields read."""

    async def macs(self) -> tuple[str, ...]: ...


class Counts(Protocol):
    """Counts what the use cases met."""

    def failed(self, function: str, error: ReasonError) -> None:
        """An ENI operation failed; ``function`` is the original's name for it."""

    def imds_out_of_sync(self) -> None:
        """IMDS showed something else than is known."""

    def swept(self, action: str) -> None:
        """A leaked ENI was stamped or deleted."""


class Journal(Protocol):
    """Durable record of cloud actions under way. ``put`` and ``drop`` return after the change is on disk."""

    def entries(self) -> tuple[Action, ...]: ...
    def put(self, action: Action) -> None:
        """Adds, or replaces the entry of the same token."""

    def drop(self, token: str) -> None: ...


class LimitsCache(Protocol):
    """Limits known without asking EC2."""

    def cached(self, instance_type: str) -> InstanceLimits | None: ...
    def remember(self, instance_type: str, limits: InstanceLimits) -> None: ...
    def shipped(self, instance_type: str) -> InstanceLimits | None:
        """From the table in the package."""
