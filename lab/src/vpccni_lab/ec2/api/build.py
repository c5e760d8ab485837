"""Actions that build a VPC: networks, security groups, instances, public addresses."""

from __future__ import annotations

import dataclasses
from typing import Any

from vpccni_lab.ec2 import errors, instances, network
from vpccni_lab.ec2.api import describe, render
from vpccni_lab.ec2.api.change import new_eni
from vpccni_lab.ec2.api.params import Params, Result, ipv6_wish, need, number, strings, tags_for, tags_from
from vpccni_lab.ec2.instances import IMAGE, NewInstance
from vpccni_lab.ec2.interfaces import NewEni
from vpccni_lab.ec2.records import ACCOUNT, REGION, Rule, Tags
from vpccni_lab.ec2.world import World


def vpc(world: World, params: Params) -> Result:
    given = str(params.get("Ipv6CidrBlock") or "")
    six = [given] if given or params.get("AmazonProvidedIpv6CidrBlock") else []
    made = network.create_vpc(world, [need(params, "CidrBlock")], six, tags_for(params, "vpc"))
    return {"Vpc": render.vpc(made)}


def associate_vpc_cidr(world: World, params: Params) -> Result:
    six = params.get("Ipv6CidrBlock")
    if six is None and params.get("AmazonProvidedIpv6CidrBlock"):
        six = ""
    cidr = str(params.get("CidrBlock") or "")
    if not cidr and six is None:
        raise errors.missing("cidrBlock")
    made = render.vpc(network.associate_vpc_cidr(world, need(params, "VpcId"), cidr=cidr, ipv6_cidr=six))
    return {
        "VpcId": made["VpcId"],
        "CidrBlockAssociation": made["CidrBlockAssociationSet"][-1] if cidr else None,
        "Ipv6CidrBlockAssociation": made["Ipv6CidrBlockAssociationSet"][-1] if six is not None else None,
    }


def disassociate_vpc_cidr(world: World, params: Params) -> Result:
    key = need(params, "AssociationId")
    found = network.disassociate_vpc_cidr(world, key)
    return {
        "VpcId": found.id,
        "CidrBlockAssociation": {"AssociationId": key, "CidrBlockState": {"State": "disassociating"}},
    }


def subnet(world: World, params: Params) -> Result:
    zone = str(params.get("AvailabilityZone") or "")
    zone_id = params.get("AvailabilityZoneId")
    if not zone and zone_id:
        zone = next((z for z in network.zones() if network.zone_id(z) == zone_id), str(zone_id))
    made = network.create_subnet(
        world,
        need(params, "VpcId"),
        need(params, "CidrBlock"),
        zone,
        params.get("Ipv6CidrBlock"),
        tags_for(params, "subnet"),
    )
    return {"Subnet": render.subnet(world, made)}


def cidr_reservation(world: World, params: Params) -> Result:
    made = network.create_reservation(
        world,
        need(params, "SubnetId"),
        need(params, "Cidr"),
        need(params, "ReservationType"),
        str(params.get("Description") or ""),
    )
    return {"SubnetCidrReservation": describe.render_reservation(world, made.id)}


def security_group(world: World, params: Params) -> Result:
    made = network.create_security_group(
        world,
        need(params, "VpcId"),
        need(params, "GroupName"),
        need(params, "Description"),
        tags_for(params, "security-group"),
    )
    return {"GroupId": made.id, "Tags": render.tag_set(made.tags)}


def _rules(params: Params, egress: bool) -> list[Rule]:
    permissions: list[dict[str, Any]] = list(params.get("IpPermissions") or ())
    if params.get("IpProtocol"):
        permissions.append({**params, "IpRanges": [{"CidrIp": params.get("CidrIp", "0.0.0.0/0")}]})
    rules = []
    for item in permissions:
        sources = [str(r["CidrIp"]) for r in item.get("IpRanges") or ()]
        sources += [str(r["CidrIpv6"]) for r in item.get("Ipv6Ranges") or ()]
        sources += [str(r["GroupId"]) for r in item.get("UserIdGroupPairs") or ()]
        protocol = str(item.get("IpProtocol", "-1"))
        low = -1 if protocol == "-1" else number(item, "FromPort", -1)
        high = -1 if protocol == "-1" else number(item, "ToPort", -1)
        rules += [Rule(egress, protocol, low, high, source) for source in sources]
    if not rules:
        raise errors.missing("ipPermissions")
    return rules


def authorize_ingress(world: World, params: Params) -> Result:
    network.change_rules(world, need(params, "GroupId"), add=_rules(params, False))
    return {"Return": True, "SecurityGroupRules": []}


def authorize_egress(world: World, params: Params) -> Result:
    network.change_rules(world, need(params, "GroupId"), add=_rules(params, True))
    return {"Return": True, "SecurityGroupRules": []}


