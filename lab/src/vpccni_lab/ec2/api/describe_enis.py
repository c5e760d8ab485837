"""DescribeNetworkInterfaces and DescribeNetworkInterfaceAttribute."""

from __future__ import annotations

from typing import Any

from vpccni_lab.ec2 import errors, network
from vpccni_lab.ec2.api import render
from vpccni_lab.ec2.api.listing import Getters, filtered, page, picked, yes_no
from vpccni_lab.ec2.api.params import Params, Result, need
from vpccni_lab.ec2.records import ACCOUNT, Eni
from vpccni_lab.ec2.world import World


def eni_getters(world: World) -> Getters[Eni]:
    """Filters of DescribeNetworkInterfaces."""
    getters: Getters[Eni] = {
        "network-interface-id": lambda e: (e.id,),
        "mac-address": lambda e: (e.mac,),
        "subnet-id": lambda e: (e.subnet_id,),
        "vpc-id": lambda e: (e.vpc_id,),
        "availability-zone": lambda e: (e.az,),
        "availability-zone-id": lambda e: (network.zone_id(e.az),),
        "description": lambda e: (e.description,),
        "status": lambda e: (e.status,),
        "interface-type": lambda e: (e.interface_type,),
        "owner-id": lambda e: (ACCOUNT,),
        "requester-id": lambda e: (e.requester_id,),
        "requester-managed": lambda e: yes_no(e.requester_managed),
        "operator.managed": lambda e: ("false",),
        "source-dest-check": lambda e: yes_no(e.source_dest_check),
        "private-ip-address": lambda e: (e.private_ip,),
        "private-dns-name": lambda e: (render.private_dns(e.private_ip),),
        "group-id": lambda e: e.groups,
        "group-name": lambda e: tuple(world.groups[g].name for g in e.groups),
        "addresses.private-ip-address": lambda e: e.private_ips,
        "addresses.primary": lambda e: ("true", "false") if e.secondary_ips else ("true",) if e.private_ip else (),
        "addresses.association.public-ip": lambda e: tuple(p.public_ip for p in e.public),
        "association.public-ip": lambda e: tuple(p.public_ip for p in e.public if p.private_ip == e.private_ip),
        "association.allocation-id": lambda e: tuple(p.allocation_id for p in e.public),
        "association.association-id": lambda e: tuple(p.association_id for p in e.public),
        "ipv6-addresses.ipv6-address": lambda e: e.ipv6_addresses,
        "ipv4-prefixes.ipv4-prefix": lambda e: e.prefixes,
        "ipv6-prefixes.ipv6-prefix": lambda e: e.ipv6_prefixes,
        "attachment.attachment-id": lambda e: (a.id,) if (a := e.attachment) else (),
        "attachment.instance-id": lambda e: (a.instance_id,) if (a := e.attachment) else (),
        "attachment.instance-owner-id": lambda e: (ACCOUNT,) if e.attachment else (),
        "attachment.device-index": lambda e: (str(a.device_index),) if (a := e.attachment) else (),
        "attachment.network-card-index": lambda e: (str(a.network_card),) if (a := e.attachment) else (),
        "attachment.status": lambda e: (a.status,) if (a := e.attachment) else (),
        "attachment.delete-on-termination": lambda e: yes_no(a.delete_on_termination) if (a := e.attachment) else (),
    }
    return getters


def network_interfaces(world: World, params: Params) -> Result:
    chosen = picked(params, "NetworkInterfaceIds", world.described_eni, world.described_enis, errors.eni_not_found)
    found, token = page(filtered(chosen, params, eni_getters(world), lambda e: e.tags), params, lambda e: e.id)
    return {"NetworkInterfaces": [render.eni(world, e) for e in found], "NextToken": token}


def network_interface_attribute(world: World, params: Params) -> Result:
    eni_id, name = need(params, "NetworkInterfaceId"), need(params, "Attribute")
    eni = world.described_eni(eni_id)
    if eni is None:
        raise errors.eni_not_found([eni_id])
    values: dict[str, tuple[str, Any]] = {
        "description": ("Description", {"Value": eni.description}),
        "groupSet": ("Groups", render.groups(world, eni.groups)),
        "sourceDestCheck": ("SourceDestCheck", {"Value": eni.source_dest_check}),
        "attachment": ("Attachment", render.attachment(eni) if eni.attachment else None),
        "associatePublicIpAddress": ("AssociatePublicIpAddress", False),
    }
    if name not in values:
        raise errors.invalid_value(f"Value ({name}) for parameter attribute is invalid. Unknown attribute.")
    member, value = values[name]
    return {"NetworkInterfaceId": eni.id, member: value}
