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
SPEED = 36
"""Timeouts run as fast as everything else, so this is no more than a busy machine can bear."""
PATIENT = {"HTTP_TIMEOUT": "300", "AWS_METADATA_SERVICE_TIMEOUT": "60", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5"}
HOURS = 2.0
SETTLED_S = 10.0
"""Real seconds without a call after which what the pods' start has set off is over."""
SUBNETS = (SubnetSpec("a", "10.0.0.0/20"), SubnetSpec("b", "10.0.16.0/20"))
NODES = (
    NodeSpec("default", "a"),
    NodeSpec("addresses", "a", env={"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"}),
    NodeSpec("prefixes", "b", env={"ENABLE_PREFIX_DELEGATION": "true"}),
)
SHORT = NodeSpec("short", "b")
"""No subnet has an address for it, and its pool stays below the target."""
Count = tuple[str, str, str, int]
pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (Debian package)"),
]


def test_a_node_at_rest_makes_two_calls_per_hour_at_most(make_lab: Callable[..., LabClient]) -> None:
    clock = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"+0 x{SPEED}"}
    lab = make_lab(nodes=(*NODES, SHORT), subnets=SUBNETS, env=clock | PATIENT, traces=False)
    lab.add_fault({"kind": "subnet-full", "callers": [SHORT.name]})
    lab.add_fault({"kind": "no-prefix", "callers": ["prefixes"]})  # single addresses stand in for its second prefix
    for node in (*NODES, SHORT):
        start(lab, node, range(7))
    settle(lab)
    before = lab.ec2_counts()
    time.sleep(HOURS * 3600 / SPEED)
    after = lab.ec2_counts()
    rates = per_node_hour(*(rows(counts, of={n.name for n in NODES}) for counts in (before, after)), len(NODES), HOURS)
    short = per_node_hour(*(rows(counts, of={SHORT.name}) for counts in (before, after)), 1, HOURS)
    print(rates, short)
    assert rates["DescribeNetworkInterfaces"] >= 1.0, "the hourly sweeps and the two-hourly look are in it"
    assert sum(rates.values()) <= 2.0
    assert sum(short.values()) <= 30.0, "asked less and less often while no pod waits (once a minute: over 100)"

    lab.clear_faults()
    start(
        lab, SHORT, range(7, 12)
    )  # two addresses are free; the first ADD that waits is not made to wait for the next try


def start(lab: LabClient, node: NodeSpec, numbers: range) -> None:
    with lab.pods(node.name) as runtime:
        outcomes = runtime.run([pods.new_pod(node.name, f"p{number}") for number in numbers])
    assert all(isinstance(outcome, pods.Pod) for outcome in outcomes), outcomes


def rows(counts: list[Count], *, of: set[str]) -> list[Count]:
    return [row for row in counts if row[0] in of]


def settle(lab: LabClient) -> None:
    names = {node.name for node in NODES}
    latest, since = rows(lab.ec2_counts(), of=names), time.monotonic()
    while time.monotonic() - since < SETTLED_S:
        time.sleep(0.5)
        if (now := rows(lab.ec2_counts(), of=names)) != latest:
            latest, since = now, time.monotonic()
