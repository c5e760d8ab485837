"""Verbs on trunk and branch ENIs: a branch ENI is carried over a trunk's link with a VLAN tag of its own.

Source: EC2 API reference, AssociateTrunkInterface. The VPC resource controller is its user.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from vpccni_lab.ec2 import errors, events
from vpccni_lab.ec2.records import Eni, TrunkAssociation
from vpccni_lab.ec2.world import World

VLAN_IDS: Final = range(1, 4095)


def associate(world: World, branch_id: str, trunk_id: str, vlan_id: int) -> TrunkAssociation:
    """AssociateTrunkInterface by VLAN. Raises Ec2Error InvalidNetworkInterfaceID.NotFound, InvalidParameterValue,
    InvalidNetworkInterface.InUse."""
    branch, trunk = world.eni(branch_id), world.eni(trunk_id)
    if trunk.interface_type != "trunk":
        raise errors.invalid_value(f"Network interface '{trunk_id}' is of type {trunk.interface_type}, not trunk.")
    if branch.interface_type != "branch":
        raise errors.invalid_value(f"Network interface '{branch_id}' is of type {branch.interface_type}, not branch.")
    if vlan_id not in VLAN_IDS:
        raise errors.invalid_value(f"Value ({vlan_id}) for parameter vlanId is invalid. It must be 1 to 4094.")
    if branch.trunk is not None:
        raise errors.Ec2Error("InvalidNetworkInterface.InUse", f"Interface: [{branch_id}] in use.")
    if any(other.trunk and other.trunk.vlan_id == vlan_id for other in branches_of(world, trunk_id)):
        raise errors.invalid_value(f"VLAN ID {vlan_id} is in use on trunk interface '{trunk_id}'.")
    association = TrunkAssociation(world.new_id("trunk-assoc"), trunk_id, vlan_id)
    changed = world.put_eni(dataclasses.replace(branch, trunk=association))
    world.emit(events.EniChanged(changed))
    return association


def disassociate(world: World, association_id: str) -> None:
    """DisassociateTrunkInterface. Raises Ec2Error InvalidAssociationID.NotFound."""
    for eni in list(world.enis.values()):
        if eni.trunk is not None and eni.trunk.id == association_id:
            world.emit(events.EniChanged(world.put_eni(dataclasses.replace(eni, trunk=None))))
            return
    raise errors.not_found("InvalidAssociationID.NotFound", "association ID", [association_id])


def associations(world: World, ids: Sequence[str] = ()) -> list[Eni]:
    """Branch ENIs with an association; all, or those with these association ids."""
    found = [eni for eni in world.enis.values() if eni.trunk is not None and (not ids or eni.trunk.id in ids)]
    missing = set(ids) - {eni.trunk.id for eni in found if eni.trunk}
    if missing:
        raise errors.not_found("InvalidAssociationID.NotFound", "association ID", sorted(missing))
    return found


def branches_of(world: World, trunk_id: str) -> list[Eni]:
    """The branch ENIs that a trunk carries."""
    return [eni for eni in world.enis.values() if eni.trunk is not None and eni.trunk.trunk_id == trunk_id]


def free_vlan(world: World, trunk_id: str) -> int:
    """The lowest VLAN id that the trunk does not carry."""
    used = {eni.trunk.vlan_id for eni in branches_of(world, trunk_id) if eni.trunk}
    return next(number for number in VLAN_IDS if number not in used)
