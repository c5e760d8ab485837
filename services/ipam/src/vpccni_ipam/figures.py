"""What is shown of the node beside its pool: on the node page, and in Inspect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """``drift``: repairs by kind of kernel object since the start. ``max_pods``: most addresses that are kept, 0 for no cap.
    ``kubelet_pods``: the node's capacity as the API server has it, 0 for not known. ``pending_dels``: queued on disk."""

    drift: Mapping[str, int] = dataclasses.field(default_factory=dict)
    max_pods: int = 0
    kubelet_pods: int = 0
    pending_dels: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class ApiClass:
    """A token bucket of eni-manager: ``level`` calls may go out at once, ``rate`` per second now, ``ceiling`` at full pace."""

    name: str
    level: float
    rate: float
    ceiling: float


@dataclasses.dataclass(frozen=True, slots=True)
class ApiCalls:
    """Of one EC2 action, since eni-manager's start."""

    api: str
    calls: int
    errors: int
    throttled: int


@dataclasses.dataclass(frozen=True, slots=True)
class SubnetFigures:
    """``free`` -1: not known. ``refused_why``: why no ENI may be made in it; empty: it may."""

    subnet_id: str
    zone: str
    free: int
    refused_why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ec2Figures:
    """What eni-manager says of EC2."""

    classes: tuple[ApiClass, ...] = ()
    calls: tuple[ApiCalls, ...] = ()
    subnets: tuple[SubnetFigures, ...] = ()
