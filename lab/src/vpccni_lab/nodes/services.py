"""The three services of a node as processes of their own, each with only the capabilities that it needs."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.linux import procs
from vpccni_lab.nodes.boot import IMDS_ADDRESS
from vpccni_lab.nodes.node import PATH, Node

EC2_PORT: Final = 8773
OTLP_PORT: Final = 4317


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceSpec:
    """``capabilities``: all that the process may ever have."""

    name: str
    module: str
    capabilities: tuple[str, ...]


# netconf: NET_ADMIN for links, rules, routes and nft; SYS_ADMIN for setns into pods; NET_RAW for iptables-legacy's raw socket
SERVICES: Final = (
    ServiceSpec("netconf", "vpccni_netconf", ("net_admin", "sys_admin", "net_raw")),
    ServiceSpec("eni-manager", "vpccni_eni_manager", ()),
    ServiceSpec("ipam", "vpccni_ipam", ()),
)
"""In the order in which they are started."""


def environment(node: Node, extra: Mapping[str, str], *, traces: bool) -> dict[str, str]:
    """The whole environment of a node's services; ``extra`` wins."""
    env = {
        "PATH": PATH,
        "HOME": "/",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "MY_NODE_NAME": node.name,
        "VPCCNI_KUBERNETES": "off",
        "AWS_ENDPOINT_URL_EC2": f"http://{IMDS_ADDRESS}:{EC2_PORT}",
        "AWS_VPC_K8S_CNI_LOGLEVEL": "INFO",
        "AWS_VPC_K8S_CNI_LOG_FILE": "stderr",
    }
    if traces:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{IMDS_ADDRESS}:{OTLP_PORT}"
        env["OTEL_BSP_SCHEDULE_DELAY"] = "200"  # milliseconds; a demo does not wait the usual five seconds
    return env | dict(extra)


class Service:
    """One service process of one node; may be stopped and started again any number of times."""

    def __init__(self, spec: ServiceSpec, node: Node, env: Mapping[str, str], log: Path, record: Path) -> None:
        self.spec = spec
        self._node, self._env, self._log, self._record = node, dict(env), log, record
        self._process: subprocess.Popen[bytes] | None = None

    def set_env(self, changes: Mapping[str, str | None]) -> None:
        """Settings for the next start; None takes one away."""
        self._env.update({name: value for name, value in changes.items() if value is not None})
        for name in [name for name, value in changes.items() if value is None]:
            self._env.pop(name, None)

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_status(self) -> int | None:
        """Of the last process: None while it runs or before the first start, minus the signal that ended it."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Starts it; running already: nothing. Raises OSError."""
        if self.pid is not None:
            return
        with self._log.open("ab") as log:
            self._process = self._node.popen(
                [sys.executable, "-m", self.spec.module],
                env=self._env,
                capabilities=self.spec.capabilities,
                stdout=log,
                stderr=log,
                new_session=True,
            )
        procs.save(self._record, procs.ref(self._process.pid))

    def signal(self, number: int) -> None:
        """Raises ReasonError NOT_READY when it does not run."""
        if self._process is None or self.pid is None:
            raise ReasonError(Reason.NOT_READY, f"{self.spec.name} of node {self._node.name} does not run")
        self._process.send_signal(number)

    def stop(self, grace: float) -> None:
        """SIGTERM, after ``grace`` seconds SIGKILL; returns when it is gone."""
        if self._process is None or self.pid is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None and self.pid is not None:
            self._process.kill()
            self._process.wait()

    def last_words(self, size: int = 2000) -> str:
        """The end of its log."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - size))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
