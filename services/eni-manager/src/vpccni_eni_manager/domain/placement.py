"""Where capacity comes from: an attached ENI with room, or a new one in a free slot, or nowhere and why.

Order: the fullest ENI with room first, so that the emptiest can be given back one day; ties by device number. Filling is
cheap (one call) and quick, so a new ENI is made only when nothing attached has room.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Final

from vpccni_api.reasons import Reason

from vpccni_eni_manager.domain.model import AddressMode, Eni, Growth, InstanceLimits, Inventory

# EC2 numbers devices from 0; no instance type comes near (the original looks at 0 to 99 as well).
MAX_DEVICE_INDEX: Final = 99


@dataclasses.dataclass(frozen=True, slots=True)
class Assign:
    """Ask for ``count`` more addresses or prefixes on an attached ENI."""

    eni: Eni
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class CreateEni:
    """Make an ENI with ``count`` addresses or prefixes and attach it there."""

    network_card: int
    device_index: int
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing can be done; ``message`` names the figures."""

    reason: Reason
    message: str


Plan = Assign | CreateEni | Refuse


def room(eni: Eni, limits: InstanceLimits, mode: AddressMode) -> int:
    """How many more addresses or prefixes of this kind the ENI takes, 0 or more. IPv6: one /80 per ENI is all a node needs."""
    if mode is AddressMode.PREFIX_IPV6:
        return 0 if eni.ipv6_prefixes else 1
    return max(0, limits.ipv4_slots - eni.ipv4_slots_used)


def unfit_why(eni: Eni, growth: Growth) -> str:
    """Why this ENI must not be filled; empty when it may."""
    if eni.network_card != growth.network_card:
        return f"on card {eni.network_card}"
    if not eni.managed:
        return f"not managed ({eni.unmanaged_why})"
    if eni.status != "attached":
        return eni.status
    if eni.interface_type != "interface":
        return f"interface type {eni.interface_type}"
    if eni.eni_id in growth.excluded_enis:
        return "excluded by the request"
    if growth.profile is not None and (eni.is_primary or eni.subnet_id != growth.profile.subnet_id):
        return f"not in subnet {growth.profile.subnet_id} of profile {growth.profile.name}"
    return eni.excluded_why


def fillable(inventory: Inventory, limits: InstanceLimits, growth: Growth) -> tuple[Eni, ...]:
    """ENIs with room, the fullest first."""
    fit = [eni for eni in inventory.enis if not unfit_why(eni, growth) and room(eni, limits, growth.mode)]
    return tuple(sorted(fit, key=lambda eni: (room(eni, limits, growth.mode), eni.device_number)))


def free_device_index(enis: Iterable[Eni], network_card: int, taken: Collection[int] = ()) -> int | None:
    """Lowest device number that no ENI on the card has (EC2 counts per card) and that is not among ``taken``."""
    used = {eni.device_number for eni in enis if eni.network_card == network_card}.union(taken)
    return next((index for index in range(MAX_DEVICE_INDEX + 1) if index not in used), None)


def eni_cap(limits: InstanceLimits, growth: Growth) -> int:
    """ENIs that the card may hold, after MAX_ENI and reserved slots."""
    on_card = limits.enis_on_card(growth.network_card)
    asked = min(growth.max_enis, on_card) if growth.max_enis else on_card
    return max(0, asked - growth.reserved_enis)


def plan_growth(inventory: Inventory, limits: InstanceLimits, growth: Growth) -> Plan:
    """The next step for a wish (ipam.md 3.2, "Room", of the original: every ENI on the card occupies a slot, ours or not)."""
    if growth.mode is AddressMode.PREFIX_IPV4 and not limits.prefixes_supported:
        return Refuse(
            Reason.SUBNET_NO_PREFIX,
            f"prefix delegation needs a Nitro or bare metal instance; the hypervisor is {limits.hypervisor}",
        )
    for eni in fillable(inventory, limits, growth):
        return Assign(eni, min(growth.want, room(eni, limits, growth.mode)))
    return _plan_new_eni(inventory, limits, growth)


def _plan_new_eni(inventory: Inventory, limits: InstanceLimits, growth: Growth) -> Plan:
    card = growth.network_card
    on_card = [eni for eni in inventory.enis if eni.network_card == card]
    cap = eni_cap(limits, growth)
    held = f"card {card}: {len(on_card)} of {cap} ENIs attached, none of them has room"
    if not limits.enis_on_card(card):
        return Refuse(Reason.REQUEST_INVALID, f"network_card={card}: the instance type has no such card")
    if len(on_card) >= cap:
        kept = f" ({growth.reserved_enis} slots reserved)" if growth.reserved_enis else ""
        return Refuse(Reason.ENI_LIMIT, held + kept)
    if not growth.may_create_eni:
        return Refuse(Reason.ENI_LIMIT, f"{held}, and no ENI may be created")
    index = free_device_index(on_card, card)
    slots = 1 if growth.mode is AddressMode.PREFIX_IPV6 else limits.ipv4_slots
    if index is None or not slots:
        why = "no device number is free" if index is None else "an ENI takes no address beside its primary one"
        return Refuse(Reason.ENI_LIMIT, f"{held}; {why}")
    return CreateEni(card, index, slots if growth.whole_eni else min(growth.want, slots))
