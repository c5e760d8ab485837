"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

pytestmark = pytest.mark.lab


def vpclab(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vpccni_lab.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def ok(*words: str) -> str:
    done = vpclab(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    if words[0] not in ("exec", "logs"):  # what others wrote is passed on as it is
        assert max((len(line) for line in done.stdout.splitlines()), default=0) <= 100
    return done.stdout


@pytest.fixture(scope="module")
def name(lab_name: Callable[[], str], lab_state: Path) -> Iterator[str]:
    name = lab_name()
    ok("up", name, "--warm-ip-target", "2", "--env", "IP_COOLDOWN_PERIOD=1")
    yield name
    ok("down", name)


def test_demo_shows_every_row_as_expected(lab_name: Callable[[], str], lab_state: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo.json"
    said = ok("demo", lab_name(), "--json", str(out))
    report = json.loads(out.read_text())
    assert report["ok"] and all(row["ok"] for row in report["rows"])
    names = [row["name"] for row in report["rows"]]
    for wanted in (
        "pod -> pod, same node", "pod -> pod, primary -> primary ENI", "pod -> pod, primary -> secondary ENI",
        "pod -> pod, secondary -> primary ENI", "pod -> pod, secondary -> secondary ENI", "pod -> its node", "node -> its pod",
        "pod -> internet host", "pod -> second VPC CIDR", "second VPC CIDR -> pod", "9001-byte packet across nodes",
        "spoofed source, pod", "after DEL: links, rules, routes", "after DEL: entries of ipam", "after DEL: pool",
    ):  # fmt: skip
        assert wanted in names
    assert "cni.add" in said and "netconf.SetupPod" in said  # the span tree
    assert "AssignPrivateIpAddresses" in said


def test_pods_come_are_seen_and_go(name: str) -> None:
    started = ok("run", "-l", name, "-n", "4", "--name", "web")
    assert started.split()[:4] == ["POD", "NODE", "ADDRESS", "ADD"]
    listed = ok("ps", "-l", name)
    assert all(f"web-{i} " in listed for i in range(1, 5)) and "eni-" in listed and "eth" in listed
    assert "NO" not in ok("check", "-l", name).split()
    assert "cni.add" in ok("trace", "-l", name, "web-1")
    assert "inet 10.0." in ok("exec", "-l", name, "web-1", "--", "ip", "-4", "addr", "show", "eth0")
    assert ok("exec", "-l", name, "node-b", "--", "hostname") == "node-b\n"
    ok("rm", "-l", name, "web-1", "web-2")
    assert "web-1" not in ok("ps", "-l", name)
    ok("rm", "-l", name, "--all")
    assert ok("ps", "-l", name).count("\n") == 1


def test_calls_and_the_aws_sdk_from_this_machine(name: str) -> None:
    exports = dict(line.removeprefix("export ").split("=", 1) for line in ok("env", "-l", name).splitlines())
    ec2 = boto3.client(
        "ec2",
        endpoint_url=exports["AWS_ENDPOINT_URL_EC2"],
        region_name=exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
    )
    assert len(ec2.describe_instances()["Reservations"]) == 3
    ec2.close()
    calls = ok("calls", "-l", name)
    assert "DescribeInstances" in calls and "operator" in calls and "node-a" in calls
    assert "DescribeInstances" in ok("calls", "-l", name, "--recent", "3")
    assert "meta-data" in ok("calls", "-l", name, "--imds")


def test_a_fault_reaches_the_pod_as_its_reason_and_can_be_cleared(name: str) -> None:
    fault = ok("fault", "-l", name, "set", "deny", "actions=AssignPrivateIpAddresses,CreateNetworkInterface").strip()
    try:
        assert fault in ok("fault", "-l", name, "list")
        failed = vpclab("run", "-l", name, "-n", "8", "--node", "node-a", "--name", "denied")
        assert failed.returncode == 1
        assert "IAM_DENIED" in failed.stdout or "POOL_WARMING" in failed.stdout
    finally:
        ok("fault", "-l", name, "clear", fault)
        ok("rm", "-l", name, "--all")
    assert fault not in ok("fault", "-l", name, "list")


def test_services_are_seen_and_restarted(name: str) -> None:
    assert "netconf, eni-manager, ipam" in ok("status", "-l", name)
    killed = ok("service", "-l", name, "node-a", "netconf", "kill")
    assert "-9" in killed
    down = vpclab("status", "-l", name)
    assert down.returncode == 1 and "not running: netconf" in down.stdout
    ok("service", "-l", name, "node-a", "netconf", "start")
    assert ok("logs", "-l", name, "node-a", "netconf").count("serves on") == 2
    assert ok("logs", "-l", name, "node-a", "plugin") != ""
    ok("logs", "-l", name, "daemon")
    assert name in ok("labs")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ps", "-l", "nosuchlab"], "nosuchlab is not up"),
        (["up", "Bad"], "CONFIG_INVALID: name"),
        (["exec", "-l", "nosuchlab", "node-a"], "no node and no pod"),
    ],
)
def test_mistakes_are_one_line_and_exit_status_1(lab_state: Path, words: list[str], says: str) -> None:
    done = vpclab(*words)
    assert done.returncode == 1
    assert says in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_needs_root(lab_state: Path) -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m", "vpccni_lab.cli.main", "labs"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert "must be run as root" in done.stderr
