"""Instance types: limits and descriptions, from the data that moto ships (the output of EC2's DescribeInstanceTypes)."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib.resources
import json
from typing import Any, cast

from vpccni_lab.ec2.errors import Ec2Error


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkCard:
    index: int
    max_interfaces: int
    interface_types: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceType:
    """``ipv4_per_eni`` and ``ipv6_per_eni``: addresses per ENI, the primary included; a prefix counts as one."""

    name: str
    ipv4_per_eni: int
    ipv6_per_eni: int
    hypervisor: str  # nitro, xen, or "" (bare metal and unknown)
    bare_metal: bool
    cards: tuple[NetworkCard, ...]
    default_card: int

    @property
    def prefixes(self) -> bool:
        """Only Nitro and bare metal take prefixes (EC2 user guide, "Prefix delegation for network interfaces")."""
        return self.hypervisor == "nitro" or self.bare_metal

    @property
    def max_interfaces(self) -> int:
        return sum(card.max_interfaces for card in self.cards)

    def card(self, index: int) -> NetworkCard | None:
        return next((card for card in self.cards if card.index == index), None)


@functools.cache
def descriptions() -> dict[str, dict[str, Any]]:
    """All types by name, each as DescribeInstanceTypes describes it."""
    data = importlib.resources.files("moto").joinpath("ec2/resources/instance_types.json.gz").read_bytes()
    return cast("dict[str, dict[str, Any]]", json.loads(gzip.decompress(data)))


@functools.cache
def instance_type(name: str) -> InstanceType:
    """Raises Ec2Error InvalidInstanceType for a name that is not in the data."""
    raw = descriptions().get(name)
    if raw is None:
        raise Ec2Error("InvalidInstanceType", f"The following supplied instance types do not exist: [{name}]")
    net = raw["NetworkInfo"]
    cards = tuple(
        NetworkCard(
            card["NetworkCardIndex"],
            card["MaximumNetworkInterfaces"],
            tuple(card.get("InterfaceTypes", ("interface",))),
        )
        for card in net.get("NetworkCards", ())
    ) or (NetworkCard(0, net["MaximumNetworkInterfaces"], ("interface",)),)
    return InstanceType(
        name=name,
        ipv4_per_eni=net["Ipv4AddressesPerInterface"],
        ipv6_per_eni=net.get("Ipv6AddressesPerInterface", 0) if net.get("Ipv6Supported") else 0,
        hypervisor=raw.get("Hypervisor", ""),
        bare_metal=bool(raw.get("BareMetal")),
        cards=cards,
        default_card=net.get("DefaultNetworkCardIndex", 0),
    )
