"""More pods at once than the node can hold, on an EC2 that takes its time."""

from __future__ import annotations

import collections
from collections.abc import Callable

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.runtime.pods import Failure, Pod, Pods

from .conftest import FAST, ONE_NODE

pytestmark = pytest.mark.lab
M5_LARGE_PODS = 3 * 9


def test_burst_beyond_the_limits_fills_them_and_fails_the_rest_with_the_reason(
    make_lab: Callable[..., LabClient],
) -> None:
    lab = make_lab(nodes=ONE_NODE, env={**FAST, "WARM_ENI_TARGET": "0"}, timings={"attach": 5.0})
    node = lab.node("node-a")
    assert len(lab.enis()["node-a"]) == 1
    with Pods(node, workers=60) as pods:
        outcomes = pods.run([podlib.new_pod("node-a", f"burst-{i}") for i in range(60)])
    started = [outcome for outcome in outcomes if isinstance(outcome, Pod)]
    failures = [outcome.error for outcome in outcomes if isinstance(outcome, Failure)]
    assert all(isinstance(error, CniError) for error in failures)
    said = collections.Counter(error.msg.split(": ")[2] for error in failures if isinstance(error, CniError))
    assert len({pod.address for pod in started}) == len(started) == M5_LARGE_PODS, said
    assert set(said) <= {"ENI_LIMIT", "SUBNET_FULL"}, said
    assert len(failures) == 60 - M5_LARGE_PODS
