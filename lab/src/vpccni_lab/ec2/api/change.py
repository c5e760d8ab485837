"""Actions that change ENIs and their addresses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vpccni_lab.ec2 import addressing, attaching, errors, interfaces
from vpccni_lab.ec2.api import render
from vpccni_lab.ec2.api.params import (
    Params,
    Result,
    connection_tracking,
    ipv4_wish,
    ipv6_wish,
    need,
    strings,
    tags_for,
)
from vpccni_lab.ec2.interfaces import NewEni
from vpccni_lab.ec2.world import World


def new_eni(params: Params, *, subnet_id: str) -> NewEni:
    """From CreateNetworkInterface's parameters, or one NetworkInterfaces entry of RunInstances."""
    named = [item for item in params.get("PrivateIpAddresses") or () if isinstance(item, Mapping)]
    primaries = [str(item.get("PrivateIpAddress")) for item in named if item.get("Primary")]
    others = tuple(str(item.get("PrivateIpAddress")) for item in named if not item.get("Primary"))
    if len(primaries) > 1 or (primaries and params.get("PrivateIpAddress")):
        raise errors.combination("Only one primary private IP address can be specified.")
    return NewEni(
        subnet_id=subnet_id,
        primary=primaries[0] if primaries else str(params.get("PrivateIpAddress") or ""),
        ipv4=ipv4_wish(params, others),
        ipv6=ipv6_wish(params),
        description=str(params.get("Description") or ""),
        groups=strings(params, "Groups"),
        interface_type=str(params.get("InterfaceType") or "interface"),
        connection_tracking=connection_tracking(params),
    )


def create(world: World, params: Params) -> Result:
    new = new_eni(params, subnet_id=need(params, "SubnetId"))
    token = str(params.get("ClientToken") or "")
    tags = tags_for(params, "network-interface")
    made = interfaces.create(world, dataclasses.replace(new, tags=tags, client_token=token))
    shown = render.eni(world, made)
    if made.attachment is None and made.created_at == world.now():
        shown["Status"] = "pending"  # as the create call's own answer says
    return {"NetworkInterface": shown, "ClientToken": token or None}


def attach(world: World, params: Params) -> Result:
    index = params.get("DeviceIndex")
    if index is None:
        raise errors.missing("deviceIndex")
    card = int(params.get("NetworkCardIndex") or 0)
    attachment = attaching.attach(
        world, need(params, "NetworkInterfaceId"), need(params, "InstanceId"), int(index), card
    )
    return {"AttachmentId": attachment.id, "NetworkCardIndex": card}


def detach(world: World, params: Params) -> Result:
    attaching.detach(world, need(params, "AttachmentId"), force=bool(params.get("Force")))
    return {}


def delete(world: World, params: Params) -> Result:
    interfaces.delete(world, need(params, "NetworkInterfaceId"))
    return {}


def modify(world: World, params: Params) -> Result:
    held = params.get("Attachment")
    ends: tuple[str, bool] | None = None
    if held is not None:
        ends = (need(held, "AttachmentId"), bool(held.get("DeleteOnTermination")))
    description, check = params.get("Description"), params.get("SourceDestCheck")
    interfaces.modify(
        world,
        need(params, "NetworkInterfaceId"),
        description=None if description is None else str(description.get("Value", "")),
        groups=None if params.get("Groups") is None else strings(params, "Groups"),
        source_dest_check=None if check is None else bool(check.get("Value")),
        delete_on_termination=ends,
        connection_tracking=connection_tracking(params),
    )
    return {}


def assign_ipv4(world: World, params: Params) -> Result:
    eni_id = need(params, "NetworkInterfaceId")
    granted = addressing.assign_ipv4(
        world,
        eni_id,
        ipv4_wish(params, strings(params, "PrivateIpAddresses")),
        allow_reassignment=bool(params.get("AllowReassignment")),
    )
    return {
        "NetworkInterfaceId": eni_id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address} for address in granted.addresses],
        "AssignedIpv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in granted.prefixes],
    }


def unassign_ipv4(world: World, params: Params) -> Result:
    addressing.unassign_ipv4(
        world,
        need(params, "NetworkInterfaceId"),
        addresses=strings(params, "PrivateIpAddresses"),
        prefixes=strings(params, "Ipv4Prefixes"),
    )
    return {}


def assign_ipv6(world: World, params: Params) -> Result:
    eni_id = need(params, "NetworkInterfaceId")
    granted = addressing.assign_ipv6(world, eni_id, ipv6_wish(params))
    return {
        "NetworkInterfaceId": eni_id,
        "AssignedIpv6Addresses": list(granted.addresses),
        "AssignedIpv6Prefixes": list(granted.prefixes),
    }


def unassign_ipv6(world: World, params: Params) -> Result:
    eni_id = need(params, "NetworkInterfaceId")
    gone = addressing.unassign_ipv6(
        world, eni_id, addresses=strings(params, "Ipv6Addresses"), prefixes=strings(params, "Ipv6Prefixes")
    )
    return {
        "NetworkInterfaceId": eni_id,
        "UnassignedIpv6Addresses": list(gone.addresses),
        "UnassignedIpv6Prefixes": list(gone.prefixes),
    }
