"""proto <-> domain. No decisions; malformed requests are REQUEST_INVALID naming the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.version import VERSION

from vpccni_eni_manager.domain.access import Access, SubnetState
from vpccni_eni_manager.domain.model import (
    AddressMode,
    Eni,
    Growth,
    InstanceLimits,
    Inventory,
    Node,
    Profile,
    Source,
)
from vpccni_eni_manager.ensure_capacity import Grown
from vpccni_eni_manager.inspect import Overview
from vpccni_eni_manager.release_capacity import Surplus

_MODES: Final = {
    eni_pb2.SECONDARY_IP: AddressMode.SECONDARY_IP,
    eni_pb2.PREFIX_IPV4: AddressMode.PREFIX_IPV4,
    eni_pb2.PREFIX_IPV6: AddressMode.PREFIX_IPV6,
}
_SOURCES: Final = {Source.IMDS: eni_pb2.IMDS, Source.EC2: eni_pb2.EC2}


def growth_of(request: eni_pb2.EnsureCapacityRequest) -> Growth:
    """Raises ReasonError(REQUEST_INVALID)."""
    mode = _MODES.get(request.mode)
    if mode is None:
        raise ReasonError(
            Reason.REQUEST_INVALID, f"mode={request.mode}: allowed are SECONDARY_IP, PREFIX_IPV4, PREFIX_IPV6"
        )
    if request.want < 1:
        raise ReasonError(Reason.REQUEST_INVALID, f"want={request.want}: allowed is 1 or more")
    profile = None
    if request.HasField("profile"):
        given = request.profile
        if not given.subnet_id:
            raise ReasonError(Reason.ENI_CONFIG_INVALID, f"profile {given.name}: subnet_id is empty")
        profile = Profile(given.name, given.subnet_id, tuple(given.security_groups))
    return Growth(
        mode=mode,
        want=request.want,
        whole_eni=request.whole_eni,
        max_enis=request.max_enis,
        reserved_enis=request.reserved_enis,
        network_card=request.network_card,
        excluded_enis=frozenset(request.excluded_enis),
        profile=profile,
        may_create_eni=request.may_create_eni,
    )


def surplus_of(request: eni_pb2.ReleaseCapacityRequest) -> tuple[tuple[Surplus, ...], tuple[str, ...]]:
    """Raises ReasonError(REQUEST_INVALID)."""
    surplus = tuple(Surplus(one.eni_id, tuple(one.ips), tuple(one.prefixes)) for one in request.addresses)
    if any(not one.eni_id for one in surplus) or "" in request.eni_ids:
        raise ReasonError(Reason.REQUEST_INVALID, "eni_id is empty")
    return surplus, tuple(request.eni_ids)


def described(node: Node, limits: InstanceLimits, bad_settings: Mapping[str, str]) -> eni_pb2.DescribeResponse:
    return eni_pb2.DescribeResponse(
        instance_id=node.instance_id,
        instance_type=node.instance_type,
        region=node.region,
        availability_zone=node.availability_zone,
        vpc_id=node.vpc_id,
        primary_mac=node.primary_mac,
        primary_ip=node.primary_ip,
        primary_ipv6=node.primary_ipv6,
        primary_eni=node.primary_eni,
        subnet_id=node.subnet_id,
        vpc_ipv4_cidrs=node.vpc_ipv4_cidrs,
        vpc_ipv6_cidrs=node.vpc_ipv6_cidrs,
        security_groups=node.security_groups,
        limits=eni_pb2.InstanceLimits(
            max_enis=limits.max_enis,
            ipv4_per_eni=limits.ipv4_per_eni,
            ipv6_per_eni=limits.ipv6_per_eni,
            network_cards=[
                eni_pb2.NetworkCardLimits(index=card.index, max_enis=card.max_enis) for card in limits.cards
            ],
            hypervisor=limits.hypervisor,
            bare_metal=limits.bare_metal,
            trunking_compatible=limits.trunking_compatible,
            source=limits.source,
        ),
        bad_settings=bad_settings,
    )


def _eni(eni: Eni) -> eni_pb2.Eni:
    return eni_pb2.Eni(
        eni_id=eni.eni_id,
        mac=eni.mac,
        device_number=eni.device_number,
        network_card=eni.network_card,
        subnet_id=eni.subnet_id,
        subnet_cidr=eni.subnet_cidr,
        subnet_ipv6_cidr=eni.subnet_ipv6_cidr,
        primary_ip=eni.primary_ip,
        secondary_ips=eni.secondary_ips,
        ipv4_prefixes=eni.ipv4_prefixes,
        ipv6_prefixes=eni.ipv6_prefixes,
        ipv6_addresses=eni.ipv6_addresses,
        tags=eni.tags,
        interface_type=eni.interface_type,
        is_primary=eni.is_primary,
        managed=eni.managed,
        unmanaged_why=eni.unmanaged_why,
        excluded_why=eni.excluded_why,
        status=eni.status,
        attached_unix_s=eni.attached_unix_s,
    )


def inventory(found: Inventory) -> eni_pb2.InventoryResponse:
    return eni_pb2.InventoryResponse(
        enis=[_eni(eni) for eni in found.enis],
        source=_SOURCES[found.source],
        generation=found.generation,
        vpc_ipv4_cidrs=found.vpc_ipv4_cidrs,
    )


def _subnet(state: SubnetState) -> eni_pb2.SubnetView:
    return eni_pb2.SubnetView(
        subnet_id=state.subnet.subnet_id,
        availability_zone=state.subnet.availability_zone,
        cidr=state.subnet.cidr,
        free=state.subnet.available_ips,
        is_primary=state.is_primary,
        refused_why=state.refused_why,
    )


def overview(found: Overview) -> eni_pb2.InspectResponse:
    return eni_pb2.InspectResponse(
        version=VERSION,
        classes=[
            eni_pb2.ApiClassView(api_class=kind, level=b.level, rate=b.rate, ceiling=b.ceiling, burst=b.burst)
            for kind, b in found.buckets.items()
        ],
        apis=[
            eni_pb2.ApiView(api=api, calls=count.calls, errors=count.errors, throttled=count.throttled)
            for api, count in sorted(found.counts.items())
        ],
        subnets=[_subnet(state) for state in found.subnets],
        dependencies=[
            eni_pb2.DependencyView(name=name, ok=state.ok, reason=state.reason, message=state.message)
            for name, state in found.dependencies.items()
        ],
        settings=dict(found.settings),
    )


def access(found: Access) -> eni_pb2.CheckAccessResponse:
    return eni_pb2.CheckAccessResponse(
        actions=[
            eni_pb2.ActionView(action=one.action, verdict=one.verdict, message=one.message) for one in found.actions
        ],
        subnets=[_subnet(state) for state in found.subnets],
        subnets_error=found.subnets_error,
        missing_tags=[eni_pb2.MissingTags(eni_id=eni_id, keys=keys) for eni_id, keys in found.missing_tags.items()],
        imds_hop_limit=found.imds_hop_limit,
        imds_error=found.imds_error,
    )


def grown(result: Grown) -> eni_pb2.EnsureCapacityResponse:
    return eni_pb2.EnsureCapacityResponse(
        action=result.action,
        eni_id=result.eni_id,
        addresses=result.added.ips,
        prefixes=result.added.prefixes,
        inventory=inventory(result.inventory),
        candidates=result.candidates,
    )
