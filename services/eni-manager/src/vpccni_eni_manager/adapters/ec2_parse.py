"""Answers of EC2, as boto3 gives them, -> domain values."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from vpccni_eni_manager.domain.model import Assigned, Eni, Subnet

_TRACKING: Final = ("TcpEstablishedTimeout", "UdpStreamTimeout", "UdpTimeout")


def tags_of(pairs: Any) -> dict[str, str]:
    return {str(pair["Key"]): str(pair.get("Value", "")) for pair in pairs or ()}


def eni_of(answer: Mapping[str, Any]) -> Eni:
    """A NetworkInterface of Describe- or CreateNetworkInterface(s). Status: of the attachment, else of the ENI."""
    attachment = answer.get("Attachment") or {}
    addresses = answer.get("PrivateIpAddresses") or ()
    primary = next((a["PrivateIpAddress"] for a in addresses if a.get("Primary")), answer.get("PrivateIpAddress", ""))
    attached = attachment.get("AttachTime")
    tracking = answer.get("ConnectionTrackingConfiguration") or {}
    device = int(attachment.get("DeviceIndex", 0))
    card = int(attachment.get("NetworkCardIndex", 0))
    return Eni(
        eni_id=str(answer["NetworkInterfaceId"]),
        mac=str(answer.get("MacAddress", "")),
        device_number=device,
        network_card=card,
        subnet_id=str(answer.get("SubnetId", "")),
        primary_ip=str(primary),
        secondary_ips=tuple(str(a["PrivateIpAddress"]) for a in addresses if a["PrivateIpAddress"] != primary),
        ipv4_prefixes=tuple(str(p["Ipv4Prefix"]) for p in answer.get("Ipv4Prefixes") or ()),
        ipv6_prefixes=tuple(str(p["Ipv6Prefix"]) for p in answer.get("Ipv6Prefixes") or ()),
        ipv6_addresses=tuple(str(a["Ipv6Address"]) for a in answer.get("Ipv6Addresses") or ()),
        tags=tags_of(answer.get("TagSet") or answer.get("Tags")),
        interface_type=str(answer.get("InterfaceType", "interface")),
        is_primary=bool(attachment) and device == 0 and card == 0,
        status=str(attachment.get("Status") or answer.get("Status", "available")),
        attached_unix_s=attached.timestamp() if isinstance(attached, datetime.datetime) else 0.0,
        attachment_id=str(attachment.get("AttachmentId", "")),
        attached_to=str(attachment.get("InstanceId", "")),
        delete_on_termination=bool(attachment.get("DeleteOnTermination", False)),
        security_groups=tuple(sorted(str(g["GroupId"]) for g in answer.get("Groups") or ())),
        connection_tracking={key: int(tracking[key]) for key in _TRACKING if tracking.get(key)},
        description=str(answer.get("Description", "")),
    )


def subnet_of(answer: Mapping[str, Any]) -> Subnet:
    """A Subnet of DescribeSubnets; the first associated IPv6 CIDR counts."""
    ipv6 = [
        str(block["Ipv6CidrBlock"])
        for block in answer.get("Ipv6CidrBlockAssociationSet") or ()
        if (block.get("Ipv6CidrBlockState") or {}).get("State", "associated") == "associated"
    ]
    return Subnet(
        subnet_id=str(answer["SubnetId"]),
        vpc_id=str(answer.get("VpcId", "")),
        availability_zone=str(answer.get("AvailabilityZone", "")),
        cidr=str(answer.get("CidrBlock", "")),
        available_ips=int(answer.get("AvailableIpAddressCount", 0)),
        tags=tags_of(answer.get("Tags")),
        ipv6_cidr=ipv6[0] if ipv6 else "",
    )


def assigned_of(answer: Mapping[str, Any]) -> Assigned:
    """AssignPrivateIpAddresses and AssignIpv6Addresses tell what they added."""
    return Assigned(
        ips=tuple(str(a["PrivateIpAddress"]) for a in answer.get("AssignedPrivateIpAddresses") or ()),
        prefixes=(
            *(str(p["Ipv4Prefix"]) for p in answer.get("AssignedIpv4Prefixes") or ()),
            *(str(p) for p in answer.get("AssignedIpv6Prefixes") or ()),
        ),
    )
