"""Processes of the cluster: each in a node's network namespace, with a log of its own, gone when the test process is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vpccni_lab.linux import procs


class Processes:
    """Starts and stops named processes. ``records``: where their references are kept for a later clean-up."""

    def __init__(self, logs: Path, records: Path) -> None:
        self._logs, self._records = logs, records
        for directory in (logs, records):
            directory.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, argv: Sequence[str | Path], *, netns: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Its output goes to ``<name>.log`` (appended). It is killed when this process dies, however that comes."""
        place = ["nsenter", f"--net={netns}"] if netns is not None else []
        command = ["setpriv", "--pdeathsig", "KILL", *place, *(str(part) for part in argv)]
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(env) if env is not None else None,
                start_new_session=True,
            )
        self._running[name] = process
        procs.save(self._records / f"{name}.json", procs.ref(process.pid))

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def ended(self) -> list[str]:
        """Those that ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def log_end(self, name: str, size: int = 3000) -> str:
        path = self._logs / f"{name}.log"
        return path.read_text(errors="replace")[-size:] if path.exists() else ""

    def stop(self, name: str, grace: float = 5.0) -> None:
        """SIGTERM, after ``grace`` seconds SIGKILL (0: at once); returns when it is gone."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if process.poll() is None:
            if grace > 0:
                process.terminate()
                end = time.monotonic() + grace
                while process.poll() is None and time.monotonic() < end:
                    time.sleep(0.02)
            process.kill()
        process.wait()
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def stop_all(self, grace: float = 3.0) -> None:
        for name in reversed(list(self._running)):
            self.stop(name, grace)


def end_recorded(records: Path) -> None:
    """Ends what an earlier run recorded and left. Nothing there: nothing to do."""
    found = [procs.load(path) for path in records.glob("*.json")]
    procs.end([process for process in found if process is not None and process.alive], grace=2.0)
