"""eni-manager over its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from vpccni_api.eni.v1 import eni_pb2 as pb
from vpccni_api.eni.v1 import eni_pb2_grpc
from vpccni_api.reasons import Reason
from vpccni_kit.channel import Channel

from vpccni_ipam.domain.eni_config import EniConfig
from vpccni_ipam.domain.giveback import GiveBack
from vpccni_ipam.domain.model import AddressMode, EniFacts, InstanceLimits, Inventory, NodeFacts, Source
from vpccni_ipam.figures import ApiCalls, ApiClass, Ec2Figures, SubnetFigures
from vpccni_ipam.ports import Grown, GrowthRequest

_MODES: Final = {
    AddressMode.SECONDARY_IP: pb.SECONDARY_IP,
    AddressMode.PREFIX_IPV4: pb.PREFIX_IPV4,
    AddressMode.PREFIX_IPV6: pb.PREFIX_IPV6,
}


PRIMARY_UNUSED: Final = "custom networking: pods are not on the primary ENI"


def to_eni(eni: pb.Eni, *, ipv6: bool = False, without_primary: bool = False) -> EniFacts:
    """``ipv6``: pods have IPv6 addresses, else IPv4; addresses of the other family are none of the pool's business.

    ``without_primary``: the primary ENI gives pods no address (custom networking).
    """
    return EniFacts(
        eni_id=eni.eni_id,
        mac=eni.mac,
        device_number=eni.device_number,
        network_card=eni.network_card,
        subnet_id=eni.subnet_id,
        subnet_cidr=eni.subnet_ipv6_cidr if ipv6 else eni.subnet_cidr,
        primary_ip=(eni.ipv6_addresses[0] if eni.ipv6_addresses else "") if ipv6 else eni.primary_ip,
        secondary_ips=() if ipv6 else tuple(eni.secondary_ips),
        ipv4_prefixes=() if ipv6 else tuple(eni.ipv4_prefixes),
        ipv6_prefixes=tuple(eni.ipv6_prefixes) if ipv6 else (),
        interface_type=eni.interface_type or "interface",
        is_primary=eni.is_primary,
        managed=eni.managed,
        attached_unix_s=eni.attached_unix_s,
        excluded_why=eni.excluded_why or (PRIMARY_UNUSED if without_primary and eni.is_primary else ""),
    )


def to_inventory(reply: pb.InventoryResponse, *, ipv6: bool = False, without_primary: bool = False) -> Inventory:
    """ENIs that are attaching or detaching are not there yet, or no more."""
    there = [eni for eni in reply.enis if eni.status in ("", "attached", "in-use")]
    enis = tuple(to_eni(eni, ipv6=ipv6, without_primary=without_primary) for eni in there)
    source = Source.EC2 if reply.source == pb.EC2 else Source.IMDS
    return Inventory(enis, source, reply.generation, tuple(reply.vpc_ipv4_cidrs))


class EniClient:
    """ports.EniManager. ``ipv6`` and ``without_primary``: see ``to_eni``."""

    def __init__(self, socket_path: str, *, ipv6: bool = False, without_primary: bool = False) -> None:
        self._ipv6 = ipv6
        self._without_primary = without_primary
        self._channel = Channel(socket_path, "eni-manager", Reason.ENI_MANAGER_UNREACHABLE)
        self._stub = eni_pb2_grpc.EniManagerStub(self._channel.grpc_channel)
        self.on_bad_settings: Callable[[Mapping[str, str]], None] = lambda found: None
        """Told eni-manager's own malformed settings (name -> what is wrong) whenever it says them."""

    async def close(self) -> None:
        await self._channel.close()

    def _inventory(self, reply: pb.InventoryResponse) -> Inventory:
        return to_inventory(reply, ipv6=self._ipv6, without_primary=self._without_primary)

    async def describe(self, timeout: float) -> NodeFacts:
        reply = await self._channel.call(self._stub.Describe, pb.DescribeRequest(), timeout)
        self.on_bad_settings(dict(reply.bad_settings))
        limits = InstanceLimits(
            max_enis=reply.limits.max_enis,
            ipv4_per_eni=reply.limits.ipv4_per_eni,
            prefixes_supported=reply.limits.hypervisor == "nitro" or reply.limits.bare_metal,
            trunking_compatible=reply.limits.trunking_compatible,
            further_cards=tuple(sorted((c.index, c.max_enis) for c in reply.limits.network_cards if c.index)),
        )
        return NodeFacts(
            instance_id=reply.instance_id,
            instance_type=reply.instance_type,
            primary_mac=reply.primary_mac,
            primary_ip=reply.primary_ip,
            vpc_cidrs=tuple(reply.vpc_ipv4_cidrs),
            limits=limits,
            primary_eni=reply.primary_eni,
            vpc_ipv6_cidrs=tuple(reply.vpc_ipv6_cidrs),
            primary_ipv6=reply.primary_ipv6,
        )

    async def inventory(self, source: Source, timeout: float) -> Inventory:
        asked = pb.EC2 if source is Source.EC2 else pb.IMDS
        reply = await self._channel.call(self._stub.Inventory, pb.InventoryRequest(source=asked), timeout)
        return self._inventory(reply)

    async def ensure_capacity(self, request: GrowthRequest, timeout: float) -> Grown:
        message = pb.EnsureCapacityRequest(
            mode=_MODES[request.mode],
            want=request.step.want,
            whole_eni=request.step.whole_eni,
            max_enis=request.max_enis,
            reserved_enis=request.reserved_enis,
            excluded_enis=request.excluded_enis,
            may_create_eni=request.step.may_create_eni,
            profile=_profile(request.profile) if request.profile else None,
            network_card=request.network_card,
        )
        reply = await self._channel.call(self._stub.EnsureCapacity, message, timeout)
        return Grown(
            action=reply.action,
            eni_id=reply.eni_id,
            addresses=tuple(reply.addresses),
            prefixes=tuple(reply.prefixes),
            inventory=self._inventory(reply.inventory),
            candidates=tuple(reply.candidates),
        )

    async def release_capacity(self, what: GiveBack, timeout: float) -> Inventory:
        request = pb.ReleaseCapacityRequest(
            addresses=[
                pb.ReleaseCapacityRequest.Addresses(eni_id=i.eni_id, ips=i.ips, prefixes=i.prefixes)
                for i in what.addresses
            ],
            eni_ids=what.eni_ids,
        )
        reply = await self._channel.call(self._stub.ReleaseCapacity, request, timeout)
        return self._inventory(reply.inventory)

    async def figures(self, timeout: float) -> Ec2Figures:
        """Budget and count of EC2 calls, subnets. No call to AWS."""
        reply = await self._channel.call(self._stub.Inspect, pb.InspectRequest(), timeout)
        return Ec2Figures(
            tuple(ApiClass(one.api_class, one.level, one.rate, one.ceiling) for one in reply.classes),
            tuple(ApiCalls(one.api, one.calls, one.errors, one.throttled) for one in reply.apis),
            tuple(
                SubnetFigures(one.subnet_id, one.availability_zone, one.free, one.refused_why) for one in reply.subnets
            ),
        )

    async def watch_inventory(self) -> AsyncIterator[Inventory]:
        async for reply in self._channel.stream(self._stub.WatchInventory, pb.WatchInventoryRequest()):
            yield self._inventory(reply)


def _profile(config: EniConfig) -> pb.NetworkProfile:
    return pb.NetworkProfile(name=config.name, subnet_id=config.subnet_id, security_groups=config.security_groups)
