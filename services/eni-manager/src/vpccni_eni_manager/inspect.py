"""Inspect: what eni-manager knows and how much of its EC2 budget is left. Read only, no call to AWS."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from vpccni_kit.health import Dependency, HealthBoard

from vpccni_eni_manager.domain.access import SubnetState, subnet_states
from vpccni_eni_manager.domain.bucket import ApiClass, Bucket
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy


class ApiCount(Protocol):
    """Of one EC2 action since the start."""

    calls: int
    errors: int
    throttled: int


class Budget(Protocol):
    """The pace of EC2 calls, and what was called."""

    @property
    def counts(self) -> Mapping[str, ApiCount]: ...
    def buckets(self) -> Mapping[ApiClass, Bucket]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Overview:
    buckets: Mapping[ApiClass, Bucket]
    counts: Mapping[str, ApiCount]
    subnets: tuple[SubnetState, ...]
    dependencies: Mapping[str, Dependency]
    settings: Mapping[str, str]


class Inspect:
    """One per process."""

    def __init__(
        self,
        budget: Budget,
        inventories: Inventories,
        board: HealthBoard,
        policy: Policy,
        settings: Mapping[str, str],
    ) -> None:
        self._budget = budget
        self._inventories = inventories
        self._board = board
        self._policy = policy
        self._settings = settings

    def __call__(self) -> Overview:
        node = self._inventories.known_node
        primary = node.subnet_id if node else ""
        return Overview(
            self._budget.buckets(),
            self._budget.counts,
            subnet_states(self._inventories.known_subnets, primary, self._policy.cluster),
            self._board.dependencies,
            self._settings,
        )
