"""The commands of docs/lab.md, in their order, on one lab."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from doc_commands import REPO, of_page

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ELSEWHERE: Final = {
    "demo": "tests/lab/test_lab_commands.py",
    "datapath": "tests/lab/test_datapath_table.py",
    "profile": "tests/lab/test_lab_profile.py",
    "page": "tests/lab/test_lab_page.py (serves until Ctrl-C)",
    "calls --minutes 60": "tests/lab/test_lab_at_rest.py (with a fast clock)",
    "plan": "tests/unit/lab/test_fleet_plan.py",
}
"""Commands that are not run here, and who runs them."""


def session() -> list[list[str]]:
    """The words after ``vpclab`` of each command of the page from ``up`` to ``down``."""
    words = [c.words[1:] for c in of_page(REPO / "docs/lab.md") if c.words[0] == "vpclab"]
    last = words.index(["down"])
    return [line for line in words[: last + 1] if not any(" ".join(line).startswith(other) for other in ELSEWHERE)]


def test_commands_in_their_order(lab_name: Callable[[], str], lab_state: Path) -> None:
    name, failed = lab_name(), []
    lines = session()
    assert [line[0] for line in lines][:4] == ["up", "run", "ps", "check"]
    try:
        for verb, *rest in lines:
            lab = [name] if verb in ("up", "down") else ["-l", name]
            done = subprocess.run(
                [sys.executable, "-m", "vpccni_lab.cli.main", verb, *lab, *rest],
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done.returncode:
                failed.append(f"vpclab {verb} {' '.join(rest)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    finally:
        subprocess.run([sys.executable, "-m", "vpccni_lab.cli.main", "down", name], capture_output=True, check=False)
    assert not failed, "\n".join(failed)
