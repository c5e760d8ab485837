"""Runs one plugin program: environment and stdin in, stdout and exit status out, time measured around the process."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from typing import Any, Final

from vpccni_lab.nodes.node import PATH

_LIMIT: Final = 1 << 20
"""Bytes of output that are read; a result is a few hundred."""


@dataclasses.dataclass(frozen=True, slots=True)
class Execution:
    """``status``: exit status, or minus the signal. ``seconds``: from before the start until the process was gone."""

    plugin: str
    command: str
    status: int
    stdout: bytes
    stderr: bytes
    seconds: float


class CniError(Exception):
    """A plugin failed. ``code``, ``msg``, ``details`` are those of its error object (specification, section 5, "Error").

    ``code`` is 0 when the plugin died or printed something else; then ``msg`` says what.
    """

    def __init__(self, execution: Execution, code: int, msg: str, details: str = "") -> None:
        super().__init__(f"{execution.plugin} {execution.command}: {msg}" + (f" ({details})" if details else ""))
        self.execution = execution
        self.code = code
        self.msg = msg
        self.details = details


def execute(path: str, command: str, env: Mapping[str, str], stdin: bytes, timeout: float) -> Execution:
    """Runs the plugin at ``path`` in the calling thread's namespaces and waits for it, at most ``timeout`` seconds.

    Raises OSError when the program cannot be started. A plugin that takes too long is killed (status -9). stdin, stdout and
    stderr are memory files, so that nothing has to be pumped and a child that the plugin leaves behind holds nobody up.
    """
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr")]
    try:
        if stdin:
            os.write(files[0], stdin)
            os.lseek(files[0], 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(files)]
        full_env = {"PATH": PATH, "CNI_COMMAND": command, **env}
        begin = time.perf_counter()
        pid = os.posix_spawn(path, [path], full_env, file_actions=actions, setsigdef=[signal.SIGPIPE])
        status = _wait(pid, timeout)
        seconds = time.perf_counter() - begin
        out, err = (os.pread(fd, _LIMIT, 0) for fd in files[1:])
    finally:
        for fd in files:
            os.close(fd)
    return Execution(os.path.basename(path), command, status, out, err, seconds)


def _wait(pid: int, timeout: float) -> int:
    fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(timeout * 1000):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(fd)


def result_of(execution: Execution) -> dict[str, Any] | None:
    """The JSON object that a plugin printed on success; None for no output. Raises CniError for a failure."""
    parsed: Any = None
    if execution.stdout.strip():
        try:
            parsed = json.loads(execution.stdout)
        except ValueError:
            parsed = execution.stdout.decode(errors="replace")
    if execution.status == 0:
        if parsed is None or isinstance(parsed, dict):
            return parsed
        raise CniError(execution, 0, f"printed no JSON object: {str(parsed)[:200]}")
    if isinstance(parsed, dict) and "msg" in parsed:
        raise CniError(execution, int(parsed.get("code", 0)), str(parsed["msg"]), str(parsed.get("details", "")))
    how = f"exit status {execution.status}" if execution.status > 0 else f"killed by signal {-execution.status}"
    said = execution.stderr.decode(errors="replace").strip()[-300:] or str(parsed or "")[:300]
    raise CniError(execution, 0, f"{how} without an error object: {said}")
