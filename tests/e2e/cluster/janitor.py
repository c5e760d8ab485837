"""Cleans up after a test process that was killed: it waits beside it, in a session of its own, for the end of a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vpccni_lab.linux import procs

_DISMISSED = b"dismissed"


class Janitor:
    """Runs ``down`` when this process ends without having dismissed it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def dismiss(self) -> None:
        """There is nothing left to clean."""
        self._process.communicate(_DISMISSED)


def start(record: Path) -> Janitor:
    """Ctrl-C and signals to the test process's group do not reach it. ``record``: where it can be found."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cluster", "await-end"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    procs.save(record, procs.ref(process.pid))
    return Janitor(process)


def end_other(record: Path) -> None:
    """Whoever cleans up now does not want another to clean up later."""
    found = procs.load(record)
    if found is not None and found.alive and found.pid != os.getpid():
        procs.end([found], grace=0.0)


def await_end() -> bool:
    """Returns when the pipe on standard input is closed; whether there may be something to clean."""
    return sys.stdin.buffer.read() != _DISMISSED
