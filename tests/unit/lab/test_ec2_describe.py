"""Describe calls: ids, filters, pages, tags."""

from __future__ import annotations

from typing import Any

import pytest
from vpccni_lab.ec2.errors import Ec2Error
from vpccni_lab.ec2.limits import descriptions, instance_type
from vpccni_lab.ec2.model import Ec2


class Bed:
    def __init__(self) -> None:
        self.ec2 = Ec2(clock=lambda: 1_700_000_000.0, seed=11)
        self.vpc = self.ec2.create_vpc(["10.0.0.0/16"], ["2001:db8:0:100::/56"], {"Name": "lab"})
        self.a = self.ec2.create_subnet(self.vpc.id, "10.0.1.0/24", "us-west-2a", tags={"kubernetes.io/role/cni": "1"})
        self.b = self.ec2.create_subnet(self.vpc.id, "10.0.2.0/24", "us-west-2b", "2001:db8:0:100::/64")
        self.node = self.ec2.run_instance(
            "m5.large", self.a.id, public_ip="auto", name="node-a", tags={"Name": "node-a"}
        )
        self.eni = self.call(
            "CreateNetworkInterface",
            SubnetId=self.a.id,
            Description="aws-K8S-i-1",
            SecondaryPrivateIpAddressCount=2,
            TagSpecifications=[
                {
                    "ResourceType": "network-interface",
                    "Tags": [{"Key": "node.k8s.amazonaws.com/instance_id", "Value": "i-1"}],
                }
            ],
        )["NetworkInterface"]
        self.bare = self.call("CreateNetworkInterface", SubnetId=self.b.id, Ipv6PrefixCount=1)["NetworkInterface"]

    def call(self, action: str, **params: Any) -> dict[str, Any]:
        return self.ec2.call("test", action, params).value()

    def found(self, **filters: str | list[str]) -> set[str]:
        """ENI ids of a filtered describe; keyword names carry - and . and : as they are, through a dict."""
        items = [{"Name": name, "Values": [v] if isinstance(v, str) else v} for name, v in filters.items()]
        enis = self.call("DescribeNetworkInterfaces", Filters=items)["NetworkInterfaces"]
        return {eni["NetworkInterfaceId"] for eni in enis}


@pytest.fixture(scope="module")
def bed() -> Bed:
    return Bed()


def fails(code: str, bed: Bed, action: str, **params: Any) -> str:
    with pytest.raises(Ec2Error) as caught:
        bed.call(action, **params)
    assert caught.value.code == code
    return caught.value.message


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"status": "available"}, "eni bare"),
    ({"status": "in-use"}, "node"),
    ({"status": ["in-use", "available"]}, "eni bare node"),
    ({"tag-key": "node.k8s.amazonaws.com/instance_id"}, "eni"),
    ({"tag:node.k8s.amazonaws.com/instance_id": "i-1"}, "eni"),
    ({"tag:node.k8s.amazonaws.com/instance_id": "i-2"}, ""),
    ({"tag:node.k8s.amazonaws.com/instance_id": "i-?"}, "eni"),
    ({"tag-key": "node.k8s.amazonaws.com/*", "status": "in-use"}, ""),
    ({"description": "aws-K8S-*"}, "eni"),
    ({"description": "aws-k8s-*"}, ""),
    ({"availability-zone": "us-west-2b"}, "bare"),
    ({"attachment.device-index": "0"}, "node"),
    ({"attachment.status": "attached"}, "node"),
    ({"attachment.delete-on-termination": "true"}, "node"),
    ({"attachment.network-card-index": "0"}, "node"),
    ({"addresses.primary": "true"}, "eni bare node"),
    ({"group-name": "default"}, "eni bare node"),
    ({"group-name": "nodes"}, ""),
    ({"interface-type": "interface"}, "eni bare node"),
    ({"ipv6-prefixes.ipv6-prefix": "2001:db8:*"}, "bare"),
    ({"association.public-ip": "203.0.113.*"}, "node"),
    ({"requester-managed": "false"}, "eni bare node"),
    ({"source-dest-check": "true"}, "eni bare node"),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_filters_of_network_interfaces(bed: Bed, filters: dict[str, Any], expected: str) -> None:
    names = {"eni": bed.eni["NetworkInterfaceId"], "bare": bed.bare["NetworkInterfaceId"]}
    names["node"] = bed.ec2.primary_eni(bed.node.id).id
    assert bed.found(**filters) == {names[word] for word in expected.split()}


