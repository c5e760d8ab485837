"""Verbs on VPCs, subnets, CIDR reservations and security groups."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from vpccni_lab.ec2 import errors, events
from vpccni_lab.ec2.pools import AddressTakenError, Ipv4Pool, Ipv6Pool
from vpccni_lab.ec2.records import NO_TAGS, REGION, CidrReservation, Rule, SecurityGroup, Subnet, Tags, Vpc
from vpccni_lab.ec2.world import World

ZONES = ("a", "b", "c", "d")


def zones() -> list[str]:
    return [REGION + letter for letter in ZONES]


def zone_id(zone: str) -> str:
    """E.g. us-west-2a -> usw2-az1."""
    area, direction, number = REGION.split("-")
    return f"{area}{direction[0]}{number}-az{ZONES.index(zone[-1]) + 1}"


def _parse4(cidr: str) -> IPv4Network:
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise errors.invalid_value(f"Value ({cidr}) for parameter cidrBlock is invalid. {error}") from error
    if not 16 <= network.prefixlen <= 28:
        raise errors.Ec2Error("InvalidVpc.Range", f"The CIDR '{cidr}' is invalid.")
    return network


def _parse6(cidr: str) -> IPv6Network:
    try:
        return IPv6Network(cidr)
    except ValueError as error:
        raise errors.invalid_value(f"Value ({cidr}) for parameter ipv6CidrBlock is invalid. {error}") from error


def _provided_ipv6(world: World) -> IPv6Network:
    taken = {network for vpc in world.vpcs.values() for network in vpc.ipv6_cidrs}
    base = int(ipaddress.IPv6Address("2001:db8:100::"))
    number = 0
    while True:
        network = IPv6Network((base + (number << 72), 56))
        if network not in taken:
            return network
        number += 1


def create_vpc(world: World, cidrs: Sequence[str], ipv6_cidrs: Sequence[str] = (), tags: Tags = NO_TAGS) -> Vpc:
    """Also makes the VPC's default security group. Raises Ec2Error InvalidVpc.Range, InvalidParameterValue."""
    if not cidrs:
        raise errors.missing("cidrBlock")
    vpc = Vpc(id=world.new_id("vpc"), cidrs=(), tags=dict(tags))
    for cidr in cidrs:
        vpc = _with_cidr(world, vpc, cidr)
    for cidr in ipv6_cidrs:
        vpc = _with_ipv6_cidr(world, vpc, cidr)
    world.vpcs[vpc.id] = vpc
    group = create_security_group(world, vpc.id, "default", "default VPC security group")
    vpc = dataclasses.replace(vpc, default_group=group.id)
    world.vpcs[vpc.id] = vpc
    world.emit(events.VpcChanged(vpc))
    return vpc


def _with_cidr(world: World, vpc: Vpc, cidr: str) -> Vpc:
    network = _parse4(cidr)
    if any(network.overlaps(other) for other in vpc.cidrs):
        raise errors.Ec2Error("InvalidVpc.Conflict", f"The CIDR '{cidr}' conflicts with another CIDR of the VPC.")
    return dataclasses.replace(
        vpc,
        cidrs=(*vpc.cidrs, network),
        association_ids=(*vpc.association_ids, world.new_id("vpc-cidr-assoc")),
    )


def _with_ipv6_cidr(world: World, vpc: Vpc, cidr: str) -> Vpc:
    network = _parse6(cidr) if cidr else _provided_ipv6(world)
    return dataclasses.replace(
        vpc,
        ipv6_cidrs=(*vpc.ipv6_cidrs, network),
        ipv6_association_ids=(*vpc.ipv6_association_ids, world.new_id("vpc-cidr-assoc")),
    )


def associate_vpc_cidr(world: World, vpc_id: str, *, cidr: str = "", ipv6_cidr: str | None = None) -> Vpc:
    """``ipv6_cidr``: "" asks for one of Amazon's."""
    vpc = world.vpc(vpc_id)
    if cidr:
        vpc = _with_cidr(world, vpc, cidr)
    if ipv6_cidr is not None:
        vpc = _with_ipv6_cidr(world, vpc, ipv6_cidr)
    world.vpcs[vpc.id] = vpc
    world.emit(events.VpcChanged(vpc))
    return vpc


def disassociate_vpc_cidr(world: World, association_id: str) -> Vpc:
    """Refused while a subnet lies in it, and for the primary CIDR."""
    for vpc in world.vpcs.values():
        if association_id in vpc.association_ids:
            index = vpc.association_ids.index(association_id)
            if index == 0 or any(
                s.vpc_id == vpc.id and s.cidr.subnet_of(vpc.cidrs[index]) for s in world.subnets.values()
            ):
                raise errors.Ec2Error("OperationNotPermitted", f"The CIDR association {association_id} is in use.")
            shrunk = dataclasses.replace(
                vpc,
                cidrs=vpc.cidrs[:index] + vpc.cidrs[index + 1 :],
                association_ids=vpc.association_ids[:index] + vpc.association_ids[index + 1 :],
            )
            world.vpcs[vpc.id] = shrunk
            world.emit(events.VpcChanged(shrunk))
            return shrunk
    raise errors.not_found(
        "InvalidVpcCidrBlockAssociationID.NotFound", "vpc CIDR block association ID", [association_id]
    )


