"""Inspect: the pool as it stands, for the CLI and the introspection pages. Read only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from vpccni_api.reasons import ReasonError
from vpccni_kit.health import Dependency, HealthBoard

from vpccni_ipam.domain.model import AddressState, Assignment, EniState, PodIdentity, PodKey
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import deficit
from vpccni_ipam.grow import Grow
from vpccni_ipam.owner import Growth, PoolOwner


@dataclasses.dataclass(frozen=True, slots=True)
class AddressLine:
    """One address; ``key`` and ``pod`` when it is assigned; ``since_unix``: when it entered this state, 0: not known."""

    address: str
    state: AddressState
    cidr: str
    eni_id: str
    since_unix: float = 0.0
    key: PodKey | None = None
    pod: PodIdentity | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class CidrLines:
    cidr: str
    is_prefix: bool
    size: int
    addresses: tuple[AddressLine, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class EniLines:
    eni: PoolEni
    state: EniState
    cidrs: tuple[CidrLines, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Overview:
    enis: tuple[EniLines, ...]
    homeless: tuple[AddressLine, ...]
    supply: Supply
    deficit: int
    growth: Growth
    dependencies: dict[str, Dependency]
    refusal: ReasonError | None = None  # of an ADD now; None while an address is free
    branches: tuple[Assignment, ...] = ()  # pods with branch ENIs, which take no address of the pool


class Inspect:
    """One per process."""

    def __init__(self, owner: PoolOwner, grow: Grow, health: HealthBoard) -> None:
        self._owner = owner
        self._grow = grow
        self._health = health
        self.branches: Callable[[], Iterable[Assignment]] = lambda: ()
        """Pods with branch ENIs."""

    def __call__(self) -> Overview:
        owner, pool = self._owner, self._owner.pool
        supply = owner.supply()
        slots = self._grow.slots
        homeless = tuple(
            AddressLine(a.address, AddressState.QUARANTINED, "", a.eni_id, a.assigned_unix_ns / 1e9, a.key, a.pod)
            for a in pool.homeless()
        )
        return Overview(
            enis=tuple(eni_lines(pool, eni) for eni in pool.enis.values()),
            homeless=homeless,
            supply=supply,
            deficit=deficit(self._grow.targets, supply, slots.limits) if slots else 0,
            growth=owner.growth,
            dependencies=dict(self._health.dependencies),
            refusal=owner.refusal(),
            branches=tuple(self.branches()),
        )


def eni_lines(pool: Pool, eni: PoolEni) -> EniLines:
    released = {cool.address: cool.released_unix for cool in pool.cooling()}
    cidrs: list[CidrLines] = []
    for block in eni.blocks.values():
        lines: list[AddressLine] = []
        for address in pool.addresses_in(block):
            state = pool.state_of(address, eni)
            key = pool.holder(address)
            item = pool.find(key) if key is not None else None
            since = item.assigned_unix_ns / 1e9 if item is not None else released.get(address, 0.0)
            pod = item.pod if item is not None else None
            lines.append(AddressLine(address, state, block.cidr_of(address), eni.facts.eni_id, since, key, pod))
        if block.is_prefix:
            cidrs.append(CidrLines(block.cidr, True, block.size, tuple(lines)))
        else:
            cidrs += [CidrLines(line.cidr, False, 1, (line,)) for line in lines]
    return EniLines(eni, eni.state, tuple(cidrs))
