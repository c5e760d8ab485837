"""docs/architecture.svg is what its program draws, and what it names is there."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from vpccni_api import sockets

REPO = Path(__file__).resolve().parents[3]
PICTURE = REPO / "docs/architecture.svg"


def test_it_is_current() -> None:
    done = subprocess.run([sys.executable, str(REPO / "docs/draw_architecture.py"), "--check"], check=False)
    assert done.returncode == 0, "run: python docs/draw_architecture.py"


def test_it_is_well_formed_and_names_services_and_ports() -> None:
    texts = " ".join(node.text or "" for node in ElementTree.parse(PICTURE).iter())
    for name in ("aws-cni", "ipam", "netconf", "eni-manager"):
        assert name in texts
    for port in (sockets.IPAM_METRICS_PORT, sockets.NETCONF_METRICS_PORT, sockets.ENI_MANAGER_METRICS_PORT):
        assert str(port) in texts
