"""``vpccni`` on a node of the lab: real plugin, netconf and eni-manager behind what it says."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod

from .conftest import FAST, ONE_NODE

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    return make_lab(nodes=ONE_NODE, env={**FAST, "WARM_IP_TARGET": "2"})


def vpccni(lab: LabClient, *words: str) -> tuple[int, Any]:
    done = lab.node("node-a").run([sys.executable, "-m", "vpccni_cli", *words, "--output", "json"], timeout=60)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_pods_are_verified_against_the_kernel(lab: LabClient) -> None:
    with lab.pods("node-a") as pods:
        outcomes = pods.run([podlib.new_pod("node-a", name) for name in ("e1-kept", "e1-cut")])
        kept, cut = outcomes
        assert isinstance(kept, Pod) and isinstance(cut, Pod), outcomes
        status, said = vpccni(lab, "verify")
        assert "error" not in said, said
        assert (status, said) == (0, {"checked": 2, "wrong": []})
        status, said = vpccni(lab, "explain", "pod", f"{cut.namespace}/{cut.name}")
        assert status == 0 and said["interfaces"][0]["eni"]["state"] == "usable"
        done = lab.node("node-a").run(["nsenter", f"--net={cut.netns}", "ip", "route", "del", "default"])
        assert done.returncode == 0, done
        status, said = vpccni(lab, "verify")
        assert status == 1, said
        assert [item["pod"]["name"] for item in said["wrong"]] == [cut.name]
        assert said["wrong"][0]["problem"]["reason"] == "STATE_DIFFERS"


def test_a_denied_role_is_named_with_its_cure(lab: LabClient) -> None:
    fault = lab.add_fault(
        {
            "kind": "deny",
            "actions": ["AssignPrivateIpAddresses", "CreateNetworkInterface"],
        }
    )
    try:
        with lab.pods("node-a") as pods:
            pods.run([podlib.new_pod("node-a", f"e1-more-{number}") for number in range(3)])
        deadline = time.monotonic() + 30
        while True:
            _, said = vpccni(lab, "doctor")
            growth = next(item for item in said["checks"] if item["check"] == "growth")
            if growth["ok"] is False or time.monotonic() > deadline:
                break
        assert growth["detail"].startswith("IAM_DENIED: ") and "docs/iam-policy.md" in growth["cure"]
    finally:
        lab.clear_faults(fault)


def test_doctor_asks_ec2_by_dry_run(lab: LabClient) -> None:
    _, said = vpccni(lab, "doctor")
    green = {item["check"]: item["detail"] for item in said["checks"] if item["ok"]}
    assert "11 of 11 EC2 calls are allowed" in green["IAM"], green
    assert {"instance metadata", "subnets", "ENI tags", "EC2 budget", "packet filter", "versions"} <= set(green), said
    assert len(green["ports"].split(", ")) == 7, "metrics and health of three services, and the pages"
    fault = lab.add_fault({"kind": "deny", "actions": ["AttachNetworkInterface"]})
    try:
        status, said = vpccni(lab, "doctor")
        red = {item["check"]: item for item in said["checks"] if item["ok"] is False}
        assert status == 1 and "docs/iam-policy.md" in red["IAM ec2:AttachNetworkInterface"]["cure"], said
    finally:
        lab.clear_faults(fault)
