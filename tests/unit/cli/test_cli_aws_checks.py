"""What eni-manager says, as red and green: each fault by its own check, with a cure."""

from __future__ import annotations

from typing import Any

import pytest
from vpccni_cli import aws_checks
from vpccni_cli.host_checks import Finding

_SUBNET = {
    "subnet_id": "subnet-1",
    "availability_zone": "us-west-2a",
    "free": 200,
    "refused_why": "",
    "cidr": "10.0.0.0/24",
}
_GOOD: dict[str, Any] = {
    "actions": [{"action": "CreateTags", "verdict": "allowed", "message": ""}],
    "subnets": [_SUBNET],
    "subnets_error": "",
    "missing_tags": [],
    "imds_hop_limit": 1,
    "imds_error": "",
}
_M5_LARGE = {"max_enis": 3, "ipv4_per_eni": 10, "hypervisor": "nitro", "bare_metal": False}


def failed(**changes: Any) -> list[Finding]:
    return [one for one in aws_checks.access({**_GOOD, **changes}) if one.ok is False]


def test_a_good_node_has_nothing_red() -> None:
    assert failed() == []


@pytest.mark.parametrize(
    ("changes", "check", "says"),
    [
        ({"imds_error": "IMDS_UNREACHABLE: timed out"}, "instance metadata", "timed out"),
        (
            {"actions": [{"action": "CreateTags", "verdict": "denied", "message": "no policy"}]},
            "IAM ec2:CreateTags",
            "no policy",
        ),
        (
            {"actions": [{"action": "CreateTags", "verdict": "unknown", "message": "RequestLimitExceeded"}]},
            "IAM, not known",
            "CreateTags",
        ),
        ({"subnets": [{**_SUBNET, "refused_why": "tag role=0"}]}, "subnets", "none may hold a new ENI"),
        ({"subnets": [{**_SUBNET, "free": 3}]}, "subnets", "3 addresses are free"),
        ({"subnets_error": "IAM_DENIED: ec2:DescribeSubnets"}, "subnets", "DescribeSubnets"),
        ({"missing_tags": [{"eni_id": "eni-1", "keys": ["a", "b"]}]}, "ENI tags", "eni-1 lacks a, b"),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], check: str, says: str) -> None:
    (one,) = failed(**changes)
    assert one.check == check and says in one.detail and one.cure


def test_a_subnet_that_is_not_used_does_not_count() -> None:
    (one,) = failed(subnets=[{**_SUBNET, "free": 3}, {**_SUBNET, "free": 900, "refused_why": "no tag"}])
    assert "3 addresses are free" in one.detail and "not used: no tag" in one.detail


def test_a_node_that_was_slowed_down_is_red() -> None:
    fast = {"api_class": "eni", "rate": 5.0, "ceiling": 5.0}
    calm = {"classes": [fast], "apis": [{"api": "CreateTags", "throttled": 1}]}
    assert aws_checks.budget(calm).ok
    slow = aws_checks.budget({**calm, "classes": [{**fast, "rate": 0.4}]})
    assert slow.ok is False and "eni 0.4/s" in slow.detail and "CreateTags 1" in slow.detail and slow.cure


@pytest.mark.parametrize(
    ("settings", "held"),
    [
        ({}, 27),
        ({"MAX_ENI": "2"}, 18),
        ({"MAX_ENI": "-1"}, 27),
        ({"ENABLE_PREFIX_DELEGATION": "True"}, 432),
        ({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "True"}, 18),
    ],
)
def test_what_the_enis_hold(settings: dict[str, str], held: int) -> None:
    assert aws_checks.addresses_held(_M5_LARGE, settings) == held


@pytest.mark.parametrize(("kubelet", "ok"), [(None, None), (29, True), (30, False), (110, False)])
def test_max_pods_of_kubelet_against_what_the_enis_hold(kubelet: int | None, ok: bool | None) -> None:
    found = aws_checks.max_pods(kubelet, 27, "m5.large")
    assert found.ok is ok and bool(found.cure) is (ok is False)
