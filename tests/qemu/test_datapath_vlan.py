"""Pods with branch ENIs on the lab, strict and standard, in a kernel that has VLAN devices."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_branch_rows_are_as_expected_under_qemu() -> None:
    done = subprocess.run([REPOSITORY / "tests/qemu/datapath"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    rows = json.loads((REPOSITORY / "build/vlan/datapath.json").read_text())["rows"]
    modes = {row["mode"] for row in rows if row["mode"].startswith("branch")}
    assert modes == {"branch strict", "branch standard"}
