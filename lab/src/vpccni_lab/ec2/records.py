"""Records of the EC2 model: frozen, so that a view of the past is just a reference to an older record.

Addresses are strings in canonical form; a primary IPv4 address is kept apart from the secondary ones. Times are seconds
of the model's clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

ACCOUNT = "123456789012"
REGION = "us-west-2"
IPV4_PREFIX_LEN = 28
IPV6_PREFIX_LEN = 80
PREFIX_SIZE = 16

Tags = Mapping[str, str]
NO_TAGS: Tags = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class Vpc:
    id: str
    cidrs: tuple[IPv4Network, ...]
    ipv6_cidrs: tuple[IPv6Network, ...] = ()
    association_ids: tuple[str, ...] = ()
    ipv6_association_ids: tuple[str, ...] = ()
    default_group: str = ""
    tags: Tags = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class CidrReservation:
    id: str
    subnet_id: str
    cidr: IPv4Network | IPv6Network
    kind: str  # "prefix" or "explicit"
    description: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    vpc_id: str
    az: str
    cidr: IPv4Network
    ipv6_cidr: IPv6Network | None = None
    ipv6_association_id: str = ""
    map_public_ip: bool = False
    tags: Tags = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One security group rule. ``protocol``: tcp, udp, icmp, icmpv6 or -1 (all); ``source``: CIDR, or a group id."""

    egress: bool
    protocol: str
    from_port: int
    to_port: int
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class SecurityGroup:
    id: str
    vpc_id: str
    name: str
    description: str = ""
    rules: tuple[Rule, ...] = ()
    tags: Tags = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """``status``: attaching, attached or detaching (an ENI without one has no attachment)."""

    id: str
    instance_id: str
    device_index: int
    network_card: int
    status: str
    attach_time: float
    delete_on_termination: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class TrunkAssociation:
    """How a branch ENI is carried: over the link of ENI ``trunk_id``, with the tag ``vlan_id`` (1 to 4094)."""

    id: str
    trunk_id: str
    vlan_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class PublicAddress:
    """A public IPv4 address. ``allocation_id`` is empty for one that EC2 assigned at launch (not elastic)."""

    public_ip: str
    allocation_id: str = ""
    association_id: str = ""
    eni_id: str = ""
    private_ip: str = ""
    tags: Tags = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionTracking:
    """Idle timeouts in seconds; None: EC2's default."""

    tcp_established: int | None = None
    udp: int | None = None
    udp_stream: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Eni:
    id: str
    mac: str
    vpc_id: str
    subnet_id: str
    az: str
    private_ip: str
    secondary_ips: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    ipv6_addresses: tuple[str, ...] = ()
    ipv6_prefixes: tuple[str, ...] = ()
    description: str = ""
    groups: tuple[str, ...] = ()
    interface_type: str = "interface"
    source_dest_check: bool = True
    requester_id: str = ""
    requester_managed: bool = False
    attachment: Attachment | None = None
    trunk: TrunkAssociation | None = None
    public: tuple[PublicAddress, ...] = ()
    connection_tracking: ConnectionTracking | None = None
    created_at: float = 0.0
    tags: Tags = dataclasses.field(default_factory=dict)

    @property
    def status(self) -> str:
        return "in-use" if self.attachment or self.trunk else "available"

    @property
    def instance_id(self) -> str:
        return self.attachment.instance_id if self.attachment else ""

    @property
    def on_wire(self) -> bool:
        """Whether the instance has the link: attached, or not yet fully detached."""
        return self.attachment is not None and self.attachment.status in ("attached", "detaching")

    @property
    def ipv4_slots(self) -> int:
        """How much of the type's addresses-per-interface limit is used: a prefix counts as one address."""
        return (1 if self.private_ip else 0) + len(self.secondary_ips) + len(self.prefixes)

    @property
    def ipv6_slots(self) -> int:
        return len(self.ipv6_addresses) + len(self.ipv6_prefixes)

    @property
    def private_ips(self) -> tuple[str, ...]:
        """Primary first."""
        return ((self.private_ip,) if self.private_ip else ()) + self.secondary_ips


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """``state``: running, shutting-down or terminated (launch is immediate here)."""

    id: str
    type: str
    az: str
    vpc_id: str
    subnet_id: str
    private_ip: str
    launch_time: float
    reservation_id: str = ""
    image_id: str = ""
    state: str = "running"
    groups: tuple[str, ...] = ()
    role: str = ""
    given_name: str = ""
    client_token: str = ""
    tags: Tags = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.given_name or self.tags.get("Name", "") or self.id

    @property
    def alive(self) -> bool:
        return self.state == "running"
