"""Messages of the contract -> checked specs. A malformed field is REQUEST_INVALID with its name, value and what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.domain.names import (
    DEFAULT_CONNMARK,
    EGRESS_CIDR,
    MAX_MTU,
    MIN_MTU,
    family_of,
    is_egress,
    valid_link_name,
)
from vpccni_netconf.domain.plan_pod import branch_table
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.spec import BranchSpec, EgressSpec, EniSpec, HostSpec, PodSpec

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_RANDOMIZE: Final = ("prng", "hashrandom", "none")
_MAX_INDEX: Final = 250
_MAX_VLAN: Final = 4094
_RESERVED: Final = (253, 255)


def _invalid(field: str, value: object, allowed: str) -> ReasonError:
    return ReasonError(Reason.REQUEST_INVALID, f"{field}={value!r}: must be {allowed}")


def address(field: str, text: str) -> str:
    """Canonical text of an address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _invalid(field, text, "an IPv4 or IPv6 address") from None


def _cidr(field: str, text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise _invalid(field, text, "a CIDR") from None


def _cidrs(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_cidr(field, text) for text in texts))


def _mac(field: str, text: str) -> str:
    lower = text.lower()
    if not _MAC.match(lower):
        raise _invalid(field, text, "a MAC address of six octets")
    return lower


def _mtu(field: str, value: int, default: int) -> int:
    if value and not MIN_MTU <= value <= MAX_MTU:
        raise _invalid(field, value, f"{MIN_MTU} to {MAX_MTU} bytes, or 0 for {default or 'as it is'}")
    return value or default


def _link(field: str, name: str) -> str:
    if not valid_link_name(name):
        raise _invalid(field, name, "a link name of 1 to 15 characters without space, slash or colon")
    return name


def host_spec(host: pb.HostSpec) -> HostSpec:
    """Unset fields of HostSpec mean the defaults of the original where 0 or "" makes no sense."""
    if host.randomize_snat and host.randomize_snat not in _RANDOMIZE:
        raise _invalid("randomize_snat", host.randomize_snat, ", ".join(_RANDOMIZE))
    prefix = host.veth_prefix or "eni"
    if len(prefix) > 4 or not valid_link_name(prefix):
        raise _invalid("veth_prefix", host.veth_prefix, "1 to 4 characters of a link name")
    return HostSpec(
        primary_mac=_mac("primary_mac", host.primary_mac),
        primary_ip=address("primary_ip", host.primary_ip),
        vpc_cidrs=_cidrs("vpc_cidrs", host.vpc_cidrs),
        node_port_support=host.node_port_support,
        external_snat=host.external_snat,
        randomize_snat=host.randomize_snat or "prng",
        exclude_snat_cidrs=_cidrs("exclude_snat_cidrs", host.exclude_snat_cidrs),
        external_service_cidrs=_cidrs("external_service_cidrs", host.external_service_cidrs),
        veth_prefix=prefix,
        connmark=host.connmark or DEFAULT_CONNMARK,
        eni_mtu=_mtu("eni_mtu", host.eni_mtu, MAX_MTU),
        configure_rp_filter=host.configure_rp_filter,
        ipv6=host.ipv6,
        pod_eni_strict=host.pod_eni_strict,
        disable_tcp_early_demux=host.disable_tcp_early_demux,
        v4_egress=host.v4_egress,
        v6_egress=host.v6_egress,
        egress_ip=_egress_ip(host),
    )


def _egress_ip(host: pb.HostSpec) -> str:
    if not host.egress_ip:
        return ""
    found = address("egress_ip", host.egress_ip)
    if family_of(found) == (6 if host.ipv6 else 4):
        raise _invalid("egress_ip", found, "of the family that is not the cluster's")
    return found


def eni_spec(eni: pb.EniSpec) -> EniSpec:
    return EniSpec(
        eni_id=eni.eni_id,
        mac=_mac("mac", eni.mac),
        primary_ip=address("primary_ip", eni.primary_ip),
        subnet=_cidr("subnet_cidr", eni.subnet_cidr),
        device_number=eni.device_number,
        network_card=eni.network_card,
        route_table=eni.route_table,
        mtu=_mtu("mtu", eni.mtu, 0),
        is_trunk=eni.is_trunk,
    )


def pod_spec(pod: pb.PodSpec, *, need_netns: bool = False) -> PodSpec:
    """``need_netns``: the call enters the pod's namespace."""
    if not pod.container_id:
        raise _invalid("container_id", pod.container_id, "given")
    if need_netns and not pod.netns:
        raise _invalid("netns", pod.netns, "the path of the pod's network namespace")
    if pod.index > _MAX_INDEX:
        raise _invalid("index", pod.index, f"0 to {_MAX_INDEX}")
    if pod.route_table in _RESERVED:
        raise ReasonError(
            Reason.TABLE_CONFLICT,
            f"route_table={pod.route_table}: is the kernel's own; must be 254 or the table of an ENI",
        )
    own = address("address", pod.address)
    return PodSpec(
        container_id=pod.container_id,
        ifname=_link("ifname", pod.ifname or "eth0"),
        netns=pod.netns,
        host_veth=_link("host_veth", pod.host_veth),
        address=own,
        # Table 1 is what releases before 1.20 called main.
        route_table=MAIN_TABLE if pod.route_table == 1 else pod.route_table,
        mtu=_mtu("mtu", pod.mtu, MAX_MTU),
        index=pod.index,
        branch=_branch(pod.branch) if pod.HasField("branch") else None,
        namespace=pod.namespace,
        name=pod.name,
        egress=_egress(pod.egress, own) if pod.HasField("egress") else None,
    )


def _egress(egress: pb.EgressSpec, own: str) -> EgressSpec:
    found = address("egress.address", egress.address)
    if family_of(found) == family_of(own) or not is_egress(found):
        allowed = EGRESS_CIDR[4 if family_of(own) == 6 else 6]
        raise _invalid("egress.address", egress.address, f"within {allowed}, of the family that {own} is not of")
    return EgressSpec(
        address=found,
        host_veth=_link("egress.host_veth", egress.host_veth),
        host_mac=_mac("egress.host_mac", egress.host_mac),
        mac=_mac("egress.mac", egress.mac),
    )


def _branch(branch: pb.BranchSpec) -> BranchSpec:
    if not 1 <= branch.vlan_id <= _MAX_VLAN:
        raise _invalid("branch.vlan_id", branch.vlan_id, f"1 to {_MAX_VLAN}")
    spec = BranchSpec(
        vlan_id=branch.vlan_id,
        mac=_mac("branch.mac", branch.mac),
        subnet=_cidr("branch.subnet_cidr", branch.subnet_cidr),
        gateway=address("branch.gateway", branch.gateway),
        trunk_mac=_mac("branch.trunk_mac", branch.trunk_mac),
        strict=branch.strict,
    )
    branch_table(spec)
    return spec
