"""Faults: scope, count, expiry, buckets, and what each kind does to a call."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from vpccni_lab.ec2.api.actions import ACTIONS
from vpccni_lab.ec2.faults import ACCOUNT_LIMITS, Fault, FaultTable, Kind, Scope
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Instance
from vpccni_lab.ec2.timing import Timings

ANY = Scope(("node-a", "i-1"), "DescribeSubnets")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bed:
    def __init__(self) -> None:
        self.clock = Clock()
        self.ec2 = Ec2(self.clock, seed=3)
        vpc = self.ec2.create_vpc(["10.0.0.0/16"])
        self.subnet = self.ec2.create_subnet(vpc.id, "10.0.1.0/24")
        self.other = self.ec2.create_subnet(vpc.id, "10.0.2.0/24")
        self.node: Instance = self.ec2.run_instance("m5.large", self.subnet.id, name="node-a")

    def code(self, action: str, caller: str = "node-a", **params: Any) -> str:
        return self.ec2.call(caller, action, params).code

    def create(self, caller: str = "node-a", **params: Any) -> str:
        given = {"SubnetId": self.subnet.id, **params}
        return str(
            self.ec2.call(caller, "CreateNetworkInterface", given).value()["NetworkInterface"]["NetworkInterfaceId"]
        )

    def attach(self, eni_id: str, index: int = 1) -> str:
        given = {"NetworkInterfaceId": eni_id, "InstanceId": self.node.id, "DeviceIndex": index}
        return str(self.ec2.call("node-a", "AttachNetworkInterface", given).value()["AttachmentId"])

    def status(self, eni_id: str) -> str:
        attachment = self.ec2.eni(eni_id).attachment
        return attachment.status if attachment else "none"

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.ec2.advance()


@pytest.fixture
def bed() -> Bed:
    return Bed()


# the table


@pytest.mark.parametrize(
    ("scope", "hit"),
    [
        ({}, True),
        ({"actions": ["DescribeSubnets"]}, True),
        ({"actions": "Describe*"}, True),
        ({"actions": ["Create*", "Attach*"]}, False),
        ({"callers": ["node-a"]}, True),
        ({"callers": ["i-1"]}, True),
        ({"callers": ["node-b"]}, False),
        ({"callers": ["node-*"], "actions": ["Assign*"]}, False),
        ({"subnets": ["subnet-1"]}, False),
    ],
)
def test_scope(scope: dict[str, Any], hit: bool) -> None:
    table = FaultTable()
    table.add({"kind": "error", **scope})
    assert (table.find(Kind.ERROR, ANY, 0.0) is not None) is hit


def test_count_and_expiry_end_a_fault() -> None:
    table = FaultTable()
    table.add({"kind": "error", "count": 2})
    assert [table.find(Kind.ERROR, ANY, 0.0) is not None for _ in range(3)] == [True, True, False]
    assert table.to_list()[0]["acted"] == 2
    assert table.to_list()[0]["left"] == 0
    table.clear()
    table.add({"kind": "error", "expires": 10.0})
    assert table.find(Kind.ERROR, ANY, 9.9) is not None
    assert table.find(Kind.ERROR, ANY, 10.0) is None
    assert len(table) == 0


def test_a_bucket_refills_at_its_rate() -> None:
    table = FaultTable()
    table.add({"kind": "throttle", "rate": 2, "burst": 3})

    def admitted(now: float, calls: int) -> int:
        return sum(table.find(Kind.THROTTLE, ANY, now) is None for _ in range(calls))

    assert admitted(0.0, 10) == 3
    assert admitted(0.5, 10) == 1
    assert admitted(100.0, 10) == 3


def test_a_bucket_can_be_per_caller() -> None:
    table = FaultTable()
    table.add({"kind": "throttle", "rate": 0, "burst": 1, "per_caller": True})
    a, b = Scope(("a",), "X"), Scope(("b",), "X")
    assert table.find(Kind.THROTTLE, a, 0.0) is None
    assert table.find(Kind.THROTTLE, b, 0.0) is None
    assert table.find(Kind.THROTTLE, a, 0.0) is not None


def test_one_in_n_accepts_every_nth() -> None:
    table = FaultTable()
    table.add({"kind": "throttle", "one_in": 10})
    assert sum(table.find(Kind.THROTTLE, ANY, 0.0) is None for _ in range(100)) == 10


def test_faults_survive_the_way_through_a_dict() -> None:
    fault = Fault(Kind.THROTTLE, actions=("Assign*",), callers=("node-a",), rate=0.5, burst=3, expires=7.0, id="slow")
    assert Fault.from_dict(fault.to_dict()) == fault
    assert fault.to_dict() == {
        "kind": "throttle",
        "actions": ["Assign*"],
        "callers": ["node-a"],
        "rate": 0.5,
        "burst": 3,
        "expires": 7.0,
        "id": "slow",
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"kind": "meteor"}, "kind = 'meteor'"),
        ({}, "kind = None"),
        ({"kind": "delay", "secs": 3}, "unknown key secs"),
        ({"kind": "delay", "seconds": -1}, "seconds = -1"),
        ({"kind": "error", "count": 0}, "count = 0"),
        ({"kind": "error", "status": 200}, "status = 200"),
        ({"kind": "throttle", "rate": -1}, "rate = -1"),
        ({"kind": "throttle", "one_in": -2}, "one_in = -2"),
    ],
)
def test_a_bad_fault_is_refused_by_name(data: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FaultTable().add(data)


def test_ids_are_unique_and_unknown_ones_are_refused() -> None:
    table = FaultTable()
    table.add({"kind": "deny", "id": "x"})
    with pytest.raises(ValueError, match="'x' is in use"):
        table.add({"kind": "deny", "id": "x"})
    table.remove("x")
    with pytest.raises(ValueError, match="'x' is not set"):
        table.remove("x")


# kinds, on calls


def test_throttled_denied_and_failing_calls_change_nothing(bed: Bed) -> None:
    free = bed.ec2.free_addresses(bed.subnet.id)
    for fault, code in (
        ({"kind": "throttle", "rate": 0, "one_in": 1000}, "RequestLimitExceeded"),
        ({"kind": "deny"}, "UnauthorizedOperation"),
        ({"kind": "error"}, "InternalError"),
        ({"kind": "error", "code": "Unavailable", "status": 503}, "Unavailable"),
        ({"kind": "timeout", "seconds": 5}, "NoAnswer"),
        ({"kind": "reset"}, "NoAnswer"),
    ):
        name = bed.ec2.faults.add({**fault, "actions": ["Create*"]})
        assert bed.code("CreateNetworkInterface", SubnetId=bed.subnet.id) == code
        assert bed.code("DescribeSubnets") == "OK"
        bed.ec2.faults.remove(name)
    assert bed.ec2.free_addresses(bed.subnet.id) == free
    assert len(bed.ec2.enis()) == 1


def test_a_call_may_be_done_though_its_answer_is_lost(bed: Bed) -> None:
    bed.ec2.faults.add({"kind": "timeout", "seconds": 5, "executes": True, "count": 1})
    reply = bed.ec2.call("node-a", "CreateNetworkInterface", {"SubnetId": bed.subnet.id, "ClientToken": "t"})
    assert (reply.cut, reply.delay) == (True, 5)
    with pytest.raises(TimeoutError):
        reply.value()
    assert len(bed.ec2.enis()) == 2
    again = bed.create(ClientToken="t")
    assert [eni.id for eni in bed.ec2.enis()][1:] == [again]


def test_a_late_answer(bed: Bed) -> None:
    bed.ec2.faults.add({"kind": "delay", "seconds": 1.5})
    assert bed.ec2.call("node-a", "DescribeVpcs", {}).delay == 1.5


def test_the_error_names_who_may_not_do_what(bed: Bed) -> None:
    bed.ec2.faults.add({"kind": "deny"})
    error = bed.ec2.call("node-a", "AssignPrivateIpAddresses", {}).error
    assert error is not None
    assert error.status == 403
    assert "node-a is not authorized to perform: ec2:AssignPrivateIpAddresses" in error.message


def test_a_full_or_fragmented_subnet_by_fault(bed: Bed) -> None:
    eni_id = bed.create()
    full = bed.ec2.faults.add({"kind": "subnet-full", "subnets": [bed.subnet.id]})
    one: dict[str, Any] = {"NetworkInterfaceId": eni_id, "SecondaryPrivateIpAddressCount": 1}
    assert bed.code("AssignPrivateIpAddresses", **one) == "InsufficientFreeAddressesInSubnet"
    assert bed.code("CreateNetworkInterface", SubnetId=bed.subnet.id) == "InsufficientFreeAddressesInSubnet"
    assert bed.code("CreateNetworkInterface", SubnetId=bed.other.id) == "OK"
    bed.ec2.faults.remove(full)
    bed.ec2.faults.add({"kind": "no-prefix", "actions": ["Assign*"]})
    assert (
        bed.code("AssignPrivateIpAddresses", NetworkInterfaceId=eni_id, Ipv4PrefixCount=1) == "InsufficientCidrBlocks"
    )
    assert bed.code("AssignPrivateIpAddresses", **one) == "OK"
    assert bed.code("CreateNetworkInterface", SubnetId=bed.subnet.id, Ipv4PrefixCount=1) == "OK"


def test_attach_and_detach_delays_by_fault(bed: Bed) -> None:
    bed.ec2.faults.add({"kind": "attach-delay", "seconds": 30, "callers": ["node-a"]})
    bed.ec2.faults.add({"kind": "detach-delay", "seconds": 60})
    eni_id = bed.create()
    attachment = bed.attach(eni_id)
    bed.pass_time(29)
    assert bed.status(eni_id) == "attaching"
    bed.pass_time(1)
    assert bed.status(eni_id) == "attached"
    assert bed.code("DetachNetworkInterface", AttachmentId=attachment) == "OK"
    bed.pass_time(59)
    assert bed.status(eni_id) == "detaching"
    bed.pass_time(1)
    assert bed.status(eni_id) == "none"


def test_an_attach_is_stuck_for_as_long_as_the_fault_stands(bed: Bed) -> None:
    stuck = bed.ec2.faults.add({"kind": "attach-stuck", "callers": [bed.node.id]})
    eni_id = bed.create()
    bed.attach(eni_id)
    bed.pass_time(3600)
    assert bed.status(eni_id) == "attaching"
    bed.ec2.faults.remove(stuck)
    bed.pass_time(1)
    assert bed.status(eni_id) == "attached"


def test_a_counted_attach_stuck_holds_up_only_so_many(bed: Bed) -> None:
    bed.ec2.faults.add({"kind": "attach-stuck", "count": 1, "expires": bed.clock.now + 50})
    first, second = bed.create(), bed.create()
    bed.attach(first, 1)
    bed.attach(second, 2)
    assert (bed.status(first), bed.status(second)) == ("attaching", "attached")
    bed.pass_time(49)
    assert bed.status(first) == "attaching"
    bed.pass_time(2)
    assert bed.status(first) == "attached"


def test_describes_can_be_stale(bed: Bed) -> None:
    bed.pass_time(100)
    eni_id = bed.create()
    wanted: dict[str, Any] = {"NetworkInterfaceIds": [eni_id]}
    stale = bed.ec2.faults.add({"kind": "describe-stale", "seconds": 10})
    assert bed.code("DescribeNetworkInterfaces", **wanted) == "InvalidNetworkInterfaceID.NotFound"
    assert len(bed.ec2.call("x", "DescribeNetworkInterfaces", {}).value()["NetworkInterfaces"]) == 1
    bed.pass_time(10)
    assert bed.code("DescribeNetworkInterfaces", **wanted) == "OK"
    bed.ec2.call("x", "DeleteNetworkInterface", {"NetworkInterfaceId": eni_id}).value()
    assert bed.code("DescribeNetworkInterfaces", **wanted) == "OK"
    bed.ec2.faults.remove(stale)
    assert bed.code("DescribeNetworkInterfaces", **wanted) == "InvalidNetworkInterfaceID.NotFound"


def test_lags_are_timings_too(bed: Bed) -> None:
    bed.pass_time(100)
    bed.ec2.timings = Timings(reference_lag=2, describe_lag=1)
    eni_id = bed.create()
    bed.ec2.run_instance("m5.large", bed.subnet.id)  # what the model does itself is not held up
    given: dict[str, Any] = {"NetworkInterfaceId": eni_id, "InstanceId": bed.node.id, "DeviceIndex": 1}
    assert bed.code("AttachNetworkInterface", **given) == "InvalidNetworkInterfaceID.NotFound"
    bed.pass_time(2)
    assert bed.code("AttachNetworkInterface", **given) == "OK"
    shown = bed.ec2.call("x", "DescribeNetworkInterfaces", {"NetworkInterfaceIds": [eni_id]}).value()
    assert shown["NetworkInterfaces"][0]["Status"] == "available"
    held = bed.ec2.call("x", "DescribeInstances", {"InstanceIds": [bed.node.id]}).value()
    assert len(held["Reservations"][0]["Instances"][0]["NetworkInterfaces"]) == 1
    bed.pass_time(1)
    held = bed.ec2.call("x", "DescribeInstances", {"InstanceIds": [bed.node.id]}).value()
    assert len(held["Reservations"][0]["Instances"][0]["NetworkInterfaces"]) == 2


@pytest.mark.parametrize("bad", [{"attach": -1}, {"imds_lag": float("inf")}, {"detach": float("nan")}])
def test_bad_timings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="seconds, 0 or more"):
        Timings(**bad)


# the call log


def test_the_log_counts_per_caller_action_and_code_and_is_bounded(bed: Bed) -> None:
    bed.ec2.calls.reset()
    bed.code("DescribeSubnets")
    bed.code("DescribeSubnets", caller="node-b")
    bed.code("CreateNetworkInterface", SubnetId="subnet-0")
    bed.code("Nonsense")
    calls = bed.ec2.calls
    assert calls.by_action() == {"CreateNetworkInterface": 1, "DescribeSubnets": 2, "Nonsense": 1}
    assert calls.by_action("node-b") == {"DescribeSubnets": 1}
    assert calls.total(caller="node-a", code="OK") == 1
    last = calls.recent(2)
    assert [(c.action, c.code) for c in last] == [
        ("CreateNetworkInterface", "InvalidSubnetID.NotFound"),
        ("Nonsense", "InvalidAction"),
    ]
    assert last[0].parameters == "SubnetId=subnet-0"
    assert last[0].request_id != last[1].request_id
    for _ in range(10_050):
        calls.add(last[0])
    assert len(calls.recent(100_000)) == 10_000
    assert calls.total() == 10_054


def test_dry_run_says_whether_it_would_be_allowed(bed: Bed) -> None:
    assert bed.code("CreateNetworkInterface", SubnetId=bed.subnet.id, DryRun=True) == "DryRunOperation"
    bed.ec2.faults.add({"kind": "deny", "actions": ["Create*"]})
    assert bed.code("CreateNetworkInterface", SubnetId=bed.subnet.id, DryRun=True) == "UnauthorizedOperation"
    assert len(bed.ec2.enis()) == 1


def test_every_action_falls_under_one_account_limit() -> None:
    for action in ACTIONS:
        hit = [limit.id for limit in ACCOUNT_LIMITS if any(fnmatch.fnmatchcase(action, p) for p in limit.actions)]
        assert len(hit) == 1, action


def test_account_limits_are_per_action(bed: Bed) -> None:
    for limit in ACCOUNT_LIMITS:
        bed.ec2.faults.add(limit)
    codes = [bed.code("DescribeSubnets") for _ in range(101)]
    assert codes.count("RequestLimitExceeded") == 1
    assert bed.code("DescribeVpcs") == "OK"
    bed.pass_time(1)
    assert [bed.code("DescribeSubnets") for _ in range(21)].count("OK") == 20
