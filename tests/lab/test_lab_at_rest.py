"""EC2 calls of nodes at rest: the real services and their real timers, with a clock that runs fast (libfaketime)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from vpccni_lab.cli.cloud import per_node_hour
from vpccni_lab.client import LabClient
from vpccni_lab.runtime import pods
from vpccni_lab.spec import NodeSpec, SubnetSpec

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
SPEED = 40
"""Timeouts run as fast as everything else, so this is no more than the machine can bear."""
HOURS = 2.0
SETTLED_S = 10.0
"""Real seconds without a call after which what the pods' start has set off is over."""
SUBNETS = (SubnetSpec("a", "10.0.0.0/20"), SubnetSpec("b", "10.0.16.0/20"))
NODES = (
    NodeSpec("default", "a"),
    NodeSpec("addresses", "a", env={"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"}),
    NodeSpec("prefixes", "b", env={"ENABLE_PREFIX_DELEGATION": "true"}),
)
pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (Debian package)"),
]


def test_a_node_at_rest_makes_two_calls_per_hour_at_most(make_lab: Callable[..., LabClient]) -> None:
    clock = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"+0 x{SPEED}"}
    lab = make_lab(nodes=NODES, subnets=SUBNETS, env=clock, traces=False)
    for node in NODES:
        with lab.pods(node.name) as runtime:
            runtime.run([pods.new_pod(node.name, f"p{number}") for number in range(7)])
    settle(lab)
    before = lab.ec2_counts()
    time.sleep(HOURS * 3600 / SPEED)
    rates = per_node_hour(before, lab.ec2_counts(), len(NODES), HOURS)
    print(rates)
    assert rates["DescribeNetworkInterfaces"] >= 1.0, "the hourly sweeps and the two-hourly look are in it"
    assert sum(rates.values()) <= 2.0


def settle(lab: LabClient) -> None:
    latest, since = lab.ec2_counts(), time.monotonic()
    while time.monotonic() - since < SETTLED_S:
        time.sleep(0.5)
        if (now := lab.ec2_counts()) != latest:
            latest, since = now, time.monotonic()
