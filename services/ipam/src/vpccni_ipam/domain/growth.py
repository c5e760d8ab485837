"""What to ask eni-manager for next, and which waiting ADDs growth can never serve."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from vpccni_ipam.domain.model import AddressMode, EniState, InstanceLimits
from vpccni_ipam.domain.pool_eni import PoolEni
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import PREFIX_SIZE, Targets, is_low, short_addresses, short_prefixes


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    """What the instance may hold. ``max_enis`` is capped by MAX_ENI; ``reserved_enis`` are kept for a trunk to come."""

    limits: InstanceLimits
    max_enis: int
    reserved_enis: int = 0

    def pod_enis(self, *, without_primary: bool) -> int:
        """ENIs whose addresses pods can get. ``without_primary``: under custom networking the primary ENI's are not used."""
        return max(0, self.max_enis - self.reserved_enis - without_primary)


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """What is left of it: free slots on attached ENIs that take addresses, and ENIs that may still be attached."""

    attached: int
    new_enis: int
    slots_per_eni: int

    @property
    def slots(self) -> int:
        return self.attached + self.new_enis * self.slots_per_eni

    def addresses(self, mode: AddressMode) -> int:
        return self.slots * _SLOT_SIZE[mode]


_SLOT_SIZE: Final = {
    AddressMode.SECONDARY_IP: 1,
    AddressMode.PREFIX_IPV4: PREFIX_SIZE,
    AddressMode.PREFIX_IPV6: 1 << 48,
}


@dataclasses.dataclass(frozen=True, slots=True)
class GrowthStep:
    """One EnsureCapacity call: ``want`` addresses or prefixes; ``whole_eni``: a new ENI is filled to its limit."""

    want: int
    whole_eni: bool
    may_create_eni: bool


# (first, longest) pause in seconds after a failed step; what only a person or another node can change is asked rarely, and by a pool
# that is only below its target, with no ADD waiting, hardly ever: every step of it costs EC2 calls that bring nothing.
_PAUSE: Final = (0.2, 20.0)
_PAUSE_FINAL: Final = (2.0, 120.0)
_PAUSE_AT_REST: Final = (2.0, 1800.0)


def retry_pause_s(failures: int, share: float, *, final: bool, demand: bool) -> float:
    """Seconds until a failed step is tried again. ``failures``: failed steps before this one. ``share``: 0 to 1 at random, so that nodes
    do not ask all at once. ``final``: waiting alone does not help. ``demand``: ADDs wait."""
    first, longest = _PAUSE if not final else _PAUSE_FINAL if demand else _PAUSE_AT_REST
    return first / 2 + min(longest, first * 2.0 ** min(failures, 16)) * share


def takes_addresses(eni: PoolEni) -> bool:
    """Whether eni-manager fills it: set up or being so, an ordinary interface, its subnet not excluded."""
    ordinary = eni.facts.interface_type == "interface" and not eni.facts.excluded_why
    return ordinary and eni.state in (EniState.USABLE, EniState.ATTACHING)


def room_left(slots: Slots, enis: Iterable[PoolEni], unmanaged: int, *, ipv6: bool = False) -> Room:
    """``unmanaged``: ENIs attached to the same card that are not in the pool; they occupy slots all the same.

    ``ipv6``: an ENI has room for one /80 prefix.
    """
    enis = list(enis)
    per_eni = 1 if ipv6 else slots.limits.slots_per_eni
    attached = sum(max(0, per_eni - eni.slots_used) for eni in enis if takes_addresses(eni))
    new = max(0, slots.max_enis - slots.reserved_enis - unmanaged - len(enis))
    return Room(attached, new, per_eni)


def next_step(targets: Targets, supply: Supply, limits: InstanceLimits, room: Room) -> GrowthStep | None:
    """The next call towards the target; None when the pool is not low or the instance is full."""
    if not is_low(targets, supply, limits) or room.slots == 0:
        return None
    may_create = room.new_enis > 0
    if targets.ipv6:
        return GrowthStep(1, False, may_create)
    if targets.prefixes:
        return GrowthStep(max(1, short_prefixes(targets, supply)), False, may_create)
    if targets.by_address:
        short = short_addresses(targets, supply)
        if targets.max_pods:
            short = min(short, targets.max_pods - supply.total)
        return GrowthStep(max(1, short), False, may_create)
    return GrowthStep(limits.slots_per_eni, True, may_create)


def servable(targets: Targets, supply: Supply, room: Room) -> int:
    """How many waiting ADDs can be served without any pod leaving: what is free, on its way, cooling, or can be grown."""
    at_hand = supply.free + supply.incoming + supply.cooling + supply.other_mode
    growth = room.addresses(targets.mode)
    if targets.max_pods:
        growth = min(growth, max(0, targets.max_pods - supply.total))
    return at_hand + growth
