"""Ctrl-C and a killed test process: nothing is left behind either way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_LEFT = "import json; from cluster.cluster import leftovers; print(json.dumps(leftovers()))"


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGINT, 1.0), (signal.SIGINT, 9.0), (signal.SIGTERM, 18.0), (signal.SIGKILL, 18.0)]
)
def test_interrupted(cluster: object, tmp_path: Path, number: signal.Signals, after: float) -> None:
    """A cluster that is interrupted while it starts leaves nothing (after a SIGKILL: once `down` has run)"""
    env = os.environ | {
        "VPCCNI_E2E_LAB": "e2eint",
        "VPCCNI_E2E_STATE": str(tmp_path / "state"),
        "PYTHONPATH": str(HERE),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cluster", "hold"], env=env, stdout=log, stderr=log, start_new_session=True
        )
        time.sleep(after)
        assert process.poll() is None, (tmp_path / "log").read_text()
        process.send_signal(number)
        process.wait(60)
    if number == signal.SIGKILL:
        subprocess.run([sys.executable, "-m", "cluster", "down"], env=env, check=True, timeout=60, capture_output=True)
    said = subprocess.run([sys.executable, "-c", _LEFT], env=env, check=True, capture_output=True, text=True).stdout
    assert json.loads(said) == [], (tmp_path / "log").read_text()[-2000:]
