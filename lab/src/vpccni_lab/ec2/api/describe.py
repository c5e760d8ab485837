"""Actions that only look."""

from __future__ import annotations

from typing import Any

from vpccni_lab.ec2 import errors, network
from vpccni_lab.ec2.api import render
from vpccni_lab.ec2.api.listing import Getters, filtered, page, picked, yes_no
from vpccni_lab.ec2.api.params import Params, Result, need, strings
from vpccni_lab.ec2.limits import descriptions, instance_type
from vpccni_lab.ec2.records import ACCOUNT, REGION, Instance, PublicAddress, SecurityGroup, Subnet, Vpc
from vpccni_lab.ec2.world import World


def _instance_getters(world: World) -> Getters[Instance]:
    getters: Getters[Instance] = {
        "instance-id": lambda i: (i.id,),
        "instance-type": lambda i: (i.type,),
        "instance-state-name": lambda i: (i.state,),
        "availability-zone": lambda i: (i.az,),
        "subnet-id": lambda i: (i.subnet_id,),
        "vpc-id": lambda i: (i.vpc_id,),
        "private-ip-address": lambda i: (i.private_ip,),
        "private-dns-name": lambda i: (render.private_dns(i.private_ip),),
        "reservation-id": lambda i: (i.reservation_id,),
        "image-id": lambda i: (i.image_id,),
        "owner-id": lambda i: (ACCOUNT,),
        "client-token": lambda i: (i.client_token,),
        "instance.group-id": lambda i: i.groups,
        "network-interface.network-interface-id": lambda i: tuple(e.id for e in world.enis_of(i.id)),
        "network-interface.subnet-id": lambda i: tuple(e.subnet_id for e in world.enis_of(i.id)),
    }
    return getters


def instances(world: World, params: Params) -> Result:
    chosen = picked(
        params,
        "InstanceIds",
        world.instances.get,
        lambda: list(world.instances.values()),
        lambda ids: errors.not_found("InvalidInstanceID.NotFound", "instance ID", ids),
    )
    found, token = page(filtered(chosen, params, _instance_getters(world), lambda i: i.tags), params, lambda i: i.id)
    return {
        "Reservations": [
            {
                "ReservationId": i.reservation_id,
                "OwnerId": ACCOUNT,
                "Groups": [],
                "Instances": [render.instance(world, i, world.described_enis_of(i.id))],
            }
            for i in found
        ],
        "NextToken": token,
    }


def _type_getters() -> Getters[dict[str, Any]]:
    getters: Getters[dict[str, Any]] = {
        "instance-type": lambda t: (t["InstanceType"],),
        "hypervisor": lambda t: (t["Hypervisor"],) if "Hypervisor" in t else (),
        "bare-metal": lambda t: yes_no(bool(t.get("BareMetal"))),
        "current-generation": lambda t: yes_no(bool(t.get("CurrentGeneration"))),
        "network-info.maximum-network-interfaces": lambda t: (str(t["NetworkInfo"]["MaximumNetworkInterfaces"]),),
        "network-info.maximum-network-cards": lambda t: (str(t["NetworkInfo"].get("MaximumNetworkCards", 1)),),
        "network-info.ipv4-addresses-per-interface": lambda t: (str(t["NetworkInfo"]["Ipv4AddressesPerInterface"]),),
        "network-info.ipv6-supported": lambda t: yes_no(bool(t["NetworkInfo"].get("Ipv6Supported"))),
        "network-info.efa-supported": lambda t: yes_no(bool(t["NetworkInfo"].get("EfaSupported"))),
        "network-info.ena-support": lambda t: (t["NetworkInfo"].get("EnaSupport", "unsupported"),),
        "processor-info.supported-architecture": lambda t: tuple(t["ProcessorInfo"]["SupportedArchitectures"]),
        "vcpu-info.default-vcpus": lambda t: (str(t["VCpuInfo"]["DefaultVCpus"]),),
    }
    return getters


def instance_types(world: World, params: Params) -> Result:
    del world
    for name in strings(params, "InstanceTypes"):
        instance_type(name)
    records = [descriptions()[n] for n in strings(params, "InstanceTypes")] or list(descriptions().values())
    found, token = page(
        filtered(records, params, _type_getters(), None), params, lambda t: str(t["InstanceType"]), high=100
    )
    if not params.get("InstanceTypes") and params.get("MaxResults") is None and token is None and len(found) > 100:
        found, token = page(found, {"MaxResults": 100}, lambda t: str(t["InstanceType"]), high=100)
    return {"InstanceTypes": found, "NextToken": token}


def subnets(world: World, params: Params) -> Result:
    getters: Getters[Subnet] = {
        "subnet-id": lambda s: (s.id,),
        "vpc-id": lambda s: (s.vpc_id,),
        "availability-zone": lambda s: (s.az,),
        "availabilityZone": lambda s: (s.az,),
        "availability-zone-id": lambda s: (network.zone_id(s.az),),
        "availabilityZoneId": lambda s: (network.zone_id(s.az),),
        "cidr": lambda s: (str(s.cidr),),
        "cidr-block": lambda s: (str(s.cidr),),
        "cidrBlock": lambda s: (str(s.cidr),),
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda s: (str(s.ipv6_cidr),) if s.ipv6_cidr else (),
        "available-ip-address-count": lambda s: (str(world.ipv4[s.id].free),),
        "state": lambda s: ("available",),
        "owner-id": lambda s: (ACCOUNT,),
        "default-for-az": lambda s: ("false",),
        "map-public-ip-on-launch": lambda s: yes_no(s.map_public_ip),
    }
    chosen = picked(
        params,
        "SubnetIds",
        world.subnets.get,
        lambda: list(world.subnets.values()),
        lambda ids: errors.not_found("InvalidSubnetID.NotFound", "subnet ID", ids),
    )
    found, token = page(filtered(chosen, params, getters, lambda s: s.tags), params, lambda s: s.id)
    return {"Subnets": [render.subnet(world, s) for s in found], "NextToken": token}


