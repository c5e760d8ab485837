"""What the pools of a node aim at, and what they may take: targets and slots of each network card."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.growth import Slots
from vpccni_ipam.domain.model import EniFacts, InstanceLimits, NodeFacts
from vpccni_ipam.domain.targets import Targets, on_further_card, pods_by_formula


class CardPlan(NamedTuple):
    targets: Targets
    slots: Slots


@dataclasses.dataclass(frozen=True, slots=True)
class NodeWishes:
    """``targets``: as the settings have them. ``max_eni``: MAX_ENI, per card; 0: the instance type's limit. ``max_pods`` 0: by
    the instance type's formula. ``trunk``: the node may get a trunk ENI. ``without_primary``: custom networking."""

    targets: Targets
    max_eni: int = 0
    max_pods: int = 0
    trunk: bool = False
    without_primary: bool = False
    multi_nic: bool = False


def lacks_prefixes(targets: Targets, facts: NodeFacts) -> bool:
    """Whether prefixes are wanted and the instance has none. Raises ReasonError(CONFIG_INVALID) where nothing can stand in."""
    lacks = targets.prefixes and not facts.limits.prefixes_supported
    if lacks and targets.ipv6:
        raise ReasonError(
            Reason.CONFIG_INVALID,
            f"ENABLE_IPv6=true on {facts.instance_type}: IPv6 needs prefixes, which only Nitro and bare metal have",
        )
    return lacks


def plan_cards(wishes: NodeWishes, limits: InstanceLimits) -> dict[int, CardPlan]:
    """By network card, 0 first. A trunk is attached to card 0, and only there a slot is kept for it."""
    prefixes = wishes.targets.prefixes and limits.prefixes_supported
    slots = Slots(limits, _most(wishes, limits.max_enis), int(wishes.trunk and limits.trunking_compatible))
    pod_enis = slots.pod_enis(without_primary=wishes.without_primary)
    max_pods = wishes.max_pods or pods_by_formula(limits, pod_enis, prefixes=prefixes)
    targets = dataclasses.replace(wishes.targets, prefixes=prefixes, max_pods=max_pods)
    plans = {0: CardPlan(targets, slots)}
    for card, most in limits.further_cards if wishes.multi_nic else ():
        plans[card] = CardPlan(on_further_card(targets), Slots(limits, _most(wishes, most)))
    return plans


def _most(wishes: NodeWishes, enis: int) -> int:
    return min(wishes.max_eni or enis, enis)


def efa_only_why(card: int, enis: Iterable[EniFacts]) -> str:
    """Why pods get no address of a further network card: all that is managed on it is EFA-only; empty: they do. A card without
    any ENI gets one."""
    there = [eni for eni in enis if eni.network_card == card]
    others = any(eni.managed and eni.interface_type != "efa-only" for eni in there)
    if others or not any(eni.interface_type == "efa-only" for eni in there):
        return ""
    return f"network card {card} has only an EFA-only interface"
