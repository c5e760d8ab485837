"""EC2 error codes, token bucket, retry decision."""

from __future__ import annotations

import pytest
from vpccni_api.reasons import Reason
from vpccni_eni_manager.adapters.ec2_model import ACTIONS
from vpccni_eni_manager.domain import bucket, retry
from vpccni_eni_manager.domain.bucket import ApiClass
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure, failure_of


@pytest.mark.parametrize(
    ("code", "status", "failure", "reason"),
    [
        ("RequestLimitExceeded", 503, Failure.THROTTLED, Reason.EC2_THROTTLED),
        ("Throttling", 400, Failure.THROTTLED, Reason.EC2_THROTTLED),
        ("ThrottlingException", 400, Failure.THROTTLED, Reason.EC2_THROTTLED),
        ("Unheard", 429, Failure.THROTTLED, Reason.EC2_THROTTLED),
        ("Unavailable", 503, Failure.NOT_SENT, Reason.EC2_UNREACHABLE),
        ("InternalError", 500, Failure.UNCERTAIN, Reason.EC2_UNREACHABLE),
        ("502", 502, Failure.UNCERTAIN, Reason.EC2_UNREACHABLE),
        ("UnauthorizedOperation", 403, Failure.REFUSED, Reason.IAM_DENIED),
        ("AuthFailure", 401, Failure.REFUSED, Reason.IAM_DENIED),
        ("ExpiredToken", 400, Failure.REFUSED, Reason.IAM_DENIED),
        ("InsufficientFreeAddressesInSubnet", 400, Failure.REFUSED, Reason.SUBNET_FULL),
        ("InsufficientCidrBlocks", 400, Failure.REFUSED, Reason.SUBNET_NO_PREFIX),
        ("PrivateIpAddressLimitExceeded", 400, Failure.REFUSED, Reason.ENI_LIMIT),
        ("AttachmentLimitExceeded", 400, Failure.REFUSED, Reason.ENI_LIMIT),
        ("InvalidSubnetID.NotFound", 400, Failure.REFUSED, Reason.EC2_REFUSED),
    ],
)
def test_codes(code: str, status: int, failure: Failure, reason: Reason) -> None:
    found = failure_of(code, status)
    assert found is failure
    error = Ec2Error("CreateNetworkInterface", code, found, "why", "req-1")
    assert error.reason is reason
    assert error.message == f"ec2:CreateNetworkInterface: {code}: why (request req-1)"


def decide(failure: Failure, attempt: int = 1, repeatable: bool = True, left: float = 60.0) -> object:
    return retry.decide(failure, attempt=attempt, repeatable=repeatable, time_left_s=left, random_unit=0.5)


def test_retry_rules() -> None:
    assert decide(Failure.REFUSED) == retry.GiveUp()
    assert decide(Failure.THROTTLED) == retry.Again(0.1)
    assert decide(Failure.THROTTLED, repeatable=False) == retry.Again(0.1)
    assert decide(Failure.THROTTLED, attempt=500) == retry.Again(1.5)  # as long as the deadline allows
    assert decide(Failure.THROTTLED, attempt=500, left=1.4) == retry.GiveUp()
    assert decide(Failure.NOT_SENT, repeatable=False) == retry.Again(0.1)
    assert decide(Failure.NOT_SENT, attempt=4) == retry.GiveUp()
    assert decide(Failure.UNCERTAIN) == retry.Again(0.1)
    assert decide(Failure.UNCERTAIN, repeatable=False) == retry.GiveUp()


def test_bucket_lets_a_burst_through_then_paces() -> None:
    state = bucket.refill(bucket.fresh(ApiClass.ENI), 100.0)
    for _ in range(10):
        state, wait = bucket.take(state, 100.0)
        assert wait == 0.0
    state, wait = bucket.take(state, 100.0)
    assert wait == pytest.approx(0.2)
    state, wait = bucket.take(state, 100.0)
    assert wait == pytest.approx(0.4)
    state, wait = bucket.take(state, 110.0)
    assert wait == 0.0


def test_bucket_halves_on_throttle_and_recovers_with_successes() -> None:
    state = bucket.refill(bucket.fresh(ApiClass.ENI), 0.0)
    state = bucket.throttled(state, 0.0)
    assert (state.rate, state.level) == (2.5, 0.0)
    for _ in range(4):
        state = bucket.throttled(state, 0.0)
    assert state.rate == bucket.KNEE
    state = bucket.throttled(state, 0.0)
    assert state.rate == pytest.approx(0.9 * bucket.KNEE)
    for _ in range(20):
        state = bucket.throttled(state, 0.0)
    assert state.rate == state.floor == bucket.FLOOR
    for _ in range(10):
        state = bucket.succeeded(state, 0.0)
    assert state.rate == state.ceiling


def test_every_action_in_use_pays_from_the_bucket_of_its_class() -> None:
    classes = {action: bucket.api_class(action) for action in ACTIONS}
    assert {action for action, kind in classes.items() if kind is ApiClass.DESCRIBE} == {
        "DescribeInstanceTypes",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
    }
    assert {action for action, kind in classes.items() if kind is ApiClass.ADDRESS} == {
        "AssignIpv6Addresses",
        "AssignPrivateIpAddresses",
        "UnassignIpv6Addresses",
        "UnassignPrivateIpAddresses",
    }
    assert [action for action, kind in classes.items() if kind is ApiClass.TAG] == ["CreateTags"]
