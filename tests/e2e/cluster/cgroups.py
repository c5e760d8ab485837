"""A control group of its own for each kubelet: two that shared a root would take each other's pods for orphans."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
TOP: Final = f"vpccni-{os.environ.get('VPCCNI_E2E_LAB', 'e2e')}"


def hierarchies() -> list[Path]:
    """Version 1: every controller that is mounted; version 2: the one hierarchy."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [
        path for path in sorted(ROOT.iterdir()) if path.is_dir() and path.name != "unified" and not path.is_symlink()
    ]


def make(node: str) -> str:
    """The group's path as kubelet's ``cgroupRoot`` wants it. Raises OSError."""
    for hierarchy in hierarchies():
        for level in (hierarchy / TOP, hierarchy / TOP / node):
            level.mkdir(exist_ok=True)
            _prepare(level)
    return f"/{TOP}/{node}"


def _prepare(group: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):  # version 1: empty until it is said which
        if (group / name).exists() and not (group / name).read_text().strip() and (group.parent / name).exists():
            (group / name).write_text((group.parent / name).read_text())
    for control in (group.parent / "cgroup.subtree_control", group / "cgroup.subtree_control"):
        if control.exists() and (control.parent / "cgroup.controllers").exists():
            for controller in (control.parent / "cgroup.controllers").read_text().split():
                with contextlib.suppress(OSError):  # one that cannot be delegated is not needed either
                    control.write_text(f"+{controller}")


def left() -> list[Path]:
    """Our groups that exist now."""
    return [top for place in {*hierarchies(), ROOT / "unified"} if (top := place / TOP).is_dir()]


def remove(node: str | None = None, seconds: float = 10.0) -> list[Path]:
    """Removes a node's groups (None: everything of ours); what is left after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        # Also where we made none: runc uses the version 2 hierarchy beside version 1 when it is mounted.
        places = {*hierarchies(), ROOT / "unified"}
        left = [top for hierarchy in places if (top := hierarchy / TOP / (node or "")).is_dir()]
        for top in left:
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):  # its last process has not been reaped yet
                    os.rmdir(directory)
        left = [top for top in left if top.is_dir()]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)
