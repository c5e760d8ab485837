"""Actions on trunk and branch ENIs."""

from __future__ import annotations

from typing import Any

from vpccni_lab.ec2 import errors, trunking
from vpccni_lab.ec2.api.params import Params, Result, need, strings
from vpccni_lab.ec2.records import Eni
from vpccni_lab.ec2.world import World


def associate(world: World, params: Params) -> Result:
    if params.get("VlanId") is None:
        raise errors.missing("vlanId")  # GRE is for other instance types than the lab has
    branch, trunk = need(params, "BranchInterfaceId"), need(params, "TrunkInterfaceId")
    trunking.associate(world, branch, trunk, int(params["VlanId"]))
    return {"InterfaceAssociation": _shown(world.enis[branch]), "ClientToken": params.get("ClientToken")}


def disassociate(world: World, params: Params) -> Result:
    trunking.disassociate(world, need(params, "AssociationId"))
    return {"Return": True, "ClientToken": params.get("ClientToken")}


def describe(world: World, params: Params) -> Result:
    found = trunking.associations(world, strings(params, "AssociationIds"))
    return {"InterfaceAssociations": [_shown(eni) for eni in found]}


def _shown(branch: Eni) -> dict[str, Any]:
    held = branch.trunk
    assert held is not None
    return {
        "AssociationId": held.id,
        "BranchInterfaceId": branch.id,
        "TrunkInterfaceId": held.trunk_id,
        "InterfaceProtocol": "VLAN",
        "VlanId": held.vlan_id,
        "TagSet": [],
    }