def create_subnet(
    world: World,
    vpc_id: str,
    cidr: str,
    az: str,
    ipv6_cidr: str | None = None,
    tags: Tags = NO_TAGS,
    map_public_ip: bool = False,
) -> Subnet:
    """Raises Ec2Error InvalidSubnet.Range, InvalidSubnet.Conflict, InvalidParameterValue, InvalidVpcID.NotFound."""
    vpc = world.vpc(vpc_id)
    network = _parse4(cidr)
    zone = az or zones()[0]
    if zone not in zones():
        raise errors.invalid_value(
            f"Value ({az}) for parameter availabilityZone is invalid. "
            f"Subnets can currently only be created in the following availability zones: {', '.join(zones())}."
        )
    if not any(network.subnet_of(other) for other in vpc.cidrs):
        raise errors.Ec2Error("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")
    siblings = [subnet for subnet in world.subnets.values() if subnet.vpc_id == vpc_id]
    if any(network.overlaps(subnet.cidr) for subnet in siblings):
        raise errors.Ec2Error("InvalidSubnet.Conflict", f"The CIDR '{cidr}' conflicts with another subnet")
    network6 = _parse6(ipv6_cidr) if ipv6_cidr else None
    if network6 is not None:
        _check_subnet_ipv6(vpc, siblings, network6)
    subnet = Subnet(
        id=world.new_id("subnet"),
        vpc_id=vpc_id,
        az=zone,
        cidr=network,
        ipv6_cidr=network6,
        ipv6_association_id=world.new_id("subnet-cidr-assoc") if network6 else "",
        map_public_ip=map_public_ip,
        tags=dict(tags),
    )
    rng = world.rng if world.address_choice == "random" else None
    world.subnets[subnet.id] = subnet
    world.ipv4[subnet.id] = Ipv4Pool(network, rng)
    if network6 is not None:
        world.ipv6[subnet.id] = Ipv6Pool(network6, rng)
    world.emit(events.SubnetCreated(subnet))
    return subnet


def _check_subnet_ipv6(vpc: Vpc, siblings: list[Subnet], network: IPv6Network) -> None:
    if not any(network.subnet_of(other) for other in vpc.ipv6_cidrs) or network.prefixlen > 64:
        raise errors.Ec2Error("InvalidSubnet.Range", f"The CIDR '{network}' is invalid.")
    if any(subnet.ipv6_cidr and network.overlaps(subnet.ipv6_cidr) for subnet in siblings):
        raise errors.Ec2Error("InvalidSubnet.Conflict", f"The CIDR '{network}' conflicts with another subnet")


def create_reservation(world: World, subnet_id: str, cidr: str, kind: str, description: str = "") -> CidrReservation:
    """Raises Ec2Error InvalidParameterValue: bad CIDR or type, outside the subnet, overlapping another reservation."""
    subnet = world.subnet(subnet_id)
    if kind not in ("prefix", "explicit"):
        raise errors.invalid_value(
            f"Value ({kind}) for parameter reservationType is invalid. Valid values: prefix, explicit."
        )
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError as error:
        raise errors.invalid_value(f"Value ({cidr}) for parameter cidr is invalid. {error}") from error
    if isinstance(network, IPv4Network):
        inside, pool = network.subnet_of(subnet.cidr), world.ipv4[subnet_id].reservations
    else:
        inside = subnet.ipv6_cidr is not None and network.subnet_of(subnet.ipv6_cidr)
        pool = world.ipv6[subnet_id].reservations if inside else world.ipv4[subnet_id].reservations
    if not inside:
        raise errors.invalid_value(f"The CIDR '{cidr}' is not within the CIDR of subnet '{subnet_id}'.")
    try:
        pool.add(network, kind)
    except AddressTakenError as error:
        raise errors.invalid_value(
            f"The CIDR '{cidr}' overlaps with another reservation of subnet '{subnet_id}'."
        ) from error
    reservation = CidrReservation(world.new_id("scr"), subnet_id, network, kind, description)
    world.reservations[reservation.id] = reservation
    return reservation


def create_security_group(
    world: World, vpc_id: str, name: str, description: str = "", tags: Tags = NO_TAGS
) -> SecurityGroup:
    """With EC2's first rules: all egress; the default group also takes all from itself."""
    world.vpc(vpc_id)
    if any(group.vpc_id == vpc_id and group.name == name for group in world.groups.values()):
        raise errors.Ec2Error(
            "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc_id}'"
        )
    group_id = world.new_id("sg")
    rules: tuple[Rule, ...] = (Rule(True, "-1", -1, -1, "0.0.0.0/0"), Rule(True, "-1", -1, -1, "::/0"))
    if name == "default":
        rules += (Rule(False, "-1", -1, -1, group_id),)
    group = SecurityGroup(group_id, vpc_id, name, description or name, rules, dict(tags))
    world.groups[group.id] = group
    world.emit(events.SecurityGroupChanged(group))
    return group


def change_rules(
    world: World, group_id: str, *, add: Sequence[Rule] = (), remove: Sequence[Rule] = ()
) -> SecurityGroup:
    """Raises Ec2Error InvalidPermission.Duplicate, InvalidPermission.NotFound."""
    group = world.group(group_id)
    rules = list(group.rules)
    for rule in add:
        if rule in rules:
            raise errors.Ec2Error(
                "InvalidPermission.Duplicate", f'the specified rule "peer: {rule.source}" already exists'
            )
        rules.append(rule)
    for rule in remove:
        if rule not in rules:
            raise errors.Ec2Error(
                "InvalidPermission.NotFound", "The specified rule does not exist in this security group."
            )
        rules.remove(rule)
    group = dataclasses.replace(group, rules=tuple(rules))
    world.groups[group.id] = group
    world.emit(events.SecurityGroupChanged(group))
    return group