def test_filters_by_the_values_of_the_records(bed: Bed) -> None:
    node_eni = bed.ec2.primary_eni(bed.node.id)
    attachment = node_eni.attachment
    assert attachment is not None
    for name, value in {
        "vpc-id": bed.vpc.id,
        "network-interface-id": node_eni.id,
        "mac-address": node_eni.mac,
        "private-ip-address": node_eni.private_ip,
        "addresses.private-ip-address": node_eni.private_ip,
        "attachment.instance-id": bed.node.id,
        "attachment.attachment-id": attachment.id,
        "subnet-id": bed.a.id,
        "group-id": bed.vpc.default_group,
    }.items():
        assert node_eni.id in bed.found(**{name: value}), name
        assert bed.found(**{name: "nothing-like-it"}) == set(), name
    secondary = bed.ec2.eni(bed.eni["NetworkInterfaceId"]).secondary_ips[1]
    assert bed.found(**{"addresses.private-ip-address": secondary}) == {bed.eni["NetworkInterfaceId"]}
    assert bed.found(**{"private-ip-address": secondary}) == set()


def test_unknown_filters_and_too_many_values_are_refused(bed: Bed) -> None:
    message = fails(
        "InvalidParameterValue", bed, "DescribeNetworkInterfaces", Filters=[{"Name": "colour", "Values": ["x"]}]
    )
    assert "'colour'" in message
    many = [{"Name": "subnet-id", "Values": [str(n) for n in range(201)]}]
    fails("FilterLimitExceeded", bed, "DescribeNetworkInterfaces", Filters=many)


def test_unknown_ids_are_named(bed: Bed) -> None:
    one = fails("InvalidNetworkInterfaceID.NotFound", bed, "DescribeNetworkInterfaces", NetworkInterfaceIds=["eni-0a"])
    assert one == "The networkInterface ID 'eni-0a' does not exist"
    known = bed.eni["NetworkInterfaceId"]
    two = fails(
        "InvalidNetworkInterfaceID.NotFound",
        bed,
        "DescribeNetworkInterfaces",
        NetworkInterfaceIds=["eni-0b", known, "eni-0a"],
    )
    assert two == "The networkInterface IDs 'eni-0a, eni-0b' do not exist"


def test_pages_cover_all_once_even_while_enis_come_and_go() -> None:
    bed = Bed()
    for _ in range(20):
        bed.call("CreateNetworkInterface", SubnetId=bed.a.id)
    everything = bed.found()
    seen: list[str] = []
    token = None
    while True:
        answer = bed.call("DescribeNetworkInterfaces", MaxResults=7, **({"NextToken": token} if token else {}))
        ids = [eni["NetworkInterfaceId"] for eni in answer["NetworkInterfaces"]]
        seen += ids
        token = answer["NextToken"]
        if not token:
            break
        assert len(ids) == 7
        held = bed.ec2.eni(ids[-1])
        if held.attachment is None:
            bed.call("DeleteNetworkInterface", NetworkInterfaceId=ids[-1])  # the mark of the next page goes away
    assert sorted(seen) == sorted(everything)


@pytest.mark.parametrize("size", [4, 0, -1, 1001])
def test_page_sizes_are_bounded(bed: Bed, size: int) -> None:
    assert f"( {size} )" in fails("InvalidParameterValue", bed, "DescribeNetworkInterfaces", MaxResults=size)


def test_pages_and_ids_exclude_each_other_and_tokens_are_checked(bed: Bed) -> None:
    fails(
        "InvalidParameterCombination",
        bed,
        "DescribeNetworkInterfaces",
        MaxResults=5,
        NetworkInterfaceIds=[bed.eni["NetworkInterfaceId"]],
    )
    fails("InvalidNextToken", bed, "DescribeNetworkInterfaces", NextToken="!!")


def test_subnets_by_vpc_and_zone_with_their_free_count(bed: Bed) -> None:
    filters = [{"Name": "vpc-id", "Values": [bed.vpc.id]}, {"Name": "availability-zone", "Values": ["us-west-2a"]}]
    (subnet,) = bed.call("DescribeSubnets", Filters=filters)["Subnets"]
    assert subnet["SubnetId"] == bed.a.id
    assert subnet["AvailableIpAddressCount"] == 251 - 1 - 3
    assert subnet["Tags"] == [{"Key": "kubernetes.io/role/cni", "Value": "1"}]
    assert subnet["Ipv6CidrBlockAssociationSet"] == []
    assert fails("InvalidSubnetID.NotFound", bed, "DescribeSubnets", SubnetIds=["subnet-0a"]) == (
        "The subnet ID 'subnet-0a' does not exist"
    )
    tagged = bed.call("DescribeSubnets", Filters=[{"Name": "tag:kubernetes.io/role/cni", "Values": ["*"]}])["Subnets"]
    assert [s["SubnetId"] for s in tagged] == [bed.a.id]


