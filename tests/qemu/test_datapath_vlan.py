"""Pods with branch ENIs on the lab, strict and standard, in a kernel that has VLAN devices."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from vpccni_lab.datapath.branch_rows import MODES, STANDARD
from vpccni_lab.datapath.labs import BACKENDS
from vpccni_lab.datapath.rows import SETTINGS

REPOSITORY = Path(__file__).resolve().parents[2]


KINDS = (
    "pod -> pod, same node",
    "pod -> pod, other node, same ENI",
    "pod -> pod, other node, across ENIs",
    "node -> its pod",
    "kubelet's probe (TCP)",
    "pod -> its node",
    "pod -> another node",
    "pod -> second VPC CIDR",
    "second VPC CIDR -> pod",
    "pod -> internet",
    "pod -> peered network",
    "peered network -> pod",
    "internet -> NodePort -> pod on branch 1",
    "internet -> NodePort, translated -> pod on branch 2",
    "internet -> NodePort -> pod of another node",
    "internet -> hostPort",
    "another node, its pods -> hostPort",
    "node -> hostPort of its own",
    "security group: what it allows (TCP)",
    "second SetupPod",
    "after DEL: links, rules, routes",
)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_branch_rows_are_as_expected_under_qemu() -> None:
    done = subprocess.run([REPOSITORY / "tests/qemu/datapath"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    rows = json.loads((REPOSITORY / "build/vlan/datapath.json").read_text())["rows"]
    found = {(row["mode"], row["backend"], row["path"]) for row in rows}
    wanted = {(mode, backend, kind) for mode in MODES for backend in BACKENDS.values() for kind in KINDS}
    assert wanted - found == set()
    settings = {(row["mode"], row["backend"], row["setting"]) for row in rows}
    names = [setting.name for setting in SETTINGS]
    wanted = {(mode, backend, name) for mode in MODES for backend in BACKENDS.values() for name in names}
    assert wanted - settings == set()
    assert {(STANDARD, backend, "source ports of translated pods") for backend in BACKENDS.values()} - found == set()
