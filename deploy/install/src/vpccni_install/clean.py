"""Use case ``clean``: takes from the host what ``init`` and ``conflist`` put there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.settings import read

from vpccni_install import files, settings
from vpccni_install.domain import conflist

log = logging.getLogger(__name__)
STATE_DIR: Final = Path("/var/run/aws-node")
# Ours alone: reference plugins may belong to somebody else on the node, and stay.
OWN_PLUGINS: Final = ("aws-cni", "egress-cni")


def run(environ: Mapping[str, str], *, plugins: bool, state: bool, force: bool, state_dir: Path = STATE_DIR) -> None:
    """Removes the conflist; ``plugins``: our programs too; ``state``: sockets, checkpoint and queue too.

    Refuses (ReasonError CONFIG_INVALID) to take programs or state away from pods that still have addresses, unless
    ``force``: their DEL could not be answered any more.
    """
    values = read(settings.ALL, environ)
    held = allocations(state_dir / "ipam.json")
    if held and (plugins or state) and not force:
        raise ReasonError(
            Reason.CONFIG_INVALID,
            f"{held} pods of this node have addresses of ours: remove them first, or give --force",
        )
    doomed = [Path(values[settings.CONF_DIR]) / conflist.FILE_NAME]
    if plugins:
        doomed += [Path(values[settings.BIN_DIR]) / name for name in OWN_PLUGINS]
    if state:
        doomed += sorted(state_dir.iterdir()) if state_dir.is_dir() else []
    try:
        for path in files.remove(doomed):
            log.info("removed %s", path)
    except OSError as error:
        raise ReasonError(Reason.STORE_FAILED, str(error)) from error


def allocations(checkpoint: Path) -> int:
    """How many pods the checkpoint gives an address; 0 when there is none or it cannot be read."""
    try:
        found = json.loads(checkpoint.read_text())["allocations"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return len(found) if isinstance(found, list) else 0


def wait_unused(state_dir: Path = STATE_DIR, timeout_s: float = 30.0, pause_s: float = 0.5) -> int:
    """Waits until the checkpoint holds no allocation; how many are left when the time is over."""
    end = time.monotonic() + timeout_s
    while (held := allocations(state_dir / "ipam.json")) and time.monotonic() < end:
        time.sleep(pause_s)
    return held