def test_instances_show_their_enis_and_addresses(bed: Bed) -> None:
    (reservation,) = bed.call("DescribeInstances", InstanceIds=[bed.node.id])["Reservations"]
    (instance,) = reservation["Instances"]
    assert instance["PrivateIpAddress"] == bed.node.private_ip
    assert instance["PublicIpAddress"].startswith("203.0.113.")
    assert [e["Attachment"]["DeviceIndex"] for e in instance["NetworkInterfaces"]] == [0]
    assert instance["Tags"] == [{"Key": "Name", "Value": "node-a"}]
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    assert len(bed.call("DescribeInstances", Filters=running)["Reservations"]) == 1


def test_instance_types_are_pages_of_100_or_by_name(bed: Bed) -> None:
    first = bed.call("DescribeInstanceTypes")
    assert len(first["InstanceTypes"]) == 100
    assert first["NextToken"]
    (m5,) = bed.call("DescribeInstanceTypes", InstanceTypes=["m5.large"])["InstanceTypes"]
    assert m5["NetworkInfo"]["MaximumNetworkInterfaces"] == 3
    fails("InvalidInstanceType", bed, "DescribeInstanceTypes", InstanceTypes=["m5.large", "m9.tiny"])
    xen = bed.call("DescribeInstanceTypes", Filters=[{"Name": "hypervisor", "Values": ["xen"]}])["InstanceTypes"]
    assert {t["Hypervisor"] for t in xen} == {"xen"}


@pytest.mark.parametrize(
    ("name", "enis", "ipv4", "cards", "prefixes"),
    [
        ("t3.small", 3, 4, 1, True),
        ("m5.large", 3, 10, 1, True),
        ("m5.xlarge", 4, 15, 1, True),
        ("m4.4xlarge", 8, 30, 1, False),
        ("c5n.18xlarge", 15, 50, 1, True),
        ("p3dn.24xlarge", 15, 50, 1, True),
        ("p4d.24xlarge", 60, 50, 4, True),
        ("m5.metal", 15, 50, 1, True),
    ],
)
def test_limits_of_known_types(name: str, enis: int, ipv4: int, cards: int, prefixes: bool) -> None:
    kind = instance_type(name)
    assert (kind.max_interfaces, kind.ipv4_per_eni, len(kind.cards), kind.prefixes) == (enis, ipv4, cards, prefixes)


def test_every_type_in_the_data_has_limits() -> None:
    kinds = [instance_type(name) for name in descriptions()]
    assert len(kinds) > 1000
    assert all(kind.max_interfaces >= 1 and kind.ipv4_per_eni >= 2 for kind in kinds)


def test_tags_are_set_read_and_deleted_on_all_kinds() -> None:
    bed = Bed()
    allocation = bed.call("AllocateAddress")["AllocationId"]
    resources = [bed.vpc.id, bed.a.id, bed.vpc.default_group, bed.node.id, bed.eni["NetworkInterfaceId"], allocation]
    bed.call("CreateTags", Resources=resources, Tags=[{"Key": "team", "Value": "net"}, {"Key": "empty", "Value": ""}])
    team = [{"Name": "key", "Values": ["team"]}]
    shown = bed.call("DescribeTags", Filters=team)["Tags"]
    assert {t["ResourceId"] for t in shown} == set(resources)
    assert {t["ResourceType"] for t in shown} == {
        "vpc", "subnet", "security-group", "instance", "network-interface", "elastic-ip"
    }  # fmt: skip
    bed.call("DeleteTags", Resources=resources[:2], Tags=[{"Key": "team", "Value": "other"}])
    assert len(bed.call("DescribeTags", Filters=team)["Tags"]) == 6
    bed.call("DeleteTags", Resources=resources[:2], Tags=[{"Key": "team", "Value": "net"}])
    bed.call("DeleteTags", Resources=resources[2:4], Tags=[{"Key": "team"}])
    bed.call("DeleteTags", Resources=resources[4:5])
    assert [t["ResourceId"] for t in bed.call("DescribeTags", Filters=team)["Tags"]] == [allocation]
    assert bed.ec2.eni(resources[4]).tags == {}


