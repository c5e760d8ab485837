"""Values that the pool, the targets and the checkpoint share."""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple

from vpccni_ipam.domain.egress import Egress


class AddressState(enum.StrEnum):
    """docs/pool.md, "States of an address"."""

    FREE = "free"
    ASSIGNED = "assigned"
    COOLING = "cooling"
    QUARANTINED = "quarantined"


class EniState(enum.StrEnum):
    """attaching: not set up in the kernel yet; quarantined: gives no address, keeps its pods; releasing: on its way out."""

    ATTACHING = "attaching"
    USABLE = "usable"
    QUARANTINED = "quarantined"
    RELEASING = "releasing"


class AddressMode(enum.StrEnum):
    """What a step of growth adds to an ENI: single secondary addresses, IPv4 /28 prefixes, or an IPv6 /80 prefix."""

    SECONDARY_IP = "secondary-ip"
    PREFIX_IPV4 = "prefix-ipv4"
    PREFIX_IPV6 = "prefix-ipv6"


class Moment(NamedTuple):
    """One reading of both clocks in seconds: ``mono`` for waiting, ``unix`` for what is shown and stored."""

    mono: float
    unix: float


class PodKey(NamedTuple):
    """Idempotency key of a pod interface (the original's IPAM key)."""

    network_name: str
    container_id: str
    ifname: str


@dataclasses.dataclass(frozen=True, slots=True)
class PodIdentity:
    """Who the pod is; empty strings where the runtime is not Kubernetes."""

    namespace: str = ""
    name: str = ""
    uid: str = ""

    @property
    def known(self) -> bool:
        return bool(self.namespace and self.name)


@dataclasses.dataclass(frozen=True, slots=True)
class Wiring:
    """How a pod interface is connected. ``mtu`` in bytes.

    ``index``: place among the interfaces that the pod has of us, one per network card; ``interfaces``: how many those are.
    """

    host_veth: str
    netns: str = ""
    mtu: int = 9001
    index: int = 0
    interfaces: int = 1
    egress: Egress | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """A pod's branch ENI, carried over the trunk's link with the tag ``vlan_id`` (1 to 4094). ``strict``: see netconf."""

    eni_id: str
    vlan_id: int
    mac: str
    subnet_cidr: str
    gateway: str
    trunk_mac: str
    strict: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """An address that a pod interface holds. ``eni_id`` is empty and ``route_table`` 0 when they are not known (restored)."""

    key: PodKey
    pod: PodIdentity
    wiring: Wiring
    address: str
    assigned_unix_ns: int
    eni_id: str = ""
    device_number: int = 0
    route_table: int = 0
    branch: Branch | None = None

    @property
    def ifname(self) -> str:
        """Name inside the pod: what the runtime asks for, and the original's name on further network cards."""
        return inside_name(self.key, self.wiring.index)


def inside_name(key: PodKey, index: int) -> str:
    return f"mNicIf{index}" if index else key.ifname


@dataclasses.dataclass(frozen=True, slots=True)
class Cooling:
    """A released address that is not given out again before ``until`` (monotonic seconds)."""

    address: str
    released_unix: float
    until: float
    eni_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class EniFacts:
    """One attached ENI as EC2 or IMDS tells it. ``secondary_ips`` leaves the primary out; ``attached_unix_s`` 0: not known.

    ``excluded_why``: why its pods keep their addresses but no further pod gets one (its subnet's tags); empty: it gives.
    """

    eni_id: str
    mac: str = ""
    device_number: int = 0
    network_card: int = 0
    subnet_id: str = ""
    subnet_cidr: str = ""
    primary_ip: str = ""
    secondary_ips: tuple[str, ...] = ()
    ipv4_prefixes: tuple[str, ...] = ()
    ipv6_prefixes: tuple[str, ...] = ()
    interface_type: str = "interface"
    is_primary: bool = False
    managed: bool = True
    attached_unix_s: float = 0.0
    excluded_why: str = ""

    @property
    def is_trunk(self) -> bool:
        return self.interface_type == "trunk"

    @property
    def is_efa(self) -> bool:
        return self.interface_type.startswith("efa")


class Source(enum.StrEnum):
    """Who said it: IMDS may be minutes stale, EC2 is the authority but eventually consistent."""

    IMDS = "imds"
    EC2 = "ec2"


@dataclasses.dataclass(frozen=True, slots=True)
class Inventory:
    """All ENIs attached to the instance. ``generation`` grows with every change that eni-manager saw."""

    enis: tuple[EniFacts, ...]
    source: Source
    generation: int = 0
    vpc_cidrs: tuple[str, ...] = ()

    def by_id(self) -> dict[str, EniFacts]:
        return {eni.eni_id: eni for eni in self.enis}


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceLimits:
    """What the instance type can hold. ``ipv4_per_eni`` includes the primary address. ``max_enis``: on network card 0.

    ``further_cards``: (index, most ENIs) of every other network card, in order.
    """

    max_enis: int
    ipv4_per_eni: int
    prefixes_supported: bool = True
    trunking_compatible: bool = False
    further_cards: tuple[tuple[int, int], ...] = ()

    @property
    def slots_per_eni(self) -> int:
        """Secondary addresses or prefixes per ENI."""
        return max(self.ipv4_per_eni - 1, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class NodeFacts:
    """Identity of the instance, as eni-manager describes it."""

    instance_id: str
    instance_type: str
    primary_mac: str
    primary_ip: str
    vpc_cidrs: tuple[str, ...]
    limits: InstanceLimits
    primary_eni: str = ""
    vpc_ipv6_cidrs: tuple[str, ...] = ()
    primary_ipv6: str = ""
