"""A lab of two nodes with names of its own; removed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from vpccni_lab import lifecycle, state
from vpccni_lab.client import LabClient
from vpccni_lab.spec import LabSpec, NodeSpec

BINARY = Path(__file__).resolve().parents[2] / "build" / "aws-cni"


@pytest.fixture(scope="module")
def observed_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabClient]:
    """node-a may grow; node-b (t3.small, 9 addresses) is soon full and has a malformed setting."""
    if os.geteuid() != 0:
        pytest.skip("needs root (network namespaces)")
    if not BINARY.is_file():
        pytest.skip("needs build/aws-cni (make plugin)")
    before = os.environ.get(state.BASE_ENV)
    os.environ[state.BASE_ENV] = str(tmp_path_factory.mktemp("labs"))
    spec = LabSpec(
        name=f"e2o{os.getpid()}",
        nodes=(
            NodeSpec("node-a", "a"),
            NodeSpec("node-b", "a", instance_type="t3.small", env={"WARM_ENI_TARGET": "plenty"}),
        ),
        env={"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "2", "IP_COOLDOWN_PERIOD": "1", "VPCCNI_SHRINK_PACE": "3600"},
    )
    try:
        with lifecycle.up(spec, lambda text: None) as lab:
            yield lab
    finally:
        lifecycle.down(spec.name, lambda text: None)
        if before is None:
            del os.environ[state.BASE_ENV]
        else:
            os.environ[state.BASE_ENV] = before
