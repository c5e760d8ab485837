"""Commands with errors that say what happened, and steps with times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# How many times longer than on an idle machine a wait may last.
PATIENCE: Final = float(os.environ.get("VPCCNI_E2E_PATIENCE") or 2)


class CommandError(RuntimeError):
    """A command ended with another status than 0; the message has its output."""


def run(
    *argv: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """The command's standard output. Raises CommandError, subprocess.TimeoutExpired."""
    done = subprocess.run(
        [str(part) for part in argv], input=stdin, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise CommandError(f"{_shown(argv)}: status {done.returncode}: {said}")
    return done.stdout


def _shown(argv: Sequence[str | Path]) -> str:
    return " ".join(str(part) for part in argv)[:300]


class Steps:
    """Prints each step with its time, and keeps the list for build/e2e.json."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._began = time.monotonic()
        self.done: list[dict[str, object]] = []
        self.notes: dict[str, object] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; its failure is recorded and goes on upwards."""
        began = time.monotonic()
        ok = False
        try:
            yield
            ok = True
        finally:
            self.record(name, time.monotonic() - began, ok)

    def record(self, name: str, seconds: float, ok: bool) -> None:
        self.done.append({"step": name, "seconds": round(seconds, 2), "ok": ok})
        at = time.monotonic() - self._began
        sys.stdout.write(f"{at:7.1f} s  {seconds:6.1f} s  {'ok  ' if ok else 'FAIL'}  {name}\n")
        sys.stdout.flush()
        self._report.parent.mkdir(parents=True, exist_ok=True)
        whole = {"ok": all(s["ok"] for s in self.done), "seconds": round(at, 1), **self.notes, "steps": self.done}
        self._report.write_text(json.dumps(whole, indent=1))

    def note(self, name: str, figures: object) -> None:
        """Printed, and kept in the report beside the steps."""
        self.notes[name] = figures
        sys.stdout.write(f"           ... {name}: {json.dumps(figures)}\n")


def until(what: str, seconds: float, check: object, pause: float = 0.2) -> None:
    """Calls ``check`` until it returns something true, for ``seconds`` times PATIENCE at most. Raises TimeoutError naming
    ``what`` and the last answer."""
    assert callable(check)
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return
        except (CommandError, OSError) as error:
            last = error
        time.sleep(pause)
    raise TimeoutError(f"{what}: not within {seconds:g} s; last: {last}")
