"""What callers ask for: the host, its ENIs, its pods. Values are checked when they arrive (``convert.py``)."""

from __future__ import annotations

import dataclasses

from vpccni_netconf.domain.names import DEFAULT_CONNMARK, egress_ifname, family_of
from vpccni_netconf.domain.route_tables import MAIN_TABLE


@dataclasses.dataclass(frozen=True, slots=True)
class HostSpec:
    """Settings of the node. CIDRs are canonical; ``eni_mtu`` in bytes; ``randomize_snat``: prng, hashrandom or none."""

    primary_mac: str
    primary_ip: str
    vpc_cidrs: tuple[str, ...] = ()
    node_port_support: bool = True
    external_snat: bool = False
    randomize_snat: str = "prng"
    exclude_snat_cidrs: tuple[str, ...] = ()
    external_service_cidrs: tuple[str, ...] = ()
    veth_prefix: str = "eni"
    connmark: int = DEFAULT_CONNMARK
    eni_mtu: int = 9001
    configure_rp_filter: bool = True
    ipv6: bool = False
    pod_eni_strict: bool = False
    disable_tcp_early_demux: bool = False
    v4_egress: bool = False
    v6_egress: bool = False
    egress_ip: str = ""
    """The node's address of the other family, which the outside sees of pods' egress; "": it has none."""

    @property
    def family(self) -> int:
        return 6 if self.ipv6 else 4


@dataclasses.dataclass(frozen=True, slots=True)
class EniSpec:
    """One attached secondary ENI. ``subnet`` is a CIDR; ``mtu`` in bytes, 0: as it is."""

    eni_id: str
    mac: str
    primary_ip: str
    subnet: str
    device_number: int
    network_card: int
    route_table: int
    mtu: int = 0
    is_trunk: bool = False

    @property
    def family(self) -> int:
        return family_of(self.primary_ip)


@dataclasses.dataclass(frozen=True, slots=True)
class BranchSpec:
    """A branch ENI of a pod (security groups for pods)."""

    vlan_id: int
    mac: str
    subnet: str
    gateway: str
    trunk_mac: str
    strict: bool


@dataclasses.dataclass(frozen=True, slots=True)
class EgressSpec:
    """A pod's second link, for the family that its address is not of: ``address`` is known on this node only. ``host_veth``,
    ``host_mac``: the node's end; ``mac``: the pod's."""

    address: str
    host_veth: str
    host_mac: str
    mac: str

    @property
    def family(self) -> int:
        return family_of(self.address)

    @property
    def ifname(self) -> str:
        return egress_ifname(self.family)


@dataclasses.dataclass(frozen=True, slots=True)
class PodSpec:
    """One pod interface. ``address`` without prefix length; ``route_table`` MAIN_TABLE: the primary ENI, 0: unknown."""

    container_id: str
    ifname: str
    netns: str
    host_veth: str
    address: str
    route_table: int = MAIN_TABLE
    mtu: int = 9001
    index: int = 0
    branch: BranchSpec | None = None
    namespace: str = ""
    name: str = ""
    egress: EgressSpec | None = None

    @property
    def family(self) -> int:
        return family_of(self.address)

    @property
    def families(self) -> tuple[int, ...]:
        """Of all its addresses."""
        return (self.family,) if self.egress is None else (self.family, self.egress.family)

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.address,) if self.egress is None else (self.address, self.egress.address)

    @property
    def label(self) -> str:
        """For logs and errors."""
        return f"{self.namespace}/{self.name}" if self.name else self.container_id
