"""A node as any process on this machine can use it: run programs, look at its files, work inside its namespaces."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final, TypeVar

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.linux import procs, syscalls
from vpccni_lab.probe.reach import Endpoint

_T = TypeVar("_T")
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """``pid``: the process that holds the namespaces. ``directory``: the node's part of the lab's state directory."""

    name: str
    instance_id: str
    address: str
    pid: int
    directory: Path

    @property
    def netns(self) -> Path:
        """The node's network namespace."""
        return Path(f"/proc/{self.pid}/ns/net")

    @property
    def endpoint(self) -> Endpoint:
        """The node itself, as a party to probes."""
        return Endpoint(self.name, self.netns, self.address)

    def file(self, inside: str) -> Path:
        """Where this process finds the file that the node knows as ``inside`` (absolute; symbolic links: /run, not /var/run)."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def inside(self, function: Callable[[], _T]) -> _T:
        """Runs ``function`` in a thread inside the node (network, mounts, host name). Raises NETNS_GONE without a node."""

        def entered() -> _T:
            self.enter()
            return function()

        return syscalls.in_new_thread(entered)

    def enter(self) -> None:
        """Moves the calling thread into the node, for good. Raises ReasonError NETNS_GONE when the node is gone."""
        try:
            syscalls.enter_process(self.pid)
        except OSError as exc:
            raise ReasonError(Reason.NETNS_GONE, f"node {self.name}: process {self.pid}: {exc.strerror}") from exc

    def pool(self, workers: int) -> ThreadPoolExecutor:
        """Threads inside the node. Use as a context."""
        return ThreadPoolExecutor(workers, thread_name_prefix=f"in-{self.name}", initializer=self.enter)

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        capabilities: Sequence[str] | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        new_session: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Starts a program in the node. ``env`` is its whole environment (None: this process's).

        ``capabilities``: names as of capabilities(7) without ``CAP_``, lower case; the program and what it starts can have
        no others. None: all of this process's. Raises OSError when the program cannot be started.
        """
        command = [*_restricted(capabilities), *argv] if capabilities is not None else list(argv)
        return self.inside(
            lambda: subprocess.Popen(
                command,
                env=dict(os.environ if env is None else env),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=new_session,
                cwd="/",
            )
        )

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Runs a program in the node to its end and returns what it said; the caller looks at the exit status."""
        return self.inside(
            lambda: subprocess.run(
                list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd="/"
            )
        )

    @property
    def alive(self) -> bool:
        """Whether the node's holder runs."""
        held = procs.load(self.directory / "holder.json")
        return held is not None and held.pid == self.pid and held.alive


def _restricted(capabilities: Sequence[str]) -> list[str]:
    # for root, exec gives exactly the bounding set, so that is what is cut
    bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", f"--bounding-set={bounding}", "--inh-caps=-all", "--no-new-privs", "--"]
