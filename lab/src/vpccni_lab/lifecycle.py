"""Starts and removes labs. Removal needs nothing but the machine's state: it works after any crash, and twice."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import spec as labspec
from vpccni_lab.client import LabClient
from vpccni_lab.fabric import namespaces
from vpccni_lab.linux import procs, syscalls
from vpccni_lab.spec import LabSpec
from vpccni_lab.state import State, locked

Progress = Callable[[str], None]
_CONNECT_WITHIN: Final = 600.0
"""Seconds for the daemon to start; under emulation (tests/qemu) Python takes its time. One that ended is told at once."""


def up(spec: LabSpec, progress: Progress) -> LabClient:
    """Builds the lab and returns when pods can be started. What an earlier lab of that name left is removed first.

    Raises ReasonError REQUEST_INVALID when it is up already; whatever else goes wrong, nothing is left behind.
    """
    state = State(spec.name)
    with locked(spec.name):
        if state.daemon_alive():
            raise ReasonError(Reason.REQUEST_INVALID, f"lab {spec.name} is up; `vpclab down {spec.name}` removes it")
        if _left(state):
            progress(f"removing what is left of an earlier lab {spec.name}")
            _remove(state)
        try:
            return _start(spec, state, progress)
        except BaseException:
            _remove(state)
            raise


def down(name: str, progress: Progress) -> bool:
    """Removes the lab: processes, namespaces, mounts, files. False when there was nothing."""
    state = State(name)
    with locked(name):
        there = _left(state) or state.daemon_alive()
        if there:
            progress(f"removing lab {name}")
            _remove(state)
        return there


def _left(state: State) -> bool:
    return state.root.exists() or bool(namespaces.of_lab(state.name))


def _start(spec: LabSpec, state: State, progress: Progress) -> LabClient:
    for directory in (state.root, state.logs, state.processes):
        directory.mkdir(parents=True, exist_ok=True)
    state.root.chmod(0o700)
    state.spec.write_text(json.dumps(labspec.to_dict(spec)))
    with (state.logs / "daemon.log").open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "vpccni_lab.daemon", spec.name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    procs.save(state.daemon, procs.ref(daemon.pid))
    client = _connect(state, daemon)
    try:
        client.call("build", progress)
    except BaseException:
        client.close()
        raise
    finally:
        daemon.returncode = 0  # it outlives this process: nobody waits for it
    return client


def _connect(state: State, daemon: subprocess.Popen[bytes]) -> LabClient:
    deadline = time.monotonic() + _CONNECT_WITHIN
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            said = (state.logs / "daemon.log").read_text(errors="replace")[-2000:]
            raise ReasonError(Reason.INTERNAL, f"the lab's daemon ended with status {daemon.returncode}:\n{said}")
        with contextlib.suppress(ReasonError):
            return LabClient(state.name)
        time.sleep(0.02)
    raise ReasonError(
        Reason.DEADLINE_EXCEEDED, f"the lab's daemon did not open its socket within {_CONNECT_WITHIN:.0f} s"
    )


def _remove(state: State) -> None:
    with contextlib.ExitStack() as held:
        # looked up before and after: a namespace without its file and its holder cannot be found again
        where = _namespaces(state, held)
        daemon = procs.load(state.daemon)
        if daemon is not None:
            procs.end([daemon], grace=15.0)
        where |= _namespaces(state, held)
        # what the daemon did not get to; programs that users started last, as nothing starts new ones any more
        recorded = [
            procs.load(path) for path in [*state.processes.glob("*.json"), *state.root.glob("nodes/*/holder.json")]
        ]
        procs.end([process for process in recorded if process is not None and process.alive], grace=2.0)
        procs.end(procs.inside(where), grace=0.0)
    for path in namespaces.of_lab(state.name):
        syscalls.drop_netns(str(path))
    shutil.rmtree(state.root, ignore_errors=True)
    if state.root.exists():
        raise ReasonError(Reason.KERNEL_REFUSED, f"{state.root} could not be removed")


def _namespaces(state: State, held: contextlib.ExitStack) -> set[tuple[int, int]]:
    """Identities of the lab's network and mount namespaces that exist now. They exist until ``held`` is closed: the kernel
    gives the number of one that is gone to the next that anybody makes, whose processes are not ours to end."""
    holders = [procs.load(path) for path in state.root.glob("nodes/*/holder.json")]
    mounts = [Path(f"/proc/{holder.pid}/ns/mnt") for holder in holders if holder is not None and holder.alive]
    found = set()
    for path in [*namespaces.of_lab(state.name), *mounts]:
        with contextlib.suppress(OSError):  # gone meanwhile
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, handle)
            status = os.fstat(handle)
            found.add((status.st_dev, status.st_ino))
    return found
