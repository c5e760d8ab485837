"""Each image installs exactly the pinned part of requirements.txt that its service needs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def subset() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image_subset", REPO / "deploy/images/subset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_current() -> None:
    done = subprocess.run([sys.executable, REPO / "deploy/images/subset.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_boto3_only_with_credentials_and_pyroute2_only_for_netconf(subset: ModuleType) -> None:
    found = {image: subset.closure(*dists) for image, dists in subset.IMAGES.items()}
    # Of the DaemonSet's containers; the metrics helper is a deployment of its own that may write to CloudWatch.
    node = {image: names for image, names in found.items() if image != "metrics-helper"}
    assert [image for image, names in node.items() if "boto3" in names] == ["eni-manager"]
    assert [image for image, names in node.items() if "pyroute2" in names] == ["netconf"]
    assert [image for image, names in node.items() if "kubernetes" in names] == ["ipam"]
    assert all({"grpcio", "protobuf"} <= names for names in node.values())
    assert not any({"pytest", "hypothesis", "moto", "grpcio-tools"} & names for names in found.values())


def test_every_entry_has_hashes(subset: ModuleType) -> None:
    for image in subset.IMAGES:
        entries = subset.pins((subset.TARGET / f"{image}.txt").read_text())
        assert entries
        assert all("--hash=sha256:" in entry and "==" in entry for entry in entries.values())
