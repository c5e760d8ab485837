"""The simulated node holds what the original's documentation works out, and `vpclab plan` shows it."""

from __future__ import annotations

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab.cli.main import main
from vpccni_lab.cli.plan import pods_of
from vpccni_lab.fleet.plan import make_plan, settled

PD = {"ENABLE_PREFIX_DELEGATION": "true"}


def env(text: str) -> dict[str, str]:
    """``WE1 WI2 MI5 WP1 PD``."""
    names = {"WE": "WARM_ENI_TARGET", "WI": "WARM_IP_TARGET", "MI": "MINIMUM_IP_TARGET", "WP": "WARM_PREFIX_TARGET"}
    found: dict[str, str] = {}
    for word in text.split():
        found |= PD if word == "PD" else {names[word[:2]]: word[2:]}
    return found


# Case numbers of the worked examples of the original's docs/eni-and-ip-target.md and prefix-and-ip-target.md (43 to 83).
CASES = [
    (43, "t3.small", "WE1", {0: (1, 3), 5: (3, 9), 9: (3, 9)}),
    (46, "t3.small", "WI1 MI1", {0: (1, 1), 5: (2, 6), 9: (3, 9)}),
    (49, "t3.small", "WI2 MI5", {0: (2, 5), 5: (3, 7), 9: (3, 9)}),
    (52, "p3dn.24xlarge", "WE1", {0: (1, 49), 3: (2, 98), 95: (3, 147)}),
    (55, "p3dn.24xlarge", "WI5 MI10", {0: (1, 10), 7: (1, 12), 15: (1, 20), 45: (2, 50)}),
    (59, "t3.small", "PD WP1", {0: (1, 16), 5: (1, 32), 16: (1, 32), 17: (1, 48), 58: (2, 80)}),
    (64, "t3.small", "PD WI1 MI1", {0: (1, 16), 5: (1, 16), 17: (1, 32), 58: (2, 64)}),
    (68, "t3.small", "PD WI7 MI20", {0: (1, 32), 5: (1, 32), 17: (1, 32), 58: (2, 80)}),
    (72, "p3dn.24xlarge", "PD WP1", {0: (1, 16), 3: (1, 32), 95: (1, 112)}),
    (75, "p3dn.24xlarge", "PD WI5 MI10", {0: (1, 16), 7: (1, 16), 15: (1, 32), 45: (1, 64)}),
    (79, "m4.4xlarge", "WE1", {0: (1, 29), 29: (2, 58), 30: (3, 87), 58: (3, 87), 59: (4, 116)}),
    (81, "m4.4xlarge", "WI1 MI12", {9: (1, 12), 12: (1, 13)}),
    (82, "m4.4xlarge", "WI30", {30: (3, 60)}),
    (82, "m4.4xlarge", "WI2 MI30", {30: (2, 32)}),
]


@pytest.mark.parametrize(
    ("case", "type_name", "text", "pods", "held"),
    [(case, kind, text, pods, held) for case, kind, text, rows in CASES for pods, held in rows.items()],
)
def test_worked_examples(case: int, type_name: str, text: str, pods: int, held: tuple[int, int]) -> None:
    found = settled(env(text), type_name, pods)
    assert (found.enis, found.addresses) == held, f"case {case}"


def test_a_burst_that_one_assign_can_serve_is_one_call() -> None:
    plan = make_plan(env("WI1 MI1"), "m5.4xlarge", 1, 15)
    assert plan.up.calls == {"AssignPrivateIpAddresses": 1}
    assert len(plan.up.waits) == 14
    assert plan.down.calls == {"UnassignPrivateIpAddresses": 1}


def test_an_eni_costs_the_calls_that_the_real_eni_manager_makes() -> None:
    """tests/wire/test_eni_faults.py, test_these_are_all_the_steps, holds the process to the same calls."""
    plan = make_plan(env("WI1 MI1"), "t3.small", 2, 3)
    assert plan.up.calls == {
        "DescribeSubnets": 1,
        "CreateNetworkInterface": 1,
        "AttachNetworkInterface": 1,
        "ModifyNetworkInterfaceAttribute": 1,
        "DescribeNetworkInterfaces": 1,
    }
    assert plan.down.calls == {
        "DescribeNetworkInterfaces": 1,
        "DetachNetworkInterface": 1,
        "DeleteNetworkInterface": 1,
    }


def test_at_rest_is_within_the_budget() -> None:
    assert 0 < make_plan(env("WE1"), "m5.large", 0, 1).calls_at_rest <= 2


def test_a_node_that_cannot_serve_all_says_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--instance-type", "t3.small", "--pods", "8..12"]) == 0
    out = capsys.readouterr().out
    assert "t3.small has addresses for 9 pods with these settings, not for 12" in out
    assert out.splitlines()[1].split()[:3] == ["8", "3", "9"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pods", "5..2"], "5..2"),
        (["--pods", "x"], "'x'"),
        (["--env", "WARM_IP=2"], "WARM_IP"),
        (["--env", "WARM_IP_TARGET=two"], "WARM_IP_TARGET='two'"),
        (["--instance-type", "m99.large"], "m99.large"),
    ],
)
def test_what_cannot_be_planned(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *arguments]) == 1
    assert says in capsys.readouterr().err


def test_pods() -> None:
    assert (pods_of("3..7"), pods_of("4")) == ((3, 7), (4, 4))
    with pytest.raises(ReasonError) as raised:
        pods_of("")
    assert raised.value.reason is Reason.CONFIG_INVALID
