"""One lab per module, under a name and a state directory of its own; removed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vpccni_lab import lifecycle, state
from vpccni_lab.client import LabClient
from vpccni_lab.spec import LabSpec, NodeSpec

BINARY = Path(__file__).resolve().parents[2] / "build" / "aws-cni"
ONE_NODE = (NodeSpec("node-a", "a"),)
FAST = {"IP_COOLDOWN_PERIOD": "1", "VPCCNI_SHRINK_PACE": "1"}
"""Short waits, so that tests see the pool come back."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = ""
    if os.geteuid() != 0:
        why = "needs root (network namespaces)"
    elif not BINARY.is_file():
        why = "needs build/aws-cni (make plugin)"
    for item in items:
        if item.get_closest_marker("lab") and why:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def lab_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the session's labs keep their state; also for `vpclab` processes that a test starts."""
    directory = tmp_path_factory.mktemp("labs")
    before = os.environ.get(state.BASE_ENV)
    os.environ[state.BASE_ENV] = str(directory)
    yield directory
    if before is None:
        del os.environ[state.BASE_ENV]
    else:
        os.environ[state.BASE_ENV] = before


@pytest.fixture(scope="session")
def lab_name(lab_state: Path) -> Callable[[], str]:
    """New lab names, apart from those of other test runs on this machine."""
    numbers = iter(range(100))
    return lambda: f"t{os.getpid()}x{next(numbers)}"


@pytest.fixture(scope="module")
def make_lab(lab_name: Callable[[], str]) -> Iterator[Callable[..., LabClient]]:
    """``make_lab(**fields of LabSpec)`` gives a lab that is up. All are removed after the module."""
    made: list[LabClient] = []

    def make(**fields: object) -> LabClient:
        spec = LabSpec(name=lab_name(), **fields)
        made.append(lifecycle.up(spec, lambda text: None))
        return made[-1]

    yield make
    for lab in made:
        lab.close()
        lifecycle.down(lab.state.name, lambda text: None)
