"""Processes that can be found again after the one that started them is gone: pid and start time, on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessRef:
    """``start``: the process's start time in clock ticks after boot, so that a reused pid is not taken for it."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether that very process runs (a zombie does not)."""
        try:
            state, start = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return start == self.start and state not in "ZX"

    def signal(self, number: int) -> bool:
        """Sends a signal; False when the process is gone already."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def ref(pid: int) -> ProcessRef:
    """Raises FileNotFoundError when there is no such process."""
    return ProcessRef(pid, _stat(pid)[1])


def _stat(pid: int) -> tuple[str, int]:
    # proc(5): the command name may hold spaces and brackets, so fields are counted after the last bracket
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def save(path: Path, process: ProcessRef) -> None:
    """Writes the reference to ``path`` (whole or not at all)."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(process)))
    temporary.rename(path)


def load(path: Path) -> ProcessRef | None:
    """The reference in ``path``; None when there is none or it is unreadable."""
    try:
        data = json.loads(path.read_text())
        return ProcessRef(int(data["pid"]), int(data["start"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end(processes: Iterable[ProcessRef], grace: float = 2.0) -> list[ProcessRef]:
    """SIGTERM, then after ``grace`` seconds SIGKILL to those that are left. Returns those that were running."""
    running = [process for process in processes if process.signal(signal.SIGTERM)]
    left = wait(running, grace) if grace > 0 else running
    for process in left:
        process.signal(signal.SIGKILL)
    wait(left, 5.0)
    return running


def wait(processes: Iterable[ProcessRef], timeout: float) -> list[ProcessRef]:
    """Waits until the processes are gone, at most ``timeout`` seconds each. Returns those that are not."""
    return [process for process in processes if not _gone(process, timeout)]


def _gone(process: ProcessRef, timeout: float) -> bool:
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return True
    try:
        if not process.alive:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(fd)


def inside(namespaces: Iterable[tuple[int, int]]) -> list[ProcessRef]:
    """Every process in one of the network or mount namespaces, given as (device, inode) of their files."""
    wanted = set(namespaces)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, or a kernel thread
            if any(identity(entry / "ns" / kind) in wanted for kind in ("net", "mnt")):
                found.append(ref(int(entry.name)))
    return found


def identity(path: Path) -> tuple[int, int]:
    """(device, inode): two files name the same namespace exactly when these are equal. Raises OSError."""
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino
