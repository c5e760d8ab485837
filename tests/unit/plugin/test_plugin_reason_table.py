"""The generated table is that of vpccni_api."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vpccni_api import sockets, version
from vpccni_api.reasons import REASON_INFO, Reason
from vpccni_plugin import reason_table

GENERATOR = Path(__file__).resolve().parents[3] / "plugin" / "generate_reason_table.py"


def test_is_current() -> None:
    done = subprocess.run([sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_content() -> None:
    assert list(reason_table.REASONS) == [reason.value for reason in Reason]
    for reason, info in REASON_INFO.items():
        assert reason_table.REASONS[reason.value] == (info.cni_code, info.hint)
    assert set(reason_table.POOL_REASONS) < set(reason_table.REASONS)
    assert reason_table.VERSION == version.VERSION
    assert reason_table.IPAM_SOCKET == sockets.IPAM_SOCKET
    assert reason_table.PENDING_DEL_DIR == sockets.PENDING_DEL_DIR
    assert (reason_table.REASON_TRAILER, reason_table.ORIGIN_TRAILER) == (
        sockets.REASON_TRAILER,
        sockets.ORIGIN_TRAILER,
    )