def test_tagging_is_all_or_nothing_and_limited() -> None:
    bed = Bed()
    fails(
        "InvalidNetworkInterfaceID.NotFound",
        bed,
        "CreateTags",
        Resources=[bed.a.id, "eni-0a"],
        Tags=[{"Key": "x", "Value": "y"}],
    )
    assert "x" not in bed.ec2.subnet(bed.a.id).tags
    fails("InvalidID", bed, "CreateTags", Resources=["thing-1"], Tags=[{"Key": "x", "Value": "y"}])
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    fails("TagLimitExceeded", bed, "CreateTags", Resources=[bed.a.id], Tags=many)  # it has one already
    fails("MissingParameter", bed, "CreateTags", Resources=[bed.a.id], Tags=[])


def test_attributes_of_an_eni(bed: Bed) -> None:
    eni_id = bed.ec2.primary_eni(bed.node.id).id

    def attribute(name: str) -> Any:
        return bed.call("DescribeNetworkInterfaceAttribute", NetworkInterfaceId=eni_id, Attribute=name)

    assert attribute("groupSet")["Groups"][0]["GroupName"] == "default"
    assert attribute("sourceDestCheck")["SourceDestCheck"] == {"Value": True}
    assert attribute("attachment")["Attachment"]["DeleteOnTermination"] is True
    assert attribute("description")["Description"] == {"Value": ""}
    fails(
        "InvalidParameterValue", bed, "DescribeNetworkInterfaceAttribute", NetworkInterfaceId=eni_id, Attribute="mood"
    )


def test_zones_security_groups_and_reservations() -> None:
    bed = Bed()
    zones = bed.call("DescribeAvailabilityZones")["AvailabilityZones"]
    assert [(z["ZoneName"], z["ZoneId"]) for z in zones][:2] == [("us-west-2a", "usw2-az1"), ("us-west-2b", "usw2-az2")]
    made = bed.call("CreateSecurityGroup", VpcId=bed.vpc.id, GroupName="pods", Description="pods")
    permission = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}]
    bed.call("AuthorizeSecurityGroupIngress", GroupId=made["GroupId"], IpPermissions=permission)
    fails(
        "InvalidPermission.Duplicate",
        bed,
        "AuthorizeSecurityGroupIngress",
        GroupId=made["GroupId"],
        IpPermissions=permission,
    )
    (group,) = bed.call("DescribeSecurityGroups", GroupIds=[made["GroupId"]])["SecurityGroups"]
    assert group["IpPermissions"][0]["FromPort"] == 80
    assert len(group["IpPermissionsEgress"]) == 2
    bed.call("RevokeSecurityGroupIngress", GroupId=made["GroupId"], IpPermissions=permission)
    fails(
        "InvalidPermission.NotFound",
        bed,
        "RevokeSecurityGroupIngress",
        GroupId=made["GroupId"],
        IpPermissions=permission,
    )
    fails("InvalidGroup.Duplicate", bed, "CreateSecurityGroup", VpcId=bed.vpc.id, GroupName="pods", Description="x")

    bed.call("CreateSubnetCidrReservation", SubnetId=bed.a.id, Cidr="10.0.1.128/25", ReservationType="prefix")
    bed.call("CreateSubnetCidrReservation", SubnetId=bed.b.id, Cidr="2001:db8:0:100:5::/80", ReservationType="explicit")
    assert [
        r["Cidr"] for r in bed.call("GetSubnetCidrReservations", SubnetId=bed.a.id)["SubnetIpv4CidrReservations"]
    ] == ["10.0.1.128/25"]
    fails(
        "InvalidParameterValue",
        bed,
        "CreateSubnetCidrReservation",
        SubnetId=bed.a.id,
        Cidr="10.0.2.0/28",
        ReservationType="prefix",
    )
    fails(
        "InvalidParameterValue",
        bed,
        "CreateSubnetCidrReservation",
        SubnetId=bed.a.id,
        Cidr="10.0.1.192/26",
        ReservationType="prefix",
    )
    answer = bed.call("CreateNetworkInterface", SubnetId=bed.a.id, Ipv4PrefixCount=1)["NetworkInterface"]
    assert int(answer["Ipv4Prefixes"][0]["Ipv4Prefix"].split(".")[3].split("/")[0]) >= 128