def vpcs(world: World, params: Params) -> Result:
    getters: Getters[Vpc] = {
        "vpc-id": lambda v: (v.id,),
        "cidr": lambda v: (str(v.cidrs[0]),),
        "cidr-block-association.cidr-block": lambda v: tuple(str(c) for c in v.cidrs),
        "cidr-block-association.association-id": lambda v: v.association_ids,
        "cidr-block-association.state": lambda v: ("associated",),
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda v: tuple(str(c) for c in v.ipv6_cidrs),
        "state": lambda v: ("available",),
        "owner-id": lambda v: (ACCOUNT,),
        "is-default": lambda v: ("false",),
        "isDefault": lambda v: ("false",),
    }
    chosen = picked(
        params,
        "VpcIds",
        world.vpcs.get,
        lambda: list(world.vpcs.values()),
        lambda ids: errors.not_found("InvalidVpcID.NotFound", "vpc ID", ids),
    )
    found, token = page(filtered(chosen, params, getters, lambda v: v.tags), params, lambda v: v.id)
    return {"Vpcs": [render.vpc(v) for v in found], "NextToken": token}


def security_groups(world: World, params: Params) -> Result:
    getters: Getters[SecurityGroup] = {
        "group-id": lambda g: (g.id,),
        "group-name": lambda g: (g.name,),
        "vpc-id": lambda g: (g.vpc_id,),
        "description": lambda g: (g.description,),
        "owner-id": lambda g: (ACCOUNT,),
        "ip-permission.cidr": lambda g: tuple(r.source for r in g.rules if not r.egress),
        "ip-permission.group-id": lambda g: tuple(r.source for r in g.rules if not r.egress),
    }
    chosen = picked(
        params,
        "GroupIds",
        world.groups.get,
        lambda: list(world.groups.values()),
        lambda ids: errors.not_found("InvalidGroup.NotFound", "security group", ids),
    )
    names = strings(params, "GroupNames")
    chosen = [g for g in chosen if not names or g.name in names]
    found, token = page(filtered(chosen, params, getters, lambda g: g.tags), params, lambda g: g.id)
    return {"SecurityGroups": [render.security_group(g) for g in found], "NextToken": token}


def availability_zones(world: World, params: Params) -> Result:
    del world
    names, ids = strings(params, "ZoneNames"), strings(params, "ZoneIds")
    for name in names:
        if name not in network.zones():
            raise errors.invalid_value(f"Invalid availability zone: [{name}]")
    getters: Getters[str] = {
        "zone-name": lambda z: (z,),
        "zone-id": lambda z: (network.zone_id(z),),
        "state": lambda z: ("available",),
        "region-name": lambda z: (REGION,),
        "zone-type": lambda z: ("availability-zone",),
        "opt-in-status": lambda z: ("opt-in-not-required",),
    }
    zones = [z for z in network.zones() if (not names or z in names) and (not ids or network.zone_id(z) in ids)]
    return {
        "AvailabilityZones": [
            {
                "ZoneName": z,
                "ZoneId": network.zone_id(z),
                "RegionName": REGION,
                "State": "available",
                "ZoneType": "availability-zone",
                "OptInStatus": "opt-in-not-required",
                "GroupName": f"{REGION}-zg-1",
                "NetworkBorderGroup": REGION,
            }
            for z in filtered(zones, params, getters, None)
        ]
    }


def addresses(world: World, params: Params) -> Result:
    getters: Getters[PublicAddress] = {
        "allocation-id": lambda a: (a.allocation_id,),
        "association-id": lambda a: (a.association_id,),
        "public-ip": lambda a: (a.public_ip,),
        "network-interface-id": lambda a: (a.eni_id,),
        "private-ip-address": lambda a: (a.private_ip,),
        "domain": lambda a: ("vpc",),
    }
    elastic = {a.allocation_id: a for a in world.public.values() if a.allocation_id}
    chosen = picked(
        params,
        "AllocationIds",
        elastic.get,
        lambda: list(elastic.values()),
        lambda ids: errors.not_found("InvalidAllocationID.NotFound", "allocation ID", ids),
    )
    for wanted in strings(params, "PublicIps"):
        if wanted not in (a.public_ip for a in chosen):
            raise errors.Ec2Error("InvalidAddress.NotFound", f"Address '{wanted}' not found.")
    chosen = [a for a in chosen if a.public_ip in (strings(params, "PublicIps") or (a.public_ip,))]
    return {"Addresses": [render.address(world, a) for a in filtered(chosen, params, getters, lambda a: a.tags)]}


def cidr_reservations(world: World, params: Params) -> Result:
    subnet = world.subnet(need(params, "SubnetId"))
    found = [render_reservation(world, r.id) for r in world.reservations.values() if r.subnet_id == subnet.id]
    return {
        "SubnetIpv4CidrReservations": [r for r in found if ":" not in r["Cidr"]],
        "SubnetIpv6CidrReservations": [r for r in found if ":" in r["Cidr"]],
    }


def render_reservation(world: World, reservation_id: str) -> dict[str, Any]:
    reservation = world.reservations[reservation_id]
    return {
        "SubnetCidrReservationId": reservation.id,
        "SubnetId": reservation.subnet_id,
        "Cidr": str(reservation.cidr),
        "ReservationType": reservation.kind,
        "OwnerId": ACCOUNT,
        "Description": reservation.description,
    }
