"""ENIs of the model: limits, refusals with EC2's codes, the way from create to delete, events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from vpccni_lab.ec2 import events
from vpccni_lab.ec2.errors import Ec2Error
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni, Instance, Subnet, Vpc
from vpccni_lab.ec2.timing import Timings


@dataclasses.dataclass
class Bed:
    ec2: Ec2
    vpc: Vpc
    subnet: Subnet
    other: Subnet
    node: Instance
    seen: list[events.Event]
    now: list[float]

    def call(self, action: str, **params: Any) -> dict[str, Any]:
        return self.ec2.call("test", action, params).value()

    def create(self, **params: Any) -> str:
        return str(
            self.call("CreateNetworkInterface", SubnetId=self.subnet.id, **params)["NetworkInterface"][
                "NetworkInterfaceId"
            ]
        )

    def attach(self, eni_id: str, index: int = 1, card: int = 0, node: str = "") -> str:
        answer = self.call(
            "AttachNetworkInterface",
            NetworkInterfaceId=eni_id,
            InstanceId=node or self.node.id,
            DeviceIndex=index,
            NetworkCardIndex=card,
        )
        return str(answer["AttachmentId"])

    def at(self, seconds: float) -> None:
        self.now[0] = seconds
        self.ec2.advance()

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.seen]


@pytest.fixture
def bed() -> Bed:
    now = [0.0]
    ec2 = Ec2(clock=lambda: now[0], seed=5)
    vpc = ec2.create_vpc(["10.0.0.0/16"], ["2001:db8:0:100::/56"])
    subnet = ec2.create_subnet(vpc.id, "10.0.1.0/24", "us-west-2a", "2001:db8:0:100::/64")
    other = ec2.create_subnet(vpc.id, "10.0.2.0/24", "us-west-2b")
    node = ec2.run_instance("m5.large", subnet.id, name="node-a")
    seen: list[events.Event] = []
    ec2.subscribe(seen.append)
    return Bed(ec2, vpc, subnet, other, node, seen, now)


def refused(code: str, call: Callable[[], object], text: str = "") -> str:
    with pytest.raises(Ec2Error) as caught:
        call()
    assert caught.value.code == code, caught.value
    assert text in caught.value.message
    return caught.value.message


def test_a_new_node_has_its_primary_eni_and_delete_on_termination(bed: Bed) -> None:
    eni = bed.ec2.primary_eni(bed.node.id)
    assert eni.attachment is not None
    assert (eni.attachment.device_index, eni.attachment.network_card) == (0, 0)
    assert eni.attachment.delete_on_termination
    assert eni.private_ip == bed.node.private_ip
    assert eni.groups == (bed.vpc.default_group,)


def test_the_life_of_an_eni_and_its_events(bed: Bed) -> None:
    eni_id = bed.create(SecondaryPrivateIpAddressCount=3, Description="aws-K8S-i-1")
    assert bed.ec2.eni(eni_id).status == "available"
    attachment = bed.attach(eni_id)
    assert bed.ec2.eni(eni_id).status == "in-use"
    bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, SecondaryPrivateIpAddressCount=2)
    assert len(bed.ec2.eni(eni_id).secondary_ips) == 5
    gone = bed.ec2.eni(eni_id).secondary_ips[0]
    bed.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni_id, PrivateIpAddresses=[gone])
    assert gone not in bed.ec2.eni(eni_id).secondary_ips
    bed.call("DetachNetworkInterface", AttachmentId=attachment)
    assert bed.ec2.eni(eni_id).attachment is None
    bed.call("DeleteNetworkInterface", NetworkInterfaceId=eni_id)
    assert bed.kinds() == ["EniAttached", "AddressesChanged", "AddressesChanged", "EniDetached"]
    assert bed.ec2.free_addresses(bed.subnet.id) == 250
    refused("InvalidNetworkInterfaceID.NotFound", lambda: bed.ec2.eni(eni_id), f"'{eni_id}' does not exist")


def test_attaching_and_detaching_take_their_time(bed: Bed) -> None:
    bed.ec2.timings = Timings(attach=5, detach=7)
    eni_id = bed.create()
    attachment = bed.attach(eni_id)
    assert _status(bed, eni_id) == "attaching"
    assert bed.seen == []
    assert bed.ec2.next_due() == 5
    bed.at(4.9)
    assert _status(bed, eni_id) == "attaching"
    bed.at(5)
    assert _status(bed, eni_id) == "attached"
    assert bed.kinds() == ["EniAttached"]
    bed.call("DetachNetworkInterface", AttachmentId=attachment)
    bed.call("DetachNetworkInterface", AttachmentId=attachment)  # again while detaching: accepted
    assert _status(bed, eni_id) == "detaching"
    refused("InvalidParameterValue", lambda: bed.call("DeleteNetworkInterface", NetworkInterfaceId=eni_id), "in use")
    bed.at(12)
    assert bed.ec2.eni(eni_id).attachment is None
    assert bed.kinds() == ["EniAttached", "EniDetached"]
    assert bed.ec2.next_due() is None


def test_a_forced_detach_does_not_wait(bed: Bed) -> None:
    bed.ec2.timings = Timings(detach=60)
    eni_id = bed.create()
    attachment = bed.attach(eni_id)
    bed.call("DetachNetworkInterface", AttachmentId=attachment, Force=True)
    assert bed.ec2.eni(eni_id).attachment is None
    refused("InvalidAttachmentID.NotFound", lambda: bed.call("DetachNetworkInterface", AttachmentId=attachment))
    bed.at(100)
    assert bed.kinds() == ["EniAttached", "EniDetached"]


def test_detaching_what_is_still_attaching_shows_no_link(bed: Bed) -> None:
    bed.ec2.timings = Timings(attach=5)
    eni_id = bed.create()
    bed.call("DetachNetworkInterface", AttachmentId=bed.attach(eni_id))
    bed.at(10)
    assert bed.seen == []
    assert bed.ec2.eni(eni_id).attachment is None


def _status(bed: Bed, eni_id: str) -> str:
    attachment = bed.ec2.eni(eni_id).attachment
    assert attachment is not None
    return attachment.status


def test_addresses_reach_the_wire_after_the_assign_delay(bed: Bed) -> None:
    eni_id = bed.create()
    bed.attach(eni_id)
    bed.ec2.timings = Timings(assign=0.5)
    bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, SecondaryPrivateIpAddressCount=1)
    assert bed.kinds() == ["EniAttached"]
    bed.at(0.5)
    last = bed.seen[-1]
    assert isinstance(last, events.AddressesChanged)
    assert last.eni.secondary_ips == bed.ec2.eni(eni_id).secondary_ips


# limits


def test_an_m5_large_takes_three_enis(bed: Bed) -> None:
    bed.attach(bed.create(), 1)
    bed.attach(bed.create(), 2)
    fourth = bed.create()
    refused(
        "AttachmentLimitExceeded", lambda: bed.attach(fourth, 3), "Interface count 4 exceeds the limit for m5.large"
    )
    assert bed.ec2.eni(fourth).attachment is None


def test_an_m5_large_takes_ten_addresses_per_eni_the_primary_included(bed: Bed) -> None:
    eni_id = bed.create(SecondaryPrivateIpAddressCount=9)
    bed.attach(eni_id)
    refused(
        "PrivateIpAddressLimitExceeded",
        lambda: bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, SecondaryPrivateIpAddressCount=1),
        "Number of private addresses will exceed limit.",
    )
    too_many = bed.create(SecondaryPrivateIpAddressCount=10)
    refused("PrivateIpAddressLimitExceeded", lambda: bed.attach(too_many, 2))


def test_a_prefix_counts_as_one_address_of_the_limit_and_sixteen_of_the_subnet(bed: Bed) -> None:
    eni_id = bed.create(Ipv4PrefixCount=9)
    bed.attach(eni_id)
    assert bed.ec2.free_addresses(bed.subnet.id) == 250 - 1 - 9 * 16
    refused(
        "PrivateIpAddressLimitExceeded",
        lambda: bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, Ipv4PrefixCount=1),
    )
    prefixes = list(bed.ec2.eni(eni_id).prefixes)
    bed.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni_id, Ipv4Prefixes=prefixes[:8])
    answer = bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, Ipv4PrefixCount=1)
    assert len(answer["AssignedIpv4Prefixes"]) == 1
    assert answer["AssignedPrivateIpAddresses"] == []
    assert bed.ec2.free_addresses(bed.subnet.id) == 250 - 1 - 2 * 16


def test_the_answer_of_assign_lists_only_what_is_new(bed: Bed) -> None:
    eni_id = bed.create(SecondaryPrivateIpAddressCount=4)
    answer = bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, SecondaryPrivateIpAddressCount=2)
    new = [item["PrivateIpAddress"] for item in answer["AssignedPrivateIpAddresses"]]
    assert tuple(new) == bed.ec2.eni(eni_id).secondary_ips[4:]


def test_xen_instances_take_no_prefixes(bed: Bed) -> None:
    xen = bed.ec2.run_instance("m4.4xlarge", bed.subnet.id)
    eni_id = bed.create(Ipv4PrefixCount=1)
    refused("InvalidParameterValue", lambda: bed.attach(eni_id, 1, node=xen.id), "Prefix delegation is not supported")
    primary = bed.ec2.primary_eni(xen.id)
    refused(
        "InvalidParameterValue",
        lambda: bed.call("AssignPrivateIpAddresses", NetworkInterfaceId=primary.id, Ipv4PrefixCount=1),
        "m4.4xlarge",
    )


def test_network_cards_have_their_own_slots(bed: Bed) -> None:
    big = bed.ec2.run_instance("p4d.24xlarge", bed.subnet.id)
    bed.attach(bed.create(), 1, card=1, node=big.id)
    bed.attach(bed.create(), 1, card=0, node=big.id)
    bed.attach(bed.create(InterfaceType="efa"), 2, card=3, node=big.id)
    refused("InvalidParameterValue", lambda: bed.attach(bed.create(), 1, card=1, node=big.id), "device index '1'")
    refused("InvalidParameterValue", lambda: bed.attach(bed.create(), 1, card=4, node=big.id), "4 network card(s)")
    for index in range(2, 15):
        bed.attach(bed.create(), index, card=0, node=big.id)
    refused("AttachmentLimitExceeded", lambda: bed.attach(bed.create(), 15, card=0, node=big.id), "Interface count 16")


def test_efa_needs_a_card_that_has_it(bed: Bed) -> None:
    refused("InvalidParameterCombination", lambda: bed.attach(bed.create(InterfaceType="efa")), "efa")


def test_an_efa_only_eni_has_no_address(bed: Bed) -> None:
    eni = bed.ec2.eni(bed.create(InterfaceType="efa-only"))
    assert (eni.private_ip, eni.private_ips, eni.ipv4_slots) == ("", (), 0)
    refused("InvalidParameterCombination", lambda: bed.create(InterfaceType="efa-only", Ipv4PrefixCount=1))


# attaching: refusals


def test_attach_refusals(bed: Bed) -> None:
    eni_id = bed.create()
    ghost = "eni-0ffffffffffffffff"
    refused("InvalidNetworkInterfaceID.NotFound", lambda: bed.attach(ghost), ghost)
    refused("InvalidInstanceID.NotFound", lambda: bed.attach(eni_id, node="i-0ffffffffffffffff"))
    refused(
        "InvalidParameterValue", lambda: bed.attach(eni_id, 0), "already has an interface attached at device index '0'"
    )
    refused("InvalidParameterValue", lambda: bed.attach(eni_id, -1))
    elsewhere = bed.ec2.run_instance("m5.large", bed.other.id)
    refused("InvalidParameterCombination", lambda: bed.attach(eni_id, node=elsewhere.id), "same availability zone")
    bed.attach(eni_id)
    refused("InvalidNetworkInterface.InUse", lambda: bed.attach(eni_id, 2), f"[{eni_id}]")
    refused("InvalidParameterValue", lambda: bed.call("DeleteNetworkInterface", NetworkInterfaceId=eni_id), "in use")
    bed.ec2.terminate_instance(bed.node.id)
    refused("IncorrectState", lambda: bed.attach(bed.create()))


def test_the_primary_eni_cannot_be_detached(bed: Bed) -> None:
    attachment = bed.ec2.primary_eni(bed.node.id).attachment
    assert attachment is not None
    refused(
        "OperationNotPermitted",
        lambda: bed.call("DetachNetworkInterface", AttachmentId=attachment.id),
        "device index 0 and networkCard index 0",
    )


# creating: refusals and idempotency


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"SecondaryPrivateIpAddressCount": 2, "Ipv4PrefixCount": 1}, "InvalidParameterCombination"),
        ({"Ipv6AddressCount": 1, "Ipv6PrefixCount": 1}, "InvalidParameterValue"),
        ({"SecondaryPrivateIpAddressCount": -1}, "InvalidParameterValue"),
        ({"InterfaceType": "veth"}, "InvalidParameterValue"),
        ({"Groups": ["sg-0ffffffffffffffff"]}, "InvalidGroup.NotFound"),
        ({"PrivateIpAddress": "10.0.9.9"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.0.1.1"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "ten"}, "InvalidParameterValue"),
        ({"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.16/27"}]}, "InvalidParameterValue"),
        ({"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.17/28"}]}, "InvalidParameterValue"),
        ({"Ipv4Prefixes": [{"Ipv4Prefix": "10.0.9.16/28"}]}, "InvalidParameterValue"),
        ({"Ipv6Prefixes": [{"Ipv6Prefix": "2001:db8:0:100:5::/64"}]}, "InvalidParameterValue"),
        ({"SecondaryPrivateIpAddressCount": 300}, "InsufficientFreeAddressesInSubnet"),
        ({"Ipv4PrefixCount": 16}, "InvalidParameterValue"),
        ({"Ipv4PrefixCount": 15}, "InsufficientCidrBlocks"),
        (
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]},
            "InvalidParameterValue",
        ),
        (
            {"TagSpecifications": [{"ResourceType": "network-interface", "Tags": [{"Key": "aws:a", "Value": "b"}]}]},
            "InvalidParameterValue",
        ),
        ({"ConnectionTrackingSpecification": {"UdpTimeout": 5}}, "InvalidParameterValue"),
    ],
)
def test_a_refused_create_leaves_nothing_behind(bed: Bed, params: dict[str, Any], code: str) -> None:
    before = (bed.ec2.free_addresses(bed.subnet.id), len(bed.ec2.enis()))
    refused(code, lambda: bed.create(**params))
    assert (bed.ec2.free_addresses(bed.subnet.id), len(bed.ec2.enis())) == before


def test_an_address_in_use_is_refused_by_its_code(bed: Bed) -> None:
    refused("InvalidIPAddress.InUse", lambda: bed.create(PrivateIpAddress=bed.node.private_ip))


def test_a_subnet_without_ipv6_refuses_ipv6(bed: Bed) -> None:
    refused(
        "InvalidParameterValue",
        lambda: bed.call("CreateNetworkInterface", SubnetId=bed.other.id, Ipv6PrefixCount=1),
        "does not have any IPv6 CIDR block",
    )
    assert bed.ec2.free_addresses(bed.other.id) == 251


def test_an_unknown_subnet_is_refused(bed: Bed) -> None:
    refused("InvalidSubnetID.NotFound", lambda: bed.call("CreateNetworkInterface", SubnetId="subnet-0f"), "'subnet-0f'")
    refused("MissingParameter", lambda: bed.call("CreateNetworkInterface"), "subnetId")


def test_a_client_token_makes_create_idempotent(bed: Bed) -> None:
    first = bed.create(ClientToken="t1", SecondaryPrivateIpAddressCount=2)
    assert bed.create(ClientToken="t1", SecondaryPrivateIpAddressCount=2) == first
    refused("IdempotentParameterMismatch", lambda: bed.create(ClientToken="t1", SecondaryPrivateIpAddressCount=3))
    assert bed.create(ClientToken="t2", SecondaryPrivateIpAddressCount=2) != first
    assert bed.ec2.free_addresses(bed.subnet.id) == 250 - 6


def test_named_addresses_and_prefixes_are_taken_as_asked(bed: Bed) -> None:
    eni = bed.ec2.eni(
        bed.create(
            PrivateIpAddresses=[
                {"PrivateIpAddress": "10.0.1.200", "Primary": True},
                {"PrivateIpAddress": "10.0.1.201", "Primary": False},
            ],
            Ipv6Addresses=[{"Ipv6Address": "2001:db8:0:100::77"}],
        )
    )
    assert (eni.private_ip, eni.secondary_ips) == ("10.0.1.200", ("10.0.1.201",))
    assert eni.ipv6_addresses == ("2001:db8:0:100::77",)
    prefixed = bed.ec2.eni(bed.create(Ipv4Prefixes=[{"Ipv4Prefix": "10.0.1.224/28"}]))
    assert prefixed.prefixes == ("10.0.1.224/28",)


# unassigning


def test_unassign_refuses_what_the_eni_does_not_hold_and_the_primary(bed: Bed) -> None:
    eni_id = bed.create(SecondaryPrivateIpAddressCount=2)
    eni = bed.ec2.eni(eni_id)

    def unassign(address: str) -> None:
        addresses = [eni.secondary_ips[0], address]
        bed.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni_id, PrivateIpAddresses=addresses)

    refused("InvalidParameterValue", lambda: unassign("10.0.1.250"), "are not assigned to interface")
    refused("InvalidParameterValue", lambda: unassign(eni.private_ip), "are not assigned to interface")
    assert bed.ec2.eni(eni_id) == eni


def test_reassignment_moves_a_secondary_address_only_if_allowed(bed: Bed) -> None:
    giver, taker = bed.create(SecondaryPrivateIpAddressCount=1), bed.create()
    address = bed.ec2.eni(giver).secondary_ips[0]
    move: dict[str, Any] = {"NetworkInterfaceId": taker, "PrivateIpAddresses": [address]}
    refused("InvalidIPAddress.InUse", lambda: bed.call("AssignPrivateIpAddresses", **move))
    bed.call("AssignPrivateIpAddresses", **move, AllowReassignment=True)
    assert bed.ec2.eni(taker).secondary_ips == (address,)
    assert bed.ec2.eni(giver).secondary_ips == ()
    bed.call("AssignPrivateIpAddresses", **move)  # already there: nothing to do
    assert bed.ec2.eni(taker).secondary_ips == (address,)


def test_ipv6_assign_and_unassign(bed: Bed) -> None:
    primary = bed.ec2.primary_eni(bed.node.id)
    six = bed.call("AssignIpv6Addresses", NetworkInterfaceId=primary.id, Ipv6AddressCount=2)
    pre = bed.call("AssignIpv6Addresses", NetworkInterfaceId=primary.id, Ipv6PrefixCount=1)
    assert len(six["AssignedIpv6Addresses"]) == 2
    assert pre["AssignedIpv6Prefixes"] == list(bed.ec2.eni(primary.id).ipv6_prefixes)
    assert pre["AssignedIpv6Prefixes"][0].endswith("/80")
    gone = bed.call("UnassignIpv6Addresses", NetworkInterfaceId=primary.id, Ipv6Prefixes=pre["AssignedIpv6Prefixes"])
    assert gone["UnassignedIpv6Prefixes"] == pre["AssignedIpv6Prefixes"]
    assert bed.ec2.eni(primary.id).ipv6_prefixes == ()
    refused(
        "InvalidParameterValue",
        lambda: bed.call("UnassignIpv6Addresses", NetworkInterfaceId=primary.id, Ipv6Addresses=["2001:db8::1"]),
    )
    refused(
        "PrivateIpAddressLimitExceeded",
        lambda: bed.call("AssignIpv6Addresses", NetworkInterfaceId=primary.id, Ipv6AddressCount=9),
    )


# modifying


def test_modify_changes_one_attribute_at_a_time(bed: Bed) -> None:
    eni_id = bed.create()
    group = bed.ec2.create_security_group(bed.vpc.id, "pods")
    attachment = bed.attach(eni_id)
    bed.seen.clear()

    def modify(**params: Any) -> None:
        bed.call("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni_id, **params)

    modify(Groups=[group.id])
    modify(SourceDestCheck={"Value": False})
    modify(Description={"Value": "mine"})
    modify(Attachment={"AttachmentId": attachment, "DeleteOnTermination": True})
    eni = bed.ec2.eni(eni_id)
    assert (eni.groups, eni.source_dest_check, eni.description) == ((group.id,), False, "mine")
    assert eni.attachment is not None
    assert eni.attachment.delete_on_termination
    assert bed.kinds() == ["EniChanged", "EniChanged"]
    refused("InvalidParameterCombination", lambda: modify(Groups=[group.id], Description={"Value": "x"}))
    refused("InvalidParameterCombination", modify)
    refused(
        "InvalidAttachmentID.NotFound",
        lambda: modify(Attachment={"AttachmentId": "eni-attach-0f", "DeleteOnTermination": True}),
    )
    refused("InvalidGroup.NotFound", lambda: modify(Groups=["sg-0f"]))
    foreign = bed.ec2.create_vpc(["10.9.0.0/16"])
    refused("InvalidGroup.NotFound", lambda: modify(Groups=[foreign.default_group]), "different networks")


# the end of an instance


def test_termination_honours_delete_on_termination(bed: Bed) -> None:
    kept, lost = bed.create(), bed.create()
    bed.attach(kept, 1)
    attachment = bed.attach(lost, 2)
    bed.call(
        "ModifyNetworkInterfaceAttribute",
        NetworkInterfaceId=lost,
        Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
    )
    bed.ec2.timings = Timings(terminate=30)
    answer = bed.call("TerminateInstances", InstanceIds=[bed.node.id])
    assert answer["TerminatingInstances"][0]["CurrentState"]["Name"] == "shutting-down"
    assert len(bed.ec2.enis()) == 3
    bed.at(30)
    assert [eni.id for eni in bed.ec2.enis()] == [kept]
    assert bed.ec2.eni(kept).status == "available"
    assert bed.kinds()[-4:] == ["EniDetached", "EniDetached", "EniDetached", "InstanceTerminated"]
    assert bed.ec2.free_addresses(bed.subnet.id) == 250
    shown = bed.call("DescribeInstances", InstanceIds=[bed.node.id])["Reservations"][0]["Instances"][0]
    assert shown["State"]["Name"] == "terminated"
    assert shown["NetworkInterfaces"] == []
    bed.at(30 + 3600)
    refused("InvalidInstanceID.NotFound", lambda: bed.call("DescribeInstances", InstanceIds=[bed.node.id]))


# public addresses


def test_public_addresses_follow_associate_disassociate_and_release(bed: Bed) -> None:
    auto = bed.ec2.run_instance("m5.large", bed.subnet.id, public_ip="auto")
    assert len(bed.ec2.primary_eni(auto.id).public) == 1
    made = bed.call("AllocateAddress")
    allocation = made["AllocationId"]
    key = bed.call("AssociateAddress", AllocationId=allocation, InstanceId=auto.id)["AssociationId"]
    primary: Eni = bed.ec2.primary_eni(auto.id)
    assert [p.public_ip for p in primary.public] == [made["PublicIp"]]  # in the place of the automatic one
    refused("InvalidIPAddress.InUse", lambda: bed.call("ReleaseAddress", AllocationId=allocation))
    eni_id = bed.create(SecondaryPrivateIpAddressCount=1)
    second = bed.ec2.eni(eni_id).secondary_ips[0]
    bed.call("AssociateAddress", AllocationId=allocation, NetworkInterfaceId=eni_id, PrivateIpAddress=second)
    assert bed.ec2.primary_eni(auto.id).public == ()
    refused("InvalidAssociationID.NotFound", lambda: bed.call("DisassociateAddress", AssociationId=key))
    bed.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni_id, PrivateIpAddresses=[second])
    assert bed.ec2.eni(eni_id).public == ()
    bed.call("ReleaseAddress", AllocationId=allocation)
    assert bed.call("DescribeAddresses")["Addresses"] == []


def test_deleting_an_eni_frees_its_elastic_address(bed: Bed) -> None:
    allocation = bed.call("AllocateAddress")["AllocationId"]
    eni_id = bed.create()
    bed.call("AssociateAddress", AllocationId=allocation, NetworkInterfaceId=eni_id)
    bed.call("DeleteNetworkInterface", NetworkInterfaceId=eni_id)
    assert bed.call("DescribeAddresses")["Addresses"][0]["AssociationId"] is None
    bed.call("ReleaseAddress", AllocationId=allocation)


# networks


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.5.0.0/24", "InvalidSubnet.Range"),
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.0.3.0/29", "InvalidVpc.Range"),
        ("10.0.3.1/24", "InvalidParameterValue"),
    ],
)
def test_subnet_cidrs_are_checked(bed: Bed, cidr: str, code: str) -> None:
    refused(code, lambda: bed.ec2.create_subnet(bed.vpc.id, cidr, "us-west-2a"))


def test_a_second_vpc_cidr_opens_subnets_in_it(bed: Bed) -> None:
    answer = bed.call("AssociateVpcCidrBlock", VpcId=bed.vpc.id, CidrBlock="10.1.0.0/16")
    subnet = bed.ec2.create_subnet(bed.vpc.id, "10.1.0.0/24", "us-west-2a")
    assert [str(c) for c in bed.ec2.vpc(bed.vpc.id).cidrs] == ["10.0.0.0/16", "10.1.0.0/16"]
    assert bed.ec2.free_addresses(subnet.id) == 251
    key = answer["CidrBlockAssociation"]["AssociationId"]
    refused("OperationNotPermitted", lambda: bed.call("DisassociateVpcCidrBlock", AssociationId=key))
    refused("InvalidVpc.Conflict", lambda: bed.call("AssociateVpcCidrBlock", VpcId=bed.vpc.id, CidrBlock="10.1.0.0/20"))


def test_the_same_seed_builds_the_same_world() -> None:
    def build() -> list[Eni]:
        ec2 = Ec2(clock=lambda: 0.0, seed=9)
        vpc = ec2.create_vpc(["10.0.0.0/16"])
        subnet = ec2.create_subnet(vpc.id, "10.0.0.0/20")
        for _ in range(3):
            ec2.run_instance("m5.large", subnet.id)
        return ec2.enis()

    assert build() == build()
