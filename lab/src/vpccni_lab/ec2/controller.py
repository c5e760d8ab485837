"""What Kubernetes' VPC resource controller does for security groups for pods: trunk ENIs, branch ENIs, the pod annotation."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final

from vpccni_lab.ec2 import attaching, interfaces, trunking
from vpccni_lab.ec2.interfaces import NewEni
from vpccni_lab.ec2.limits import instance_type
from vpccni_lab.ec2.records import Eni
from vpccni_lab.ec2.world import World

TRUNK_TAG: Final = "vpcresources.k8s.aws/trunk-eni-id"
"""Tag of a branch ENI: the trunk that it was made for."""


def trunk_of(world: World, instance_id: str) -> Eni:
    """The instance's trunk ENI, made and attached at the highest free device index if there is none. Raises Ec2Error."""
    held = world.enis_of(instance_id)
    for eni in held:
        if eni.interface_type == "trunk":
            return eni
    instance = world.instance(instance_id)
    primary = held[0]
    new = NewEni(primary.subnet_id, groups=primary.groups, interface_type="trunk", description="aws-k8s-trunk-eni")
    made = interfaces.create(world, new)
    used = {eni.attachment.device_index for eni in held if eni.attachment and not eni.attachment.network_card}
    cards = instance_type(instance.type).cards
    # the highest: the CNI takes the lowest free ones
    index = next(number for number in reversed(range(cards[0].max_interfaces)) if number not in used)
    attaching.attach(world, made.id, instance_id, index, delete_on_termination=True, at_once=True)
    return world.enis[made.id]


def branch(world: World, instance_id: str, groups: Sequence[str], subnet_id: str = "") -> Eni:
    """A new branch ENI on the instance's trunk; ``subnet_id`` empty: the trunk's. Raises Ec2Error."""
    trunk = trunk_of(world, instance_id)
    new = NewEni(
        subnet_id or trunk.subnet_id,
        groups=tuple(groups),
        interface_type="branch",
        description="aws-k8s-branch-eni",
        tags={TRUNK_TAG: trunk.id},
    )
    made = interfaces.create(world, new)
    trunking.associate(world, made.id, trunk.id, trunking.free_vlan(world, trunk.id))
    return world.enis[made.id]


def annotation(world: World, branch: Eni) -> dict[str, Any]:
    """One entry of the pod annotation vpc.amazonaws.com/pod-eni, which holds a JSON list of them."""
    subnet = world.subnet(branch.subnet_id)
    assert branch.trunk is not None
    six = subnet.ipv6_cidr
    return {
        "eniId": branch.id,
        "ifAddress": branch.mac,
        "privateIp": branch.private_ip,
        "ipv6Addr": branch.ipv6_addresses[0] if branch.ipv6_addresses else "",
        "vlanId": branch.trunk.vlan_id,
        "subnetCidr": str(subnet.cidr),
        "subnetV6Cidr": str(ipaddress.ip_network(six)) if six else "",
        "associationID": branch.trunk.id,
    }
