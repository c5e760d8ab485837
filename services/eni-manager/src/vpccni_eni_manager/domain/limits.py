"""Instance limits from EC2's answer, from one line of the shipped table, or a default that is never fatal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from vpccni_eni_manager.domain.model import InstanceLimits, NetworkCard

# An unknown type: the smallest that every current generation holds. EC2 itself refuses what is too much, and says so.
DEFAULT: Final = InstanceLimits(
    max_enis=2, ipv4_per_eni=4, ipv6_per_eni=4, cards=(NetworkCard(0, 2),), hypervisor="unknown", source="default"
)


def trunking_compatible(instance_type: str, hypervisor: str) -> bool:
    """Whether a trunk ENI is possible: Nitro except the t families (EKS user guide, "Security groups for Pods").

    Unknown counts as possible, as in the original: a reserved slot too many is better than a trunk that never fits.
    """
    family = instance_type.split(".", 1)[0]
    burstable = family[:1] == "t" and family[1:2].isdigit()
    return not burstable and hypervisor != "xen"


def from_ec2(instance_type: str, answer: Mapping[str, Any]) -> InstanceLimits | None:
    """One entry of DescribeInstanceTypes; None when it has no usable figures.

    The ENI limit is that of card 0: EC2's MaximumNetworkInterfaces is the sum over all cards.
    """
    network = answer.get("NetworkInfo") or {}
    cards = tuple(
        NetworkCard(int(card["NetworkCardIndex"]), int(card["MaximumNetworkInterfaces"]))
        for card in network.get("NetworkCards") or ()
        if card.get("MaximumNetworkInterfaces")
    )
    total, ipv4 = int(network.get("MaximumNetworkInterfaces") or 0), int(network.get("Ipv4AddressesPerInterface") or 0)
    first = next((card.max_enis for card in cards if card.index == 0), total)
    if first < 1 or ipv4 < 1:
        return None
    hypervisor = str(answer.get("Hypervisor") or "unknown")
    return InstanceLimits(
        max_enis=first,
        ipv4_per_eni=ipv4,
        ipv6_per_eni=int(network.get("Ipv6AddressesPerInterface") or 0),
        cards=cards or (NetworkCard(0, first),),
        hypervisor=hypervisor,
        bare_metal=bool(answer.get("BareMetal")),
        trunking_compatible=trunking_compatible(instance_type, hypervisor),
        source="ec2",
    )


def to_line(instance_type: str, limits: InstanceLimits) -> str:
    """One line of the table: type, IPv4 and IPv6 per ENI, hypervisor, bare metal (0 or 1), ENIs of card 0, 1, …"""
    by_card = ",".join(str(card.max_enis) for card in sorted(limits.cards, key=lambda card: card.index))
    fields = (
        instance_type,
        limits.ipv4_per_eni,
        limits.ipv6_per_eni,
        limits.hypervisor,
        int(limits.bare_metal),
        by_card,
    )
    return " ".join(str(field) for field in fields)


def from_line(line: str, source: str) -> tuple[str, InstanceLimits]:
    """Inverse of to_line. Raises ValueError for a malformed line."""
    name, ipv4, ipv6, hypervisor, bare_metal, by_card = line.split()
    cards = tuple(NetworkCard(index, int(count)) for index, count in enumerate(by_card.split(",")))
    limits = InstanceLimits(
        max_enis=cards[0].max_enis,
        ipv4_per_eni=int(ipv4),
        ipv6_per_eni=int(ipv6),
        cards=cards,
        hypervisor=hypervisor,
        bare_metal=bare_metal == "1",
        trunking_compatible=trunking_compatible(name, hypervisor),
        source=source,
    )
    if limits.max_enis < 1 or limits.ipv4_per_eni < 1:
        raise ValueError(f"limits of {name}: {line!r}")
    return name, limits


def as_source(limits: InstanceLimits, source: str) -> InstanceLimits:
    return dataclasses.replace(limits, source=source)
