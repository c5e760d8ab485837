"""Ctrl-C and a killed test process: nothing is left behind either way, sysctls of the machine included."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.cluster import sysctls
from cluster.parts import REPO
from cluster.sh import PATIENCE, until

HERE = Path(__file__).parent
LAB = "e2eint"
_LEFT = "import json, sys; from cluster.cluster import leftovers; print(json.dumps(leftovers(json.loads(sys.argv[1]))))"
HOLD = (sys.executable, "-m", "cluster", "hold")
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    str(HERE),
    "-m",
    "e2e",
    "-s",
    "-q",
    "-k",
    "test_install",
)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A log file, and the environment of a second cluster beside the one of the other steps."""
    env = {
        "VPCCNI_E2E_LAB": LAB,
        "VPCCNI_E2E_STATE": str(tmp_path / "state"),
        "PYTHONPATH": str(HERE),
        "VPCCNI_E2E": "1",
    }
    inherited = os.environ.get("PYTHONPATH")
    yield tmp_path / "log", os.environ | env | ({"PYTHONPATH": f"{HERE}:{inherited}"} if inherited else {})
    shutil.rmtree(REPO / f"build/{LAB}-logs", ignore_errors=True)
    for name in (f"{LAB}.json", f"{LAB}-hold.json"):
        (REPO / "build" / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("command", "number", "step"),
    [
        (HOLD, signal.SIGINT, "images of the test pods"),
        (HOLD, signal.SIGTERM, "VPC lab"),
        (HOLD, signal.SIGKILL, "control plane answers"),
        (PYTEST, signal.SIGINT, "control plane answers"),
    ],
    ids=["Ctrl-C, before the lab", "SIGTERM, in the lab", "SIGKILL, nodes start", "Ctrl-C twice, make e2e"],
)
def test_interrupted(
    cluster: object,
    started: tuple[Path, dict[str, str]],
    command: tuple[str, ...],
    number: signal.Signals,
    step: str,
) -> None:
    """A cluster that is interrupted while it starts leaves nothing"""
    log, env = started
    before = sysctls()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=REPO, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )

    def reached() -> bool:
        assert process.poll() is None, log.read_text()
        return f" ok    {step}" in log.read_text()

    until(f"the step {step!r} is done", 240, reached)
    os.killpg(process.pid, number)  # as a terminal does: all of the foreground
    if command is PYTEST:
        os.killpg(process.pid, number)
    try:
        process.wait(90 * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()  # the janitor cleans up
        raise

    def left() -> list[str]:
        argv = (sys.executable, "-c", _LEFT, json.dumps(before))
        return list(json.loads(subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout))

    # After a SIGKILL the janitor cleans up; otherwise all was done before the process ended.
    until("nothing is left", 90 if number == signal.SIGKILL else 1, lambda: not left())
    assert left() == [], log.read_text()[-2000:]
