"""Records as the API shows them: plain dicts with the member names of botocore's model."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, Final

from vpccni_lab.ec2 import network
from vpccni_lab.ec2.limits import descriptions, instance_type
from vpccni_lab.ec2.records import ACCOUNT, REGION, Eni, Instance, PublicAddress, Rule, SecurityGroup, Subnet, Tags, Vpc
from vpccni_lab.ec2.world import World

_STATE_CODES: Final = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48}


def when(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def tag_set(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def groups(world: World, ids: Iterable[str]) -> list[dict[str, str]]:
    return [{"GroupId": group_id, "GroupName": world.groups[group_id].name} for group_id in ids]


def private_dns(address: str) -> str:
    return f"ip-{address.replace('.', '-')}.{REGION}.compute.internal" if address else ""


def public_dns(address: str) -> str:
    return f"ec2-{address.replace('.', '-')}.{REGION}.compute.amazonaws.com"


def association(address: PublicAddress) -> dict[str, Any]:
    out = {"IpOwnerId": ACCOUNT, "PublicDnsName": public_dns(address.public_ip), "PublicIp": address.public_ip}
    if address.allocation_id:
        out |= {"AllocationId": address.allocation_id, "AssociationId": address.association_id}
    else:
        out["IpOwnerId"] = "amazon"
    return out


def eni(world: World, record: Eni) -> dict[str, Any]:
    """As NetworkInterface of DescribeNetworkInterfaces; DescribeInstances shows a part of the same."""
    public = {address.private_ip: association(address) for address in record.public}
    out: dict[str, Any] = {
        "NetworkInterfaceId": record.id,
        "SubnetId": record.subnet_id,
        "VpcId": record.vpc_id,
        "AvailabilityZone": record.az,
        "AvailabilityZoneId": network.zone_id(record.az),
        "Description": record.description,
        "OwnerId": ACCOUNT,
        "RequesterId": record.requester_id or None,
        "RequesterManaged": record.requester_managed,
        "Status": record.status,
        "MacAddress": record.mac,
        "PrivateIpAddress": record.private_ip or None,
        "PrivateDnsName": private_dns(record.private_ip) or None,
        "SourceDestCheck": record.source_dest_check,
        "Groups": groups(world, record.groups),
        "InterfaceType": record.interface_type,
        "TagSet": tag_set(record.tags),
        "Association": public.get(record.private_ip),
        "PrivateIpAddresses": [
            {
                "PrivateIpAddress": address,
                "PrivateDnsName": private_dns(address),
                "Primary": address == record.private_ip,
                "Association": public.get(address),
            }
            for address in record.private_ips
        ],
        "Ipv6Addresses": [{"Ipv6Address": address, "IsPrimaryIpv6": False} for address in record.ipv6_addresses],
        "Operator": {"Managed": False},
    }
    if record.prefixes:
        out["Ipv4Prefixes"] = [{"Ipv4Prefix": prefix} for prefix in record.prefixes]
    if record.ipv6_prefixes:
        out["Ipv6Prefixes"] = [{"Ipv6Prefix": prefix} for prefix in record.ipv6_prefixes]
    if record.connection_tracking:
        tracking = record.connection_tracking
        out["ConnectionTrackingConfiguration"] = {
            "TcpEstablishedTimeout": tracking.tcp_established,
            "UdpTimeout": tracking.udp,
            "UdpStreamTimeout": tracking.udp_stream,
        }
    if record.attachment:
        out["Attachment"] = attachment(record)
    return out


def attachment(record: Eni) -> dict[str, Any]:
    held = record.attachment
    assert held is not None
    return {
        "AttachmentId": held.id,
        "InstanceId": held.instance_id,
        "InstanceOwnerId": ACCOUNT,
        "DeviceIndex": held.device_index,
        "NetworkCardIndex": held.network_card,
        "Status": held.status,
        "AttachTime": when(held.attach_time),
        "DeleteOnTermination": held.delete_on_termination,
    }


def instance(world: World, record: Instance, enis: list[Eni]) -> dict[str, Any]:
    """``enis``: those of this instance, as the view has them."""
    kind = instance_type(record.type)
    raw = descriptions()[record.type]
    alive = record.state != "terminated"
    primary = next((e for e in enis if e.attachment and e.attachment.device_index == 0), None)
    public = [p.public_ip for p in primary.public if p.private_ip == primary.private_ip] if primary else []
    ipv6 = [address for e in enis for address in e.ipv6_addresses]
    return {
        "InstanceId": record.id,
        "InstanceType": record.type,
        "ImageId": record.image_id,
        "State": {"Code": _STATE_CODES[record.state], "Name": record.state},
        "LaunchTime": when(record.launch_time),
        "Placement": {
            "AvailabilityZone": record.az,
            "AvailabilityZoneId": network.zone_id(record.az),
            "GroupName": "",
            "Tenancy": "default",
        },
        "Architecture": raw["ProcessorInfo"]["SupportedArchitectures"][0],
        "Hypervisor": "xen",  # what EC2 says of every instance, Nitro or not
        "VirtualizationType": "hvm",
        "RootDeviceType": "ebs",
        "RootDeviceName": "/dev/xvda",
        "EnaSupport": kind.prefixes,
        "AmiLaunchIndex": 0,
        "ClientToken": record.client_token,
        "Monitoring": {"State": "disabled"},
        "VpcId": record.vpc_id if alive else None,
        "SubnetId": record.subnet_id if alive else None,
        "PrivateIpAddress": record.private_ip if alive else None,
        "PrivateDnsName": private_dns(record.private_ip) if alive else "",
        "PublicIpAddress": public[0] if public else None,
        "PublicDnsName": public_dns(public[0]) if public else "",
        "Ipv6Address": ipv6[0] if ipv6 else None,
        "SecurityGroups": groups(world, primary.groups) if primary else [],
        "SourceDestCheck": primary.source_dest_check if primary else None,
        "NetworkInterfaces": [_instance_eni(world, e) for e in enis],
        "Tags": tag_set(record.tags),
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": "required",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 2,
            "HttpProtocolIpv6": "disabled",
            "InstanceMetadataTags": "disabled",
        },
    }


def _instance_eni(world: World, record: Eni) -> dict[str, Any]:
    return eni(world, record)


def vpc(record: Vpc) -> dict[str, Any]:
    return {
        "VpcId": record.id,
        "OwnerId": ACCOUNT,
        "State": "available",
        "CidrBlock": str(record.cidrs[0]),
        "InstanceTenancy": "default",
        "IsDefault": False,
        "DhcpOptionsId": "dopt-0123456789abcdef0",
        "CidrBlockAssociationSet": [
            {"AssociationId": key, "CidrBlock": str(cidr), "CidrBlockState": {"State": "associated"}}
            for key, cidr in zip(record.association_ids, record.cidrs, strict=True)
        ],
        "Ipv6CidrBlockAssociationSet": [
            {
                "AssociationId": key,
                "Ipv6CidrBlock": str(cidr),
                "Ipv6CidrBlockState": {"State": "associated"},
                "Ipv6Pool": "Amazon",
                "NetworkBorderGroup": REGION,
            }
            for key, cidr in zip(record.ipv6_association_ids, record.ipv6_cidrs, strict=True)
        ],
        "Tags": tag_set(record.tags),
    }


def subnet(world: World, record: Subnet) -> dict[str, Any]:
    six = [
        {
            "AssociationId": record.ipv6_association_id,
            "Ipv6CidrBlock": str(record.ipv6_cidr),
            "Ipv6CidrBlockState": {"State": "associated"},
        }
    ]
    return {
        "SubnetId": record.id,
        "SubnetArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{record.id}",
        "VpcId": record.vpc_id,
        "OwnerId": ACCOUNT,
        "State": "available",
        "CidrBlock": str(record.cidr),
        "AvailableIpAddressCount": world.ipv4[record.id].free,
        "AvailabilityZone": record.az,
        "AvailabilityZoneId": network.zone_id(record.az),
        "DefaultForAz": False,
        "MapPublicIpOnLaunch": record.map_public_ip,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6Native": False,
        "Ipv6CidrBlockAssociationSet": six if record.ipv6_cidr else [],
        "Tags": tag_set(record.tags),
    }


def permission(rule: Rule) -> dict[str, Any]:
    out: dict[str, Any] = {"IpProtocol": rule.protocol}
    if rule.protocol != "-1":
        out |= {"FromPort": rule.from_port, "ToPort": rule.to_port}
    out |= {"IpRanges": [], "Ipv6Ranges": [], "UserIdGroupPairs": [], "PrefixListIds": []}
    if rule.source.startswith("sg-"):
        out["UserIdGroupPairs"] = [{"GroupId": rule.source, "UserId": ACCOUNT}]
    elif ":" in rule.source:
        out["Ipv6Ranges"] = [{"CidrIpv6": rule.source}]
    else:
        out["IpRanges"] = [{"CidrIp": rule.source}]
    return out


def security_group(record: SecurityGroup) -> dict[str, Any]:
    return {
        "GroupId": record.id,
        "GroupName": record.name,
        "Description": record.description,
        "OwnerId": ACCOUNT,
        "VpcId": record.vpc_id,
        "IpPermissions": [permission(rule) for rule in record.rules if not rule.egress],
        "IpPermissionsEgress": [permission(rule) for rule in record.rules if rule.egress],
        "Tags": tag_set(record.tags),
    }


def address(world: World, record: PublicAddress) -> dict[str, Any]:
    owner = world.enis.get(record.eni_id)
    return {
        "AllocationId": record.allocation_id,
        "AssociationId": record.association_id or None,
        "Domain": "vpc",
        "PublicIp": record.public_ip,
        "NetworkInterfaceId": record.eni_id or None,
        "PrivateIpAddress": record.private_ip or None,
        "InstanceId": owner.instance_id or None if owner else None,
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": REGION,
        "Tags": tag_set(record.tags),
    }
