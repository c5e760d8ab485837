"""boto3 against the lab's EC2 endpoint over HTTP: every action it answers, errors, faults, credentials."""

from __future__ import annotations

import dataclasses
import datetime
import http.client
import urllib.parse
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from vpccni_lab.ec2.api.actions import ACTIONS
from vpccni_lab.ec2.embedded import Embedded
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.timing import Timings


class Clock:
    """A wall that the test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Bed:
    lab: Embedded
    ec2: Ec2
    clock: Clock
    url: str
    api: Any
    vpc: str = ""
    subnet: str = ""
    node: str = ""


def client(url: str, **config: Any) -> Any:
    return boto3.client(
        "ec2",
        endpoint_url=url,
        region_name="us-west-2",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.fixture
def bed() -> Iterator[Bed]:
    clock = Clock()
    ec2 = Ec2(clock, seed=4)
    with Embedded(ec2) as lab:
        url = lab.ec2()
        api = client(url)
        bed = Bed(lab, ec2, clock, url, api)
        vpc = api.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
        bed.vpc = vpc["VpcId"]
        six = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
        bed.subnet = api.create_subnet(
            VpcId=bed.vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-west-2a", Ipv6CidrBlock=six
        )["Subnet"]["SubnetId"]
        started = api.run_instances(
            ImageId="ami-1", InstanceType="m5.large", MinCount=1, MaxCount=1, SubnetId=bed.subnet,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "node-a"}]}],
        )  # fmt: skip
        bed.node = started["Instances"][0]["InstanceId"]
        yield bed
        api.close()


def code(call: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    assert answer["ResponseMetadata"]["RequestId"]
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_the_way_a_cni_goes_about_an_eni(bed: Bed) -> None:
    api = bed.api
    made = api.create_network_interface(
        SubnetId=bed.subnet,
        Description=f"aws-K8S-{bed.node}",
        SecondaryPrivateIpAddressCount=9,
        TagSpecifications=[
            {"ResourceType": "network-interface", "Tags": [{"Key": "cluster.k8s.amazonaws.com/name", "Value": "c"}]}
        ],
    )["NetworkInterface"]
    eni = made["NetworkInterfaceId"]
    assert made["Status"] == "pending"
    assert made["TagSet"] == [{"Key": "cluster.k8s.amazonaws.com/name", "Value": "c"}]
    assert [a["Primary"] for a in made["PrivateIpAddresses"]] == [True] + [False] * 9
    attachment = api.attach_network_interface(NetworkInterfaceId=eni, InstanceId=bed.node, DeviceIndex=1)
    api.modify_network_interface_attribute(
        NetworkInterfaceId=eni,
        Attachment={"AttachmentId": attachment["AttachmentId"], "DeleteOnTermination": True},
    )
    (shown,) = api.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert shown["Attachment"] == {
        "AttachTime": datetime.datetime.fromtimestamp(bed.clock.now, datetime.UTC),
        "AttachmentId": attachment["AttachmentId"],
        "DeleteOnTermination": True,
        "DeviceIndex": 1,
        "NetworkCardIndex": 0,
        "InstanceId": bed.node,
        "InstanceOwnerId": "123456789012",
        "Status": "attached",
    }
    drop = [a["PrivateIpAddress"] for a in shown["PrivateIpAddresses"] if not a["Primary"]][:4]
    api.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=drop)
    new = api.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=2)
    assert new["AssignedPrivateIpAddresses"] == []
    prefixes = [p["Ipv4Prefix"] for p in new["AssignedIpv4Prefixes"]]
    assert len(prefixes) == 2
    (shown,) = api.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert [p["Ipv4Prefix"] for p in shown["Ipv4Prefixes"]] == prefixes
    assert len(shown["PrivateIpAddresses"]) == 6
    api.unassign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4Prefixes=prefixes)
    six = api.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6PrefixCount=1)["AssignedIpv6Prefixes"]
    assert six[0].endswith("/80")
    gone = api.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Prefixes=six)
    assert gone["UnassignedIpv6Prefixes"] == six
    assert code(lambda: api.delete_network_interface(NetworkInterfaceId=eni)) == ("InvalidParameterValue", 400)
    api.detach_network_interface(AttachmentId=attachment["AttachmentId"])
    api.delete_network_interface(NetworkInterfaceId=eni)
    gone_code = code(lambda: api.describe_network_interfaces(NetworkInterfaceIds=[eni]))
    assert gone_code == ("InvalidNetworkInterfaceID.NotFound", 400)


def test_waiters_and_paginators_work(bed: Bed) -> None:
    for _ in range(12):
        bed.api.create_network_interface(SubnetId=bed.subnet)
    pages = bed.api.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 5})
    ids = [e["NetworkInterfaceId"] for page in pages for e in page["NetworkInterfaces"]]
    assert len(ids) == len(set(ids)) == 13
    types = bed.api.get_paginator("describe_instance_types").paginate()
    assert sum(len(page["InstanceTypes"]) for page in types) > 1000
    free = bed.api.create_network_interface(SubnetId=bed.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    bed.api.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[free])
    bed.api.get_waiter("instance_running").wait(InstanceIds=[bed.node])


def test_termination_over_the_wire(bed: Bed) -> None:
    eni = bed.ec2.primary_eni(bed.node).id
    (change,) = bed.api.terminate_instances(InstanceIds=[bed.node])["TerminatingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "terminated")
    assert code(lambda: bed.api.describe_network_interfaces(NetworkInterfaceIds=[eni]))[0].endswith("NotFound")


def test_run_instances_with_interfaces_and_tags(bed: Bed) -> None:
    started = bed.api.run_instances(
        ImageId="ami-1",
        InstanceType="m5.xlarge",
        MinCount=2,
        MaxCount=2,
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": bed.subnet, "AssociatePublicIpAddress": True, "Ipv6AddressCount": 1},
            {
                "DeviceIndex": 1,
                "SubnetId": bed.subnet,
                "SecondaryPrivateIpAddressCount": 3,
                "DeleteOnTermination": False,
            },
        ],
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["Instances"]
    assert len(started) == 2
    for instance in started:
        first, second = instance["NetworkInterfaces"]
        assert instance["PublicIpAddress"]
        assert len(first["Ipv6Addresses"]) == 1
        assert len(second["PrivateIpAddresses"]) == 4
        assert (first["Attachment"]["DeleteOnTermination"], second["Attachment"]["DeleteOnTermination"]) == (
            True,
            False,
        )
        assert bed.ec2.eni(first["NetworkInterfaceId"]).tags == {"a": "b"}
    free = bed.ec2.free_addresses(bed.subnet)
    refused = code(
        lambda: bed.api.run_instances(
            ImageId="ami-1",
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=bed.subnet,
            PrivateIpAddress=started[0]["PrivateIpAddress"],
        )
    )
    assert refused == ("InvalidIPAddress.InUse", 400)
    assert bed.ec2.free_addresses(bed.subnet) == free


def test_every_action_answers_a_real_request(bed: Bed) -> None:
    """Each action of the table is called once with parameters that it accepts, parsed back by botocore."""
    api = bed.api
    cidr = api.associate_vpc_cidr_block(VpcId=bed.vpc, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    api.disassociate_vpc_cidr_block(AssociationId=cidr["AssociationId"])
    api.create_subnet_cidr_reservation(SubnetId=bed.subnet, Cidr="10.0.1.64/26", ReservationType="prefix")
    assert (
        api.get_subnet_cidr_reservations(SubnetId=bed.subnet)["SubnetIpv4CidrReservations"][0]["Cidr"] == "10.0.1.64/26"
    )
    group = api.create_security_group(VpcId=bed.vpc, GroupName="pods", Description="pods")["GroupId"]
    rule = [{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    api.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    api.authorize_security_group_egress(GroupId=group, IpPermissions=rule)
    api.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)
    api.revoke_security_group_egress(GroupId=group, IpPermissions=rule)
    assert api.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["GroupName"] == "pods"
    eni = api.create_network_interface(SubnetId=bed.subnet, Groups=[group], Ipv4PrefixCount=1)["NetworkInterface"]
    eni_id = eni["NetworkInterfaceId"]
    api.assign_private_ip_addresses(NetworkInterfaceId=eni_id, SecondaryPrivateIpAddressCount=1)
    api.unassign_private_ip_addresses(NetworkInterfaceId=eni_id, Ipv4Prefixes=[eni["Ipv4Prefixes"][0]["Ipv4Prefix"]])
    six = api.assign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6AddressCount=1)["AssignedIpv6Addresses"]
    api.unassign_ipv6_addresses(NetworkInterfaceId=eni_id, Ipv6Addresses=six)
    api.modify_network_interface_attribute(NetworkInterfaceId=eni_id, SourceDestCheck={"Value": False})
    check = api.describe_network_interface_attribute(NetworkInterfaceId=eni_id, Attribute="sourceDestCheck")
    assert check["SourceDestCheck"] == {"Value": False}
    attachment = api.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId=bed.node, DeviceIndex=2)
    allocation = api.allocate_address(Domain="vpc")["AllocationId"]
    held = api.associate_address(AllocationId=allocation, NetworkInterfaceId=eni_id)["AssociationId"]
    assert api.describe_addresses(AllocationIds=[allocation])["Addresses"][0]["InstanceId"] == bed.node
    api.disassociate_address(AssociationId=held)
    api.release_address(AllocationId=allocation)
    api.detach_network_interface(AttachmentId=attachment["AttachmentId"])
    api.create_tags(Resources=[eni_id], Tags=[{"Key": "k", "Value": "v"}])
    assert api.describe_tags(Filters=[{"Name": "key", "Values": ["k"]}])["Tags"][0]["ResourceId"] == eni_id
    api.delete_tags(Resources=[eni_id], Tags=[{"Key": "k"}])
    api.delete_network_interface(NetworkInterfaceId=eni_id)
    trunk, branch = (
        bed.ec2.call("t", "CreateNetworkInterface", {"SubnetId": bed.subnet, "InterfaceType": kind}).value()
        for kind in ("trunk", "branch")
    )
    trunk_id, branch_id = (made["NetworkInterface"]["NetworkInterfaceId"] for made in (trunk, branch))
    joined = api.associate_trunk_interface(BranchInterfaceId=branch_id, TrunkInterfaceId=trunk_id, VlanId=7)
    association = joined["InterfaceAssociation"]["AssociationId"]
    listed = api.describe_trunk_interface_associations(AssociationIds=[association])["InterfaceAssociations"]
    assert [(a["BranchInterfaceId"], a["TrunkInterfaceId"], a["VlanId"]) for a in listed] == [(branch_id, trunk_id, 7)]
    api.disassociate_trunk_interface(AssociationId=association)
    for made in (trunk_id, branch_id):
        api.delete_network_interface(NetworkInterfaceId=made)
    assert api.describe_vpcs(VpcIds=[bed.vpc])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"
    assert api.describe_subnets(SubnetIds=[bed.subnet])["Subnets"][0]["AvailableIpAddressCount"] == 250
    assert api.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"] == "us-west-2a"
    assert api.describe_instance_types(InstanceTypes=["m5.large"])["InstanceTypes"][0]["NetworkInfo"]["NetworkCards"]
    assert api.describe_network_interfaces()["NetworkInterfaces"][0]["Attachment"]["DeviceIndex"] == 0
    assert api.describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"] == bed.node
    api.terminate_instances(InstanceIds=[bed.node])
    done = {action for (_, action, result), _ in bed.ec2.calls.counts.items() if result == "OK"}
    assert set(ACTIONS) - done == set()


# errors and faults on the wire


def test_errors_carry_ec2s_code_and_status(bed: Bed) -> None:
    api = bed.api
    assert code(lambda: api.create_network_interface(SubnetId="subnet-0a")) == ("InvalidSubnetID.NotFound", 400)
    assert code(lambda: api.create_network_interface(SubnetId=bed.subnet, DryRun=True)) == ("DryRunOperation", 412)
    assert code(api.describe_volumes) == ("InvalidAction", 400)
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "deny", "actions": ["CreateTags"]}))
    assert code(lambda: api.create_tags(Resources=[bed.subnet], Tags=[{"Key": "a", "Value": "b"}])) == (
        "UnauthorizedOperation",
        403,
    )
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "throttle", "rate": 0, "burst": 1, "actions": ["DescribeTags"]}))
    api.describe_tags()
    assert code(api.describe_tags) == ("RequestLimitExceeded", 503)


def test_boto3_retries_what_the_lab_throttles(bed: Bed) -> None:
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "error", "code": "RequestLimitExceeded", "status": 503, "count": 2}))
    retrying = boto3.client(
        "ec2", endpoint_url=bed.url, region_name="us-west-2", aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
    )  # fmt: skip
    answer = retrying.describe_vpcs()
    retrying.close()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2


def test_an_answer_that_never_comes_and_a_cut_connection(bed: Bed) -> None:
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "timeout", "seconds": 30, "count": 1}))
    hasty = client(bed.url, read_timeout=0.3)
    with pytest.raises(ReadTimeoutError):
        hasty.describe_vpcs()
    hasty.close()
    bed.lab.do(lambda: bed.ec2.faults.add({"kind": "reset", "count": 1}))
    with pytest.raises(ConnectionClosedError):
        bed.api.describe_vpcs()
    assert bed.api.describe_vpcs()["Vpcs"]


def test_attach_takes_its_time_by_the_models_clock(bed: Bed) -> None:
    bed.lab.do(lambda: setattr(bed.ec2, "timings", Timings(attach=5, detach=5)))
    eni = bed.api.create_network_interface(SubnetId=bed.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    bed.api.attach_network_interface(NetworkInterfaceId=eni, InstanceId=bed.node, DeviceIndex=1)

    def status() -> str:
        (shown,) = bed.api.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
        return str(shown["Attachment"]["Status"])

    assert status() == "attaching"
    bed.clock.now += 5
    assert status() == "attached"


# who calls


def test_callers_are_known_by_listener_or_key(bed: Bed) -> None:
    bed.api.describe_vpcs()
    named = client(bed.lab.ec2(caller="node-z"))
    named.describe_vpcs()
    named.close()
    assert bed.ec2.calls.total(caller="AKIDTEST", action="DescribeVpcs") == 1
    assert bed.ec2.calls.total(caller="node-z", action="DescribeVpcs") == 1


def test_the_default_credential_chain_through_imds_names_the_node(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", bed.lab.imds(bed.node))
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", bed.url)
    api = boto3.session.Session().client("ec2", region_name="us-west-2")
    api.describe_vpcs()
    api.close()
    assert bed.ec2.calls.total(caller="node-a", action="DescribeVpcs") == 1


# plain HTTP


def raw(url: str, method: str, target: str, body: str = "", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    try:
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_get_requests_and_presigned_credentials(bed: Bed) -> None:
    query = "Action=DescribeVpcs&Version=2016-11-15&VpcId.1=" + bed.vpc
    status, text = raw(
        bed.url, "GET", f"/?{query}&X-Amz-Credential=AKIDGET%2F20260101%2Fus-west-2%2Fec2%2Faws4_request"
    )
    assert status == 200
    assert f"<vpcId>{bed.vpc}</vpcId>" in text
    assert bed.ec2.calls.total(caller="AKIDGET") == 1


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "code"),
    [
        ("GET", "/?Action=DescribeVpcs", {}, 401, "AuthFailure"),
        ("GET", "/", {}, 400, "MissingAction"),
        ("DELETE", "/?Action=DescribeVpcs", {}, 405, "InvalidRequest"),
        ("GET", "/?Action=DescribeVpcs&AWSAccessKeyId=a&MaxResults=many", {}, 400, "InvalidParameterValue"),
        ("GET", "/?Action=CreateNetworkInterface&AWSAccessKeyId=a", {}, 400, "MissingParameter"),
    ],
)
def test_malformed_requests_get_an_error_document(
    bed: Bed, method: str, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    got, text = raw(bed.url, method, target, **headers)
    assert got == status
    assert f"<Code>{code}</Code>" in text
    assert "<RequestID>" in text


def test_text_from_clients_is_escaped(bed: Bed) -> None:
    made = bed.api.create_network_interface(SubnetId=bed.subnet, Description='a<b>&"c" ü')["NetworkInterface"]
    (shown,) = bed.api.describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert shown["Description"] == 'a<b>&"c" ü'
    with pytest.raises(ClientError) as caught:
        bed.api.describe_network_interfaces(NetworkInterfaceIds=["<eni>&"])
    assert "'<eni>&'" in str(caught.value)
