"""The metadata tree of one instance at one moment: pure data, paths as IMDS has them.

A leaf is a string, a directory a dict. Sources: EC2 user guide, "Instance metadata categories"; what is absent there for
a given instance (no IPv6, no prefix, one network card) is absent here and answers 404.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping

from vpccni_lab.ec2 import network
from vpccni_lab.ec2.api.render import private_dns, public_dns
from vpccni_lab.ec2.credentials import access_key_of, secret_of
from vpccni_lab.ec2.limits import descriptions, instance_type
from vpccni_lab.ec2.records import ACCOUNT, REGION, Eni, Instance, Subnet, Vpc

Tree = dict[str, "str | Tree"]
_CREDENTIAL_HOURS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What the tree is made of. ``enis``: with a link in the instance, the primary first. ``now``: seconds, for credentials."""

    instance: Instance
    enis: tuple[Eni, ...]
    subnets: Mapping[str, Subnet]
    vpcs: Mapping[str, Vpc]
    group_names: Mapping[str, str]
    now: float


def iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def build(view: View) -> Tree:
    """All of /latest but the token."""
    tree: Tree = {"meta-data": _meta_data(view), "dynamic": _dynamic(view)}
    return tree


def _meta_data(view: View) -> Tree:
    instance, primary = view.instance, view.enis[0] if view.enis else None
    groups = "\n".join(view.group_names[g] for g in primary.groups) if primary else ""
    tree: Tree = {
        "ami-id": instance.image_id,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": "/dev/xvda", "root": "/dev/xvda"},
        "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
        "hostname": private_dns(instance.private_ip),
        "iam": _iam(view),
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.type,
        "local-hostname": private_dns(instance.private_ip),
        "local-ipv4": instance.private_ip,
        "placement": {
            "availability-zone": instance.az,
            "availability-zone-id": network.zone_id(instance.az),
            "region": REGION,
        },
        "profile": "default-hvm",
        "reservation-id": instance.reservation_id,
        "security-groups": groups,
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "nitro" if instance_type(instance.type).prefixes else "xen",
        "network": {"interfaces": {"macs": {eni.mac: _eni(view, eni) for eni in view.enis}}},
    }
    if primary is not None:
        tree["mac"] = primary.mac
        public = [p.public_ip for p in primary.public if p.private_ip == primary.private_ip]
        if public:
            tree |= {"public-ipv4": public[0], "public-hostname": public_dns(public[0])}
        if primary.ipv6_addresses:
            tree["ipv6"] = primary.ipv6_addresses[0]
    return tree


def _iam(view: View) -> Tree:
    role = view.instance.role
    credentials = {
        "Code": "Success",
        "LastUpdated": iso(view.now),
        "Type": "AWS-HMAC",
        "AccessKeyId": access_key_of(view.instance.id),
        "SecretAccessKey": secret_of(view.instance.id),
        "Token": f"vpclab-session-{view.instance.id}",
        "Expiration": iso(view.now + _CREDENTIAL_HOURS * 3600),
    }
    info = {
        "Code": "Success",
        "LastUpdated": iso(view.now),
        "InstanceProfileArn": f"arn:aws:iam::{ACCOUNT}:instance-profile/{role}",
        "InstanceProfileId": "AIPA0VPCLAB0000000000",
    }
    return {"info": json.dumps(info, indent=2), "security-credentials": {role: json.dumps(credentials, indent=2)}}


def _eni(view: View, eni: Eni) -> Tree:
    held, subnet, vpc = eni.attachment, view.subnets[eni.subnet_id], view.vpcs[eni.vpc_id]
    tree: Tree = {
        "device-number": str(held.device_index) if held else "0",
        "interface-id": eni.id,
        "mac": eni.mac,
        "owner-id": ACCOUNT,
        "security-group-ids": "\n".join(eni.groups),
        "security-groups": "\n".join(view.group_names[g] for g in eni.groups),
        "subnet-id": subnet.id,
        "subnet-ipv4-cidr-block": str(subnet.cidr),
        "vpc-id": vpc.id,
        "vpc-ipv4-cidr-block": str(vpc.cidrs[0]),
        "vpc-ipv4-cidr-blocks": "\n".join(map(str, vpc.cidrs)),
    }
    if held and len(instance_type(view.instance.type).cards) > 1:
        tree["network-card"] = str(held.network_card)
    if eni.private_ips:
        tree |= {"local-ipv4s": "\n".join(eni.private_ips), "local-hostname": private_dns(eni.private_ip)}
    if eni.prefixes:
        tree["ipv4-prefix"] = "\n".join(eni.prefixes)
    if eni.ipv6_addresses:
        tree["ipv6s"] = "\n".join(eni.ipv6_addresses)
    if eni.ipv6_prefixes:
        tree["ipv6-prefix"] = "\n".join(eni.ipv6_prefixes)
    if subnet.ipv6_cidr:
        tree["subnet-ipv6-cidr-blocks"] = str(subnet.ipv6_cidr)
    if vpc.ipv6_cidrs:
        tree["vpc-ipv6-cidr-blocks"] = "\n".join(map(str, vpc.ipv6_cidrs))
    if eni.public:
        tree |= {
            "public-ipv4s": "\n".join(p.public_ip for p in eni.public),
            "public-hostname": public_dns(eni.public[0].public_ip),
            "ipv4-associations": {p.public_ip: p.private_ip for p in eni.public},
        }
    return tree


def _dynamic(view: View) -> Tree:
    instance = view.instance
    document = {
        "accountId": ACCOUNT,
        "architecture": descriptions()[instance.type]["ProcessorInfo"]["SupportedArchitectures"][0],
        "availabilityZone": instance.az,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": iso(instance.launch_time),
        "privateIp": instance.private_ip,
        "ramdiskId": None,
        "region": REGION,
        "version": "2017-09-30",
    }
    return {"instance-identity": {"document": json.dumps(document, indent=2)}}


def find(tree: Tree, path: str) -> str | None:
    """Text of a path below /latest ("" is the top): a leaf's value or a directory's listing. None: 404."""
    node: str | Tree = tree
    for part in (part for part in path.split("/") if part):
        if isinstance(node, str) or part not in node:
            return None
        node = node[part]
    if isinstance(node, str):
        return node
    return "\n".join(name + ("/" if isinstance(node[name], dict) else "") for name in sorted(node))
