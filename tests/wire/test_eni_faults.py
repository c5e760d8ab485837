"""What goes wrong in EC2, and kill -9 between any two steps: nothing is left behind, nothing is lost, the reason is right."""

from __future__ import annotations

import asyncio
import pathlib
from typing import Any

import pytest
from eni_aws import CALLER, Aws, Process, fails, fault, full_primary, run, until
from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.reasons import Reason
from vpccni_lab.ec2.timing import Timings

pytestmark = pytest.mark.wire


def nothing_left(aws: Aws, process: Process) -> bool:
    return len(aws.enis()) == 1 and process.journal() == []


def test_throttled_calls_are_repeated_until_they_pass(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        fault(aws, "throttle", one_in=4)
        step = await process.ensure(9, timeout=60)
        assert len(step.addresses) == 9
        assert aws.ec2.calls.total(action="AssignPrivateIpAddresses", code="OK") == 1

    run(tmp_path, body)


def test_throttled_beyond_the_deadline_is_its_own_reason(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        fault(aws, "throttle", rate=0.0, burst=1.0)
        aws.ec2.call(CALLER, "DescribeVpcs", {})  # takes the only token
        error = await fails(process.ensure(9, timeout=3))
        assert error.reason in (Reason.EC2_THROTTLED, Reason.DEADLINE_EXCEEDED), error
        aws.ec2.faults.clear()
        # a step that nobody waits for any more has ended by then
        assert len((await process.ensure(9, timeout=30)).addresses) == 9

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("kind", "fields", "reason", "says"),
    [
        ("deny", {}, Reason.IAM_DENIED, "ec2:AssignPrivateIpAddresses"),
        ("subnet-full", {}, Reason.SUBNET_FULL, "InsufficientFreeAddressesInSubnet"),
        ("error", {"code": "IncorrectState", "status": 400}, Reason.EC2_REFUSED, "IncorrectState"),
        ("error", {"code": "Unavailable", "status": 503}, Reason.EC2_UNREACHABLE, "Unavailable"),
        ("reset", {}, Reason.EC2_UNREACHABLE, ""),
    ],
)
def test_an_assign_that_fails_adds_nothing_and_names_the_reason(
    tmp_path: pathlib.Path, kind: str, fields: dict[str, Any], reason: Reason, says: str
) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        fault(aws, kind, "AssignPrivateIpAddresses", **fields)
        error = await fails(process.ensure(3, may_create_eni=False))
        assert (error.reason, says in error.message) == (reason, True), error
        assert not aws.ec2.primary_eni(aws.node.id).secondary_ips

    run(tmp_path, body)


@pytest.mark.parametrize("kind", ["reset", "error"])
def test_an_assign_whose_answer_is_lost_is_not_sent_twice(tmp_path: pathlib.Path, kind: str) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        if kind == "reset":
            fault(aws, "reset", "AssignPrivateIpAddresses", executes=True, count=1)
            step = await process.ensure(3)
            assert sorted(step.addresses) == sorted(aws.ec2.primary_eni(aws.node.id).secondary_ips)
            assert len(step.addresses) == 3
        else:
            fault(aws, "error", "AssignPrivateIpAddresses", count=1)
            assert (await fails(process.ensure(3))).reason is Reason.EC2_UNREACHABLE
            assert len((await process.ensure(3)).addresses) == 3
        assert len(aws.ec2.primary_eni(aws.node.id).secondary_ips) == 3

    run(tmp_path, body)


def test_a_subnet_with_less_than_wanted_gives_what_it_has(tmp_path: pathlib.Path) -> None:
    """A /28 has 11 addresses to give: the primary ENI takes 1 + 5, the next one itself and the 4 that are left."""

    async def body(aws: Aws, process: Process) -> None:
        first = await process.ensure(5)
        second = await process.ensure(9, whole_eni=True, excluded_enis=[first.eni_id])
        assert (second.action, len(second.addresses)) == ("attached", 4)
        assert aws.ec2.free_addresses(aws.subnet.id) == 0
        error = await fails(process.ensure(2))
        assert error.reason is Reason.SUBNET_FULL and aws.subnet.id in error.message
        aws.mark()
        assert (await fails(process.ensure(2))).reason is Reason.SUBNET_FULL
        assert "AssignPrivateIpAddresses" not in aws.calls()  # set aside for a while
        await process.release([(first.eni_id, first.addresses[:2])])
        assert len((await process.ensure(2)).addresses) == 2  # what we gave back we may ask for at once

    run(tmp_path, body, Aws(subnet="10.0.1.0/28"))


def test_an_address_limit_that_was_not_known_makes_it_read_again(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        # somebody else fills the ENI behind our back
        primary = aws.ec2.primary_eni(aws.node.id).id
        request = {"NetworkInterfaceId": primary, "SecondaryPrivateIpAddressCount": 5}
        aws.ec2.call("other", "AssignPrivateIpAddresses", request).value()
        step = await process.ensure(9)
        assert (step.eni_id, len(step.addresses)) == (primary, 4)
        assert len(step.inventory.enis[0].secondary_ips) == 9

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("action", "fields", "reason"),
    [
        ("CreateNetworkInterface", {"kind": "deny"}, Reason.IAM_DENIED),
        (
            "CreateNetworkInterface",
            {"kind": "error", "code": "NetworkInterfaceLimitExceeded", "status": 400},
            Reason.EC2_REFUSED,
        ),
        ("CreateNetworkInterface", {"kind": "subnet-full"}, Reason.SUBNET_FULL),
        ("AttachNetworkInterface", {"kind": "deny"}, Reason.ENI_ATTACH_FAILED),
        (
            "AttachNetworkInterface",
            {"kind": "error", "code": "AttachmentLimitExceeded", "status": 400},
            Reason.ENI_LIMIT,
        ),
        ("AttachNetworkInterface", {"kind": "reset"}, Reason.ENI_ATTACH_FAILED),
        ("ModifyNetworkInterfaceAttribute", {"kind": "deny"}, Reason.ENI_ATTACH_FAILED),
        ("ModifyNetworkInterfaceAttribute", {"kind": "error", "code": "InternalError"}, Reason.ENI_ATTACH_FAILED),
    ],
)
def test_a_failure_at_any_step_of_attaching_leaves_nothing(
    tmp_path: pathlib.Path, action: str, fields: dict[str, Any], reason: Reason
) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        fault(aws, fields["kind"], action, **{k: v for k, v in fields.items() if k != "kind"})
        error = await fails(process.ensure(3, timeout=60))
        assert error.reason is reason, error
        await until(lambda: nothing_left(aws, process), what="a clean EC2", seconds=60)
        aws.ec2.faults.clear()
        if reason is not Reason.ENI_LIMIT and reason is not Reason.SUBNET_FULL:
            assert (await process.ensure(3)).action == "attached"

    run(tmp_path, body)


def test_an_attachment_whose_answer_is_lost_is_found(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        fault(aws, "reset", "AttachNetworkInterface", executes=True, count=1)
        step = await process.ensure(3)
        assert step.action == "attached" and len(aws.enis()) == 2
        assert aws.ec2.calls.total(action="AttachNetworkInterface") == 1

    run(tmp_path, body)


def test_a_create_whose_answer_is_lost_makes_one_eni(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        fault(aws, "reset", "CreateNetworkInterface", executes=True, count=2)
        step = await process.ensure(3)
        assert step.action == "attached" and len(aws.enis()) == 2

    run(tmp_path, body)


def test_a_device_number_taken_by_somebody_else(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        made = aws.ec2.call("other", "CreateNetworkInterface", {"SubnetId": aws.subnet.id}).value()
        foreign = made["NetworkInterface"]["NetworkInterfaceId"]
        attach = {"NetworkInterfaceId": foreign, "InstanceId": aws.node.id, "DeviceIndex": 1}
        aws.ec2.call("other", "AttachNetworkInterface", attach).value()
        step = await process.ensure(3)
        assert {eni.eni_id: eni.device_number for eni in step.inventory.enis}[step.eni_id] == 2

    run(tmp_path, body)


def test_slow_attach_is_awaited_with_few_calls(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        await process.inventory()
        aws.mark()
        step = await process.ensure(3)
        added = next(eni for eni in step.inventory.enis if eni.eni_id == step.eni_id)
        assert added.status == "attached"
        assert aws.calls()["DescribeNetworkInterfaces"] <= 5

    run(tmp_path, body, Aws(attach=5.0))


def test_describes_that_lag_lose_nothing(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.describe()
        await asyncio.sleep(3.0)  # a node younger than the lag is not described at all
        aws.ec2.timings = Timings(describe_lag=3.0, imds_lag=1.0, reference_lag=1.0)
        first = await process.ensure(9)
        step = await process.ensure(3)
        assert step.action == "attached"
        told = await process.inventory()
        assert {eni.eni_id: len(eni.secondary_ips) for eni in told.enis} == {first.eni_id: 9, step.eni_id: 3}
        left = await process.release([(first.eni_id, first.addresses[:2])], [step.eni_id])
        assert {eni.eni_id: len(eni.secondary_ips) for eni in left.enis} == {first.eni_id: 7}
        told = await process.inventory()
        assert {eni.eni_id: len(eni.secondary_ips) for eni in told.enis} == {first.eni_id: 7}

    run(tmp_path, body)


def test_growth_goes_on_while_imds_fails(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.describe()
        fault(aws, "imds-error", status=503)
        await full_primary(process)
        assert (await process.ensure(3)).action == "attached"

    run(tmp_path, body)


def test_imds_that_fails_is_its_own_reason_and_not_ready(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.describe()
        fault(aws, "imds-error", status=500)
        assert (await fails(process.describe())).reason is Reason.IMDS_UNREACHABLE
        aws.ec2.faults.clear()
        assert (await process.describe()).instance_id == aws.node.id

    run(tmp_path, body)


CREATION = (
    "CreateNetworkInterface",
    "AttachNetworkInterface",
    "ModifyNetworkInterfaceAttribute",
    "DescribeNetworkInterfaces",
)
REMOVAL = ("DescribeNetworkInterfaces", "DetachNetworkInterface", "DeleteNetworkInterface")


def test_these_are_all_the_steps(tmp_path: pathlib.Path) -> None:
    """What the kills below go through is what an undisturbed run does."""

    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        aws.mark()
        step = await process.ensure(3)
        assert steps(aws) == ("DescribeSubnets", *CREATION)
        aws.mark()
        await process.release(eni_ids=[step.eni_id])
        assert steps(aws) == REMOVAL

    run(tmp_path, body)


def steps(aws: Aws) -> tuple[str, ...]:
    return tuple(call.action for call in aws.ec2.calls.recent())


def before_and_after(actions: tuple[str, ...]) -> list[tuple[str, bool]]:
    """A kill while each call is under way: it never reached EC2, or it happened and nobody was told."""
    return [(action, happened) for action in actions for happened in (False, True)]


@pytest.mark.parametrize(("action", "happened"), before_and_after(CREATION))
def test_kill_between_the_steps_of_creation(tmp_path: pathlib.Path, action: str, happened: bool) -> None:
    """Afterwards an ENI is either attached, marked and known, or gone."""

    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        aws.mark()
        fault(aws, "timeout", action, seconds=60.0, executes=happened, count=1)
        growing = asyncio.create_task(process.ensure(3))
        await until(lambda: aws.ec2.calls.total(action=action, code="NoAnswer") > 0, what=f"{action} under way")
        assert process.journal()
        await process.kill()
        await asyncio.gather(growing, return_exceptions=True)
        aws.ec2.faults.clear()
        await process.start()
        await until(lambda: process.journal() == [], what="an empty journal", seconds=60)
        told = {eni.eni_id: sorted(eni.secondary_ips) for eni in (await process.inventory()).enis}
        assert {eni.id: sorted(eni.secondary_ips) for eni in aws.enis()} == told
        for eni in aws.enis():
            assert eni.attachment is not None and eni.attachment.delete_on_termination
            assert eni.tags["node.k8s.amazonaws.com/instance_id"] == aws.node.id
        step = await process.ensure(3)
        assert step.action in ("attached", "assigned")

    run(tmp_path, body)


@pytest.mark.parametrize(("action", "happened"), before_and_after(REMOVAL))
def test_kill_between_the_steps_of_removal(tmp_path: pathlib.Path, action: str, happened: bool) -> None:
    """An ENI whose removal never reached EC2 stays in use; any other is gone."""

    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        step = await process.ensure(3)
        fault(aws, "timeout", action, seconds=60.0, executes=happened, count=1)
        releasing = asyncio.create_task(process.release(eni_ids=[step.eni_id]))
        await until(lambda: aws.ec2.calls.total(action=action, code="NoAnswer") > 0, what=f"{action} under way")
        await process.kill()
        await asyncio.gather(releasing, return_exceptions=True)
        aws.ec2.faults.clear()
        await process.start()
        await until(lambda: process.journal() == [], what="an empty journal", seconds=60)
        stays = action == "DescribeNetworkInterfaces" or (action, happened) == ("DetachNetworkInterface", False)
        told = {eni.eni_id: eni.status for eni in (await process.inventory()).enis}
        assert {eni.id for eni in aws.enis()} == set(told)
        assert (told.get(step.eni_id) == "attached") is stays

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("action", "happened"), before_and_after(("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"))
)
def test_kill_while_addresses_change(tmp_path: pathlib.Path, action: str, happened: bool) -> None:
    """After the restart the inventory is what EC2 holds: no address is lost, none is kept that nobody knows of."""

    async def body(aws: Aws, process: Process) -> None:
        first = await process.ensure(4)
        fault(aws, "timeout", action, seconds=60.0, executes=happened, count=1)
        call = (
            process.ensure(2) if action.startswith("Assign") else process.release([(first.eni_id, first.addresses[:2])])
        )
        changing = asyncio.ensure_future(call)
        await until(lambda: aws.ec2.calls.total(action=action, code="NoAnswer") > 0, what=f"{action} under way")
        await process.kill()
        await asyncio.gather(changing, return_exceptions=True)
        aws.ec2.faults.clear()
        await process.start()
        (told,) = (await process.inventory()).enis
        assert set(told.secondary_ips) == set(aws.ec2.eni(first.eni_id).secondary_ips)
        assert len(told.secondary_ips) == {(True, True): 6, (False, True): 2}.get(
            (action.startswith("Assign"), happened), 4
        )
        left = await process.release([(first.eni_id, list(told.secondary_ips))])
        assert [list(eni.secondary_ips) for eni in left.enis] == [[]]
        assert aws.ec2.eni(first.eni_id).secondary_ips == ()

    run(tmp_path, body)


def test_a_release_goes_on_when_its_caller_is_gone(tmp_path: pathlib.Path) -> None:
    """ipam may be killed while EC2 answers: what was taken away must not come back with the next call of ours."""

    async def body(aws: Aws, process: Process) -> None:
        first = await process.ensure(4)
        fault(aws, "delay", "UnassignPrivateIpAddresses", seconds=1.0, count=1)
        given = first.addresses[:2]
        error = await fails(process.release([(first.eni_id, given)], timeout=0.5))
        assert error.reason in (Reason.DEADLINE_EXCEEDED, Reason.EC2_THROTTLED), error
        for _ in range(3):
            step = await process.ensure(1)
            held = set(aws.ec2.eni(first.eni_id).secondary_ips)
            assert {ip for eni in step.inventory.enis for ip in eni.secondary_ips} == held
            (told,) = (await process.inventory()).enis
            assert set(told.secondary_ips) == held

    run(tmp_path, body)


def test_an_uncertain_release_leaves_no_address_that_only_we_believe_in(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        first = await process.ensure(4)
        fault(aws, "reset", "UnassignPrivateIpAddresses", executes=True)
        error = await fails(process.release([(first.eni_id, first.addresses[:2])]))
        assert error.reason is Reason.EC2_UNREACHABLE, error
        aws.ec2.faults.clear()
        step = await process.ensure(1)
        held = set(aws.ec2.eni(first.eni_id).secondary_ips)
        assert {ip for eni in step.inventory.enis for ip in eni.secondary_ips} == held
        assert set((await process.inventory()).enis[0].secondary_ips) == held

    run(tmp_path, body)


def test_the_watch_asks_ec2_only_when_imds_shows_something_else(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        await process.ensure(2)
        await asyncio.sleep(0.5)
        aws.mark()
        for _ in range(5):
            await process.inventory(eni_pb2.IMDS)
        assert aws.calls() == {}

    run(tmp_path, body)


def test_no_prefix_to_be_had_is_its_own_reason_and_single_addresses_still_work(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        fault(aws, "no-prefix")
        error = await fails(process.ensure(2, mode=eni_pb2.PREFIX_IPV4))
        assert error.reason is Reason.SUBNET_NO_PREFIX
        aws.mark()
        # at the ENI limit too, the reason is the subnet while it is set aside
        error = await fails(process.ensure(2, mode=eni_pb2.PREFIX_IPV4, max_enis=1))
        assert (error.reason, "AssignPrivateIpAddresses" in aws.calls()) == (Reason.SUBNET_NO_PREFIX, False)
        assert len((await process.ensure(2)).addresses) == 2

    run(tmp_path, body)


def test_sigterm_does_not_wait_for_a_call_that_hangs(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await full_primary(process)
        fault(aws, "timeout", "AttachNetworkInterface", seconds=300.0, count=1)
        growing = asyncio.create_task(process.ensure(3))
        await until(lambda: aws.ec2.calls.total(action="AttachNetworkInterface") > 0, what="the hanging call")
        ended = asyncio.create_task(process.terminate())
        assert await asyncio.wait_for(ended, 30) == 0
        await asyncio.gather(growing, return_exceptions=True)
        assert [entry["step"] for entry in process.journal()] == ["created"]
        aws.ec2.faults.clear()
        await process.start()
        await until(lambda: nothing_left(aws, process), what="a clean EC2", seconds=60)

    run(tmp_path, body, HTTP_TIMEOUT="300")
