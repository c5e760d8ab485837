"""Subnets that run out, tags that change while the node runs, and calls that are not made."""

from __future__ import annotations

import pathlib

import pytest
from eni_aws import Aws, Process, fails, fault, full_primary, run
from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.reasons import Reason

pytestmark = pytest.mark.wire
ROLE = {"kubernetes.io/role/cni": "1"}


def test_a_full_subnet_leads_to_the_next_and_then_to_a_pause_of_those_subnets(tmp_path: pathlib.Path) -> None:
    aws = Aws()
    big = aws.ec2.create_subnet(aws.vpc.id, "10.0.16.0/20", "us-west-2a", tags=ROLE)
    middle = aws.ec2.create_subnet(aws.vpc.id, "10.0.4.0/22", "us-west-2a", tags=ROLE)
    other = aws.ec2.create_subnet(aws.vpc.id, "10.0.32.0/22", "us-west-2a", tags={"kubernetes.io/role/cni": "0"})

    async def body(served: Aws, process: Process) -> None:
        await full_primary(process)
        full = fault(served, "subnet-full", subnets=[big.id])
        step = await process.ensure(3)
        assert served.ec2.eni(step.eni_id).subnet_id == middle.id
        verdicts = {line.split()[0]: line.split(" ", 2)[2] for line in step.candidates}
        assert verdicts[big.id] == "refused: InsufficientFreeAddressesInSubnet"
        assert verdicts[middle.id].startswith("eligible")
        assert verdicts[other.id] == "refused: tag kubernetes.io/role/cni=0"
        assert f"{big.id} 10.0.16.0/20 refused: InsufficientFreeAddressesInSubnet" in process.log()

        fault(served, "subnet-full", subnets=[middle.id, served.subnet.id])
        served.mark()
        error = await fails(process.ensure(9, excluded_enis=[step.eni_id]))
        assert error.reason is Reason.SUBNET_FULL
        names = sorted((big.id, middle.id, served.subnet.id, other.id))
        assert all(name in error.message for name in names)
        assert sorted(line.split()[0] for line in error.details) == names and all("refused" in x for x in error.details)
        assert "asked again in" in error.message
        # the subnets pause, not the node: nothing is created, and what is given back ends the pause of its subnet
        served.mark()
        await fails(process.ensure(9, excluded_enis=[step.eni_id]))
        assert "CreateNetworkInterface" not in served.calls()
        served.ec2.faults.remove(full)
        served.ec2.faults.clear()
        await process.release([(step.eni_id, list(step.addresses[:1]))])
        again = await process.ensure(2, excluded_enis=[step.eni_id])
        assert served.ec2.eni(again.eni_id).subnet_id == middle.id

    run(tmp_path, body, aws)


def test_no_manage_is_honoured_from_the_moment_it_is_set(tmp_path: pathlib.Path) -> None:
    """A removal asks EC2 first: an ENI that somebody took for himself stays, and so do its addresses."""

    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        step = await process.ensure(3)
        tag = {"Key": "node.k8s.amazonaws.com/no_manage", "Value": "true"}
        aws.ec2.call("admin", "CreateTags", {"Resources": [step.eni_id], "Tags": [tag]}).value()
        error = await fails(process.release(eni_ids=[step.eni_id]))
        assert (error.reason, "no_manage=true" in error.message) == (Reason.CAPACITY_IN_USE, True)
        assert aws.ec2.eni(step.eni_id).attachment is not None
        told = {eni.eni_id: eni for eni in (await process.inventory(eni_pb2.IMDS)).enis}
        assert not told[step.eni_id].managed
        assert list(told[step.eni_id].secondary_ips) == list(step.addresses)
        # and it is not filled any more
        assert (await process.ensure(2)).eni_id != step.eni_id
        assert process.journal() == []

    run(tmp_path, body)


@pytest.mark.parametrize("imds", [True, False])
def test_detaching_and_attaching_are_awaited_without_refused_calls(tmp_path: pathlib.Path, imds: bool) -> None:
    """IMDS tells when; without it EC2 is asked a few times."""

    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        if not imds:
            fault(aws, "imds-error", "*macs*", status=500)
        aws.mark()
        step = await process.ensure(3)
        assert aws.calls()["DescribeNetworkInterfaces"] == 1
        aws.mark()
        await process.release(eni_ids=[step.eni_id])
        assert aws.calls()["DeleteNetworkInterface"] <= (1 if imds else 3)
        assert len(aws.enis()) == 1

    run(tmp_path, body, Aws(attach=1.2, detach=1.2))


def test_a_trunk_and_an_efa_are_neither_filled_nor_given_back_nor_tagged(tmp_path: pathlib.Path) -> None:
    aws = Aws(instance_type="m5.4xlarge")
    trunk = aws.ec2.call(
        "controller",
        "CreateNetworkInterface",
        {"SubnetId": aws.subnet.id, "InterfaceType": "trunk", "SecondaryPrivateIpAddressCount": 0},
    ).value()["NetworkInterface"]["NetworkInterfaceId"]
    place = {"NetworkInterfaceId": trunk, "InstanceId": aws.node.id, "DeviceIndex": 1}
    aws.ec2.call("controller", "AttachNetworkInterface", place).value()

    async def body(served: Aws, process: Process) -> None:
        told = {eni.eni_id: eni for eni in (await process.inventory()).enis}
        assert told[trunk].interface_type == "trunk"
        await process.ensure(29)
        step = await process.ensure(3)
        assert (step.action, served.ec2.eni(step.eni_id).attachment is not None) == ("attached", True)
        assert next(eni.device_number for eni in step.inventory.enis if eni.eni_id == step.eni_id) == 2
        error = await fails(process.release(eni_ids=[trunk]))
        assert (error.reason, "trunk" in error.message) == (Reason.CAPACITY_IN_USE, True)
        assert served.ec2.eni(trunk).tags == {}

    run(tmp_path, body, aws)


@pytest.mark.slow
def test_a_throttled_minute_loses_no_growth_that_its_deadline_allows(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        fault(aws, "throttle", one_in=10)
        aws.mark()
        assert len((await process.ensure(9, timeout=50.0)).addresses) == 9
        assert aws.ec2.calls.total(action="AssignPrivateIpAddresses", code="OK") == 1

    run(tmp_path, body)
