"""Trunk and branch ENIs: rules of the association, and what the VPC resource controller's stand-in makes of them."""

from __future__ import annotations

import pytest
from vpccni_lab.ec2 import controller, events, interfaces, network, trunking
from vpccni_lab.ec2.errors import Ec2Error
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni, Rule
from vpccni_lab.fabric import groups, plan
from vpccni_lab.fabric.plan import AddLink, AddRoute, DelLink


class Bed:
    def __init__(self) -> None:
        self.ec2 = Ec2(clock=lambda: 0.0)
        vpc = self.ec2.create_vpc(["10.0.0.0/16"])
        self.vpc = vpc.id
        self.subnet = self.ec2.create_subnet(vpc.id, "10.0.1.0/24", "us-west-2a")
        self.node = self.ec2.run_instance("m5.large", self.subnet.id)
        self.seen: list[events.Event] = []
        self.ec2.subscribe(self.seen.append)

    def branch(self) -> Eni:
        return controller.branch(self.ec2.world, self.node.id, ())


@pytest.fixture
def bed() -> Bed:
    return Bed()


def refused(action: object, *arguments: object) -> str:
    with pytest.raises(Ec2Error) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_one_trunk_carries_all_branches_with_different_tags(bed: Bed) -> None:
    first, second = bed.branch(), bed.branch()
    assert first.trunk and second.trunk
    assert first.trunk.trunk_id == second.trunk.trunk_id
    assert (first.trunk.vlan_id, second.trunk.vlan_id) == (1, 2)
    trunk = bed.ec2.eni(first.trunk.trunk_id)
    assert trunk.interface_type == "trunk"
    assert trunk.attachment is not None
    assert trunk.attachment.device_index == 2  # m5.large has 3; the CNI counts from below
    assert first.status == "in-use"
    interfaces.delete(bed.ec2.world, first.id)
    assert trunking.free_vlan(bed.ec2.world, trunk.id) == 1
    assert any(isinstance(event, events.EniChanged) and event.eni.id == first.id for event in bed.seen)


def test_annotation_of_a_pod(bed: Bed) -> None:
    eni = bed.branch()
    entry = controller.annotation(bed.ec2.world, eni)
    assert entry["eniId"] == eni.id
    assert (entry["ifAddress"], entry["privateIp"], entry["vlanId"]) == (eni.mac, eni.private_ip, 1)
    assert entry["subnetCidr"] == "10.0.1.0/24"


def test_what_cannot_be_associated(bed: Bed) -> None:
    world, eni = bed.ec2.world, bed.branch()
    assert eni.trunk
    trunk = eni.trunk.trunk_id
    primary = bed.ec2.primary_eni(bed.node.id).id
    loose = interfaces.create(world, interfaces.NewEni(bed.subnet.id, interface_type="branch")).id
    assert refused(trunking.associate, world, loose, primary, 5) == "InvalidParameterValue"
    assert refused(trunking.associate, world, primary, trunk, 5) == "InvalidParameterValue"
    assert refused(trunking.associate, world, eni.id, trunk, 5) == "InvalidNetworkInterface.InUse"
    assert refused(trunking.associate, world, loose, trunk, 1) == "InvalidParameterValue"
    for vlan in (0, 4095):
        assert refused(trunking.associate, world, loose, trunk, vlan) == "InvalidParameterValue"
    trunking.associate(world, loose, trunk, 5)
    trunking.disassociate(world, eni.trunk.id)
    assert refused(trunking.disassociate, world, eni.trunk.id) == "InvalidAssociationID.NotFound"
    assert [other.id for other in trunking.associations(world)] == [loose]


def test_a_branch_is_wired_over_its_trunk_and_goes_with_it(bed: Bed) -> None:
    eni = bed.branch()
    wires = {wire.eni_id: wire for wire in plan.wires(bed.ec2.enis())}
    branch = wires[eni.id]
    assert eni.trunk
    trunk = wires[eni.trunk.trunk_id]
    assert (branch.host, branch.trunk, branch.vlan_id) == (bed.node.id, trunk.link, 1)
    steps = plan.steps({}, {eni.id: branch, trunk.eni_id: trunk})
    links = [step.wire.eni_id for step in steps if isinstance(step, AddLink)]
    assert links == [trunk.eni_id, eni.id]
    assert AddRoute(branch, f"{eni.private_ip}/32") in steps
    # without its trunk, or on a new one, the branch is made anew
    assert plan.steps({eni.id: branch, trunk.eni_id: trunk}, {}) == [DelLink(branch), DelLink(trunk)]
    bed.ec2.terminate_instance(bed.node.id)
    assert [wire for wire in plan.wires(bed.ec2.enis()) if wire.eni_id == eni.id] == []


def rule_set(bed: Bed) -> str:
    wires = {wire.eni_id: wire for wire in plan.wires(bed.ec2.enis())}
    links = {wires[eni.id].link: eni for eni in bed.ec2.enis() if eni.id in wires}
    return groups.rule_set(links, {group.id: group for group in bed.ec2.security_groups()})


def test_groups_that_allow_everything_are_no_rules(bed: Bed) -> None:
    world, group = bed.ec2.world, bed.ec2.vpc(bed.vpc).default_group
    network.change_rules(world, group, add=[Rule(False, "-1", -1, -1, cidr) for cidr in ("0.0.0.0/0", "::/0")])
    assert rule_set(bed) == ""
    strict = bed.ec2.create_security_group(bed.vpc, "strict")
    network.change_rules(
        world, strict.id, add=[Rule(False, "tcp", 80, 81, group), Rule(False, "icmp", -1, -1, "10.0.0.0/8")]
    )
    eni = controller.branch(world, bed.node.id, (strict.id,))
    text, link = rule_set(bed), plan.link_name(eni.id)
    assert f"ip saddr @{group}-4 tcp dport 80-81 return" in text
    assert "ip saddr 10.0.0.0/8 meta l4proto icmp return" in text
    assert f'oifname vmap {{ "{link}" : jump in-{link} }}' in text
    assert plan.link_name(bed.ec2.primary_eni(bed.node.id).id) not in text
