"""Where a lab keeps what it must remember: one directory per lab, so that it can be found, used and removed by anyone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.linux import procs
from vpccni_lab.nodes.node import Node

BASE_ENV: Final = "VPCLAB_STATE"


def base() -> Path:
    """Directory of all labs: $VPCLAB_STATE, else $XDG_RUNTIME_DIR/vpclab, else /run/vpclab."""
    if BASE_ENV in os.environ:
        return Path(os.environ[BASE_ENV])
    return Path(os.environ.get("XDG_RUNTIME_DIR", "/run"), "vpclab")


class State:
    """The state directory of one lab; it need not exist."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = base() / name

    @property
    def control(self) -> Path:
        """The daemon's socket (mode 0600)."""
        return self.root / "control.sock"

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def daemon(self) -> Path:
        """Reference of the daemon process."""
        return self.root / "daemon.json"

    @property
    def processes(self) -> Path:
        """References of service processes, one file each."""
        return self.root / "processes"

    def node_dir(self, node: str) -> Path:
        return self.root / "nodes" / node

    def write_node(self, node: Node) -> None:
        """Makes the node known to every process (``nodes`` reads it)."""
        data = {"name": node.name, "instance_id": node.instance_id, "address": node.address, "pid": node.pid}
        (node.directory / "node.json").write_text(json.dumps(data))

    def nodes(self) -> list[Node]:
        """The nodes that were started, in the order of their names."""
        found = []
        for path in sorted(self.root.glob("nodes/*/node.json")):
            with contextlib.suppress(OSError, ValueError):
                data: dict[str, Any] = json.loads(path.read_text())
                found.append(Node(directory=path.parent, **data))
        return found

    def node(self, name: str) -> Node:
        """Raises ReasonError REQUEST_INVALID for an unknown name."""
        nodes = self.nodes()
        for node in nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in nodes) or "none"
        raise ReasonError(Reason.REQUEST_INVALID, f"node {name!r} of lab {self.name}: there is {known}")

    def daemon_alive(self) -> bool:
        """Whether the lab's daemon runs."""
        process = procs.load(self.daemon)
        return process is not None and process.alive


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the lab's lock: ``up`` and ``down`` of one lab, one at a time. Waits for it; leaves no file behind."""
    path = base() / f"{name}.lock"
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                break
        os.close(fd)  # the holder before us removed that file; somebody may hold its successor
    try:
        yield
    finally:
        path.unlink()
        with contextlib.suppress(OSError):  # other labs are there
            path.parent.rmdir()
        os.close(fd)


def labs() -> list[State]:
    """Every lab that has a state directory."""
    if not base().is_dir():
        return []
    return [State(path.name) for path in sorted(base().iterdir()) if path.is_dir()]
