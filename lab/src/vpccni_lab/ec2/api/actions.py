"""Every action the lab answers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vpccni_lab.ec2.api import build, change, describe, describe_enis, tagging, trunks
from vpccni_lab.ec2.api.params import Params, Result
from vpccni_lab.ec2.world import World

Handler = Callable[[World, Params], Result]

ACTIONS: Final[dict[str, Handler]] = {
    "AllocateAddress": build.allocate_address,
    "AssignIpv6Addresses": change.assign_ipv6,
    "AssignPrivateIpAddresses": change.assign_ipv4,
    "AssociateAddress": build.associate_address,
    "AssociateTrunkInterface": trunks.associate,
    "AssociateVpcCidrBlock": build.associate_vpc_cidr,
    "AttachNetworkInterface": change.attach,
    "AuthorizeSecurityGroupEgress": build.authorize_egress,
    "AuthorizeSecurityGroupIngress": build.authorize_ingress,
    "CreateNetworkInterface": change.create,
    "CreateSecurityGroup": build.security_group,
    "CreateSubnet": build.subnet,
    "CreateSubnetCidrReservation": build.cidr_reservation,
    "CreateTags": tagging.create,
    "CreateVpc": build.vpc,
    "DeleteNetworkInterface": change.delete,
    "DeleteTags": tagging.delete,
    "DescribeAddresses": describe.addresses,
    "DescribeAvailabilityZones": describe.availability_zones,
    "DescribeInstanceTypes": describe.instance_types,
    "DescribeInstances": describe.instances,
    "DescribeNetworkInterfaceAttribute": describe_enis.network_interface_attribute,
    "DescribeNetworkInterfaces": describe_enis.network_interfaces,
    "DescribeSecurityGroups": describe.security_groups,
    "DescribeSubnets": describe.subnets,
    "DescribeTags": tagging.describe,
    "DescribeTrunkInterfaceAssociations": trunks.describe,
    "DescribeVpcs": describe.vpcs,
    "DetachNetworkInterface": change.detach,
    "DisassociateAddress": build.disassociate_address,
    "DisassociateTrunkInterface": trunks.disassociate,
    "DisassociateVpcCidrBlock": build.disassociate_vpc_cidr,
    "GetSubnetCidrReservations": describe.cidr_reservations,
    "ModifyNetworkInterfaceAttribute": change.modify,
    "ReleaseAddress": build.release_address,
    "RevokeSecurityGroupEgress": build.revoke_egress,
    "RevokeSecurityGroupIngress": build.revoke_ingress,
    "RunInstances": build.run_instances,
    "TerminateInstances": build.terminate_instances,
    "UnassignIpv6Addresses": change.unassign_ipv6,
    "UnassignPrivateIpAddresses": change.unassign_ipv4,
}
