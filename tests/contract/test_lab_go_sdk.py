"""The AWS SDK for Go v2 against the lab's endpoints: lab/go/sdkcheck, built from Go modules, run against a fresh VPC."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from vpccni_lab.ec2.api.actions import ACTIONS
from vpccni_lab.ec2.embedded import Embedded
from vpccni_lab.ec2.model import Ec2

SOURCE = Path(__file__).resolve().parents[2] / "lab" / "go" / "sdkcheck"
ENVIRONMENT = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false", "GOTOOLCHAIN": "local"}

pytestmark = [pytest.mark.go, pytest.mark.slow]


def go(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nice", "-n", "10", "go", *arguments], cwd=SOURCE, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("needs Go (not on PATH)")
    fetched = go("mod", "download")
    if fetched.returncode != 0:
        pytest.skip(f"needs Go modules of aws-sdk-go-v2: {fetched.stderr.strip().splitlines()[-1:]}")
    binary = tmp_path_factory.mktemp("h2-go") / "sdkcheck"
    built = go("build", "-o", str(binary), ".")
    assert built.returncode == 0, built.stderr
    return binary


def test_every_action_and_metadata_path_satisfies_the_go_sdk(program: Path) -> None:
    ec2 = Ec2(time.time, seed=8)
    vpc = ec2.create_vpc(["10.0.0.0/16", "10.1.0.0/16"], ["2001:db8:0:100::/56"])
    subnet = ec2.create_subnet(vpc.id, "10.0.1.0/24", "us-west-2a", "2001:db8:0:100::/64")
    node = ec2.run_instance("m5.large", subnet.id, name="node-a")
    with Embedded(ec2) as lab:
        done = subprocess.run(
            [str(program), "-ec2", lab.ec2(), "-imds", lab.imds(node.id), "-instance", node.id],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 failed"
    accepted = {action for (_, action, code), _ in ec2.calls.counts.items() if code == "OK"}
    assert set(ACTIONS) - accepted == set()
    assert {caller for caller, _, _ in ec2.calls.counts} == {"node-a"}  # credentials came from IMDS