def revoke_ingress(world: World, params: Params) -> Result:
    network.change_rules(world, need(params, "GroupId"), remove=_rules(params, False))
    return {"Return": True}


def revoke_egress(world: World, params: Params) -> Result:
    network.change_rules(world, need(params, "GroupId"), remove=_rules(params, True))
    return {"Return": True}


# Instances


def _instance_tags(params: Params) -> tuple[Tags, Tags]:
    found: dict[str, Tags] = {"instance": {}, "network-interface": {}, "volume": {}}
    for specification in params.get("TagSpecifications") or ():
        kind = str(specification.get("ResourceType"))
        if kind not in found:
            raise errors.invalid_value(f"'{kind}' is not a valid taggable resource type for this operation.")
        found[kind] = {**found[kind], **tags_from(specification.get("Tags"))}
    return found["instance"], found["network-interface"]


def _entry(item: dict[str, Any], default_subnet: str, default_groups: tuple[str, ...]) -> NewEni | str:
    if item.get("NetworkInterfaceId"):
        return str(item["NetworkInterfaceId"])
    given = new_eni(item, subnet_id=str(item.get("SubnetId") or default_subnet))
    return given if given.groups else dataclasses.replace(given, groups=default_groups)


def run_instances(world: World, params: Params) -> Result:
    low, high = number(params, "MinCount", 1), number(params, "MaxCount", 1)
    if not 1 <= low <= high:
        raise errors.invalid_value(
            f"Value ({low}) for parameter minCount is invalid. It must be 1 to maxCount ({high})."
        )
    token = str(params.get("ClientToken") or "")
    known = [i for i in world.instances.values() if token and i.client_token == token]
    if not known:
        new = _new_instance(params)
        known = [instances.run(world, new) for _ in range(high)]
    return {
        "ReservationId": known[0].reservation_id,
        "OwnerId": ACCOUNT,
        "Groups": [],
        "Instances": [render.instance(world, i, world.enis_of(i.id)) for i in known],
    }


def _new_instance(params: Params) -> NewInstance:
    groups, subnet_id = strings(params, "SecurityGroupIds"), str(params.get("SubnetId") or "")
    entries = list(params.get("NetworkInterfaces") or ())
    if not entries and not subnet_id:
        raise errors.missing("subnetId")
    tags, eni_tags = _instance_tags(params)
    return NewInstance(
        type=str(params.get("InstanceType") or "m5.large"),
        subnet_id=subnet_id,
        private_ip=str(params.get("PrivateIpAddress") or ""),
        groups=groups,
        ipv6=ipv6_wish(params),
        interfaces=tuple(
            (
                number(item, "DeviceIndex"),
                number(item, "NetworkCardIndex"),
                _entry(item, subnet_id, groups),
                bool(item.get("DeleteOnTermination", not item.get("NetworkInterfaceId"))),
            )
            for item in entries
        ),
        public_ip="auto" if any(item.get("AssociatePublicIpAddress") for item in entries) else "",
        role=str((params.get("IamInstanceProfile") or {}).get("Name") or ""),
        image_id=str(params.get("ImageId") or IMAGE),
        client_token=str(params.get("ClientToken") or ""),
        tags=tags,
        eni_tags=eni_tags,
    )


def terminate_instances(world: World, params: Params) -> Result:
    ids = strings(params, "InstanceIds")
    if not ids:
        raise errors.missing("InstanceId")
    for instance_id in ids:
        world.instance(instance_id)
    codes = {"running": 16, "shutting-down": 32, "terminated": 48}
    out = []
    for instance_id in dict.fromkeys(ids):
        before, after = instances.terminate(world, instance_id)
        out.append(
            {
                "InstanceId": instance_id,
                "PreviousState": {"Code": codes[before], "Name": before},
                "CurrentState": {"Code": codes[after], "Name": after},
            }
        )
    return {"TerminatingInstances": out}


# Public addresses


def allocate_address(world: World, params: Params) -> Result:
    made = instances.allocate_address(world, tags_for(params, "elastic-ip"), str(params.get("Address") or ""))
    return {
        "AllocationId": made.allocation_id,
        "PublicIp": made.public_ip,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": REGION,
    }


def associate_address(world: World, params: Params) -> Result:
    return {
        "AssociationId": instances.associate_address(
            world,
            need(params, "AllocationId"),
            instance_id=str(params.get("InstanceId") or ""),
            eni_id=str(params.get("NetworkInterfaceId") or ""),
            private_ip=str(params.get("PrivateIpAddress") or ""),
            reassociate=params.get("AllowReassociation") is not False,
        )
    }


def disassociate_address(world: World, params: Params) -> Result:
    instances.disassociate_address(world, need(params, "AssociationId"))
    return {}


def release_address(world: World, params: Params) -> Result:
    instances.release_address(world, need(params, "AllocationId"))
    return {}
