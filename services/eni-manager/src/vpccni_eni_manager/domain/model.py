"""The values that eni-manager decides over."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping


class AddressMode(enum.StrEnum):
    """What a growth step asks EC2 for."""

    SECONDARY_IP = "secondary-ip"
    PREFIX_IPV4 = "prefix-ipv4"
    PREFIX_IPV6 = "prefix-ipv6"


class Source(enum.StrEnum):
    """Where an inventory comes from. IMDS may be minutes behind; EC2 was asked, or told by us and agreed."""

    IMDS = "imds"
    EC2 = "ec2"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Eni:
    """One attached (or attaching, detaching) ENI.

    ``interface_type``: EC2's word (interface, trunk, efa, efa-only, …). ``status``: attaching, attached, detaching,
    detached, or available (not attached at all). ``managed`` and ``unmanaged_why``: domain/managed.py.
    ``excluded_why``: its subnet must not give addresses to pods (domain/subnet_rules.py); empty: it may.
    """

    eni_id: str
    mac: str = ""
    device_number: int = 0
    network_card: int = 0
    subnet_id: str = ""
    subnet_cidr: str = ""
    subnet_ipv6_cidr: str = ""
    primary_ip: str = ""
    secondary_ips: tuple[str, ...] = ()
    ipv4_prefixes: tuple[str, ...] = ()
    ipv6_prefixes: tuple[str, ...] = ()
    ipv6_addresses: tuple[str, ...] = ()
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interface_type: str = "interface"
    is_primary: bool = False
    managed: bool = True
    unmanaged_why: str = ""
    excluded_why: str = ""
    status: str = "attached"
    attached_unix_s: float = 0.0
    attachment_id: str = ""
    attached_to: str = ""
    delete_on_termination: bool = True
    security_groups: tuple[str, ...] = ()
    connection_tracking: Mapping[str, int] = dataclasses.field(default_factory=dict)
    description: str = ""

    @property
    def ipv4_slots_used(self) -> int:
        """Secondary addresses and prefixes draw on the same limit (EC2 user guide, "IP addresses per network interface")."""
        return len(self.secondary_ips) + len(self.ipv4_prefixes)


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkCard:
    """A network card and how many ENIs it takes."""

    index: int
    max_enis: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLimits:
    """What an instance type holds. ``ipv4_per_eni`` includes the ENI's primary address.

    ``hypervisor``: nitro, xen or unknown. ``source``: ec2, cache, table or default, best first.
    """

    max_enis: int
    ipv4_per_eni: int
    ipv6_per_eni: int
    cards: tuple[NetworkCard, ...] = ()
    hypervisor: str = "unknown"
    bare_metal: bool = False
    trunking_compatible: bool = True
    source: str = "ec2"

    @property
    def ipv4_slots(self) -> int:
        """Secondary IPs or prefixes that one ENI takes."""
        return max(0, self.ipv4_per_eni - 1)

    @property
    def prefixes_supported(self) -> bool:
        """Prefix delegation needs Nitro or bare metal. An unknown type gets the benefit of the doubt: EC2 will say."""
        return self.bare_metal or self.hypervisor != "xen"

    def enis_on_card(self, card: int) -> int:
        """0 when the type has no such card."""
        for known in self.cards:
            if known.index == card:
                return known.max_enis
        return self.max_enis if card == 0 else 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Who we are, from IMDS. ``security_groups``: those of the primary ENI, as IMDS lists them now."""

    instance_id: str
    instance_type: str
    region: str
    availability_zone: str
    vpc_id: str
    subnet_id: str
    primary_mac: str
    primary_ip: str
    primary_eni: str
    primary_ipv6: str = ""
    vpc_ipv4_cidrs: tuple[str, ...] = ()
    vpc_ipv6_cidrs: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All ENIs of the instance, by card and device number. ``generation`` grows with every change."""

    enis: tuple[Eni, ...]
    source: Source
    generation: int
    vpc_ipv4_cidrs: tuple[str, ...] = ()

    def eni(self, eni_id: str) -> Eni | None:
        return next((eni for eni in self.enis if eni.eni_id == eni_id), None)

    @property
    def primary(self) -> Eni | None:
        return next((eni for eni in self.enis if eni.is_primary), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """Subnet and security groups for new ENIs other than the node's own (from an ENIConfig)."""

    name: str
    subnet_id: str
    security_groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One wish for capacity.

    ``want`` >= 1: addresses (or prefixes). ``whole_eni``: a new ENI is filled to its limit. ``max_enis``: per card, 0 for
    the instance's limit. ``reserved_enis``: slots to leave free. ``excluded_enis``: not to be filled.
    """

    mode: AddressMode = AddressMode.SECONDARY_IP
    want: int = 1
    whole_eni: bool = False
    max_enis: int = 0
    reserved_enis: int = 0
    network_card: int = 0
    excluded_enis: frozenset[str] = frozenset()
    profile: Profile | None = None
    may_create_eni: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Subnet:
    """``available_ips``: EC2's AvailableIpAddressCount (a prefix counts 16); -1: not known."""

    subnet_id: str
    vpc_id: str
    availability_zone: str
    cidr: str
    available_ips: int
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ipv6_cidr: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Assigned:
    """What one assign call added."""

    ips: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
