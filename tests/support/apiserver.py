"""A real kube-apiserver with its etcd and two controllers, and nothing else of a cluster. From what `make e2e` has built.

with ApiServer.start(directory) as server:
    server.kubectl("get", "ns")
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import subprocess
import time
from collections.abc import Iterator

CACHE = pathlib.Path(os.environ.get("VPCCNI_CACHE", pathlib.Path.home() / ".cache/vpccni"))
_TOKEN = "h8-test-token"  # of a server that lives a minute in a namespace of its own
_START_S = 90.0
_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl", "helm")


def missing() -> str:
    """What this machine lacks to run one; empty when it has all."""
    if os.geteuid() != 0:
        return "root"
    needed = {name: (CACHE / "bin" / name).exists() for name in _PROGRAMS}
    absent = [name for name, there in {**needed, "etcd": etcd() is not None}.items() if not there]
    return f"{', '.join(absent)} (make e2e builds them)" if absent else ""


def etcd() -> pathlib.Path | None:
    return next(iter(sorted(CACHE.glob("debian/*/usr/bin/etcd")) + sorted(CACHE.glob("bin/etcd"))), None)


class ApiServer:
    """Runs in a network namespace of its own; everything ends with the ``with`` block."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._netns = f"h8{secrets.token_hex(3)}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.kubeconfig = directory / "kubeconfig"

    @classmethod
    @contextlib.contextmanager
    def start(cls, directory: pathlib.Path) -> Iterator[ApiServer]:
        server = cls(directory)
        try:
            server._start()
            yield server
        finally:
            server._stop()

    def _start(self) -> None:
        subprocess.run(["ip", "netns", "add", self._netns], check=True)
        subprocess.run(["ip", "-n", self._netns, "link", "set", "lo", "up"], check=True)
        key = self._directory / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self._directory / "tokens.csv").write_text(f"{_TOKEN},admin,admin,system:masters\n")
        self.kubeconfig.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: t\n"
            "contexts: [{name: t, context: {cluster: t, user: t}}]\n"
            'clusters: [{name: t, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]\n'
            f"users: [{{name: t, user: {{token: {_TOKEN}}}}}]\n"
        )
        store = etcd()
        assert store is not None
        self._spawn(store, f"--data-dir={self._directory / 'etcd'}", "--unsafe-no-fsync")
        self._spawn(
            CACHE / "bin/kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--cert-dir={self._directory / 'certs'}",
            f"--token-auth-file={self._directory / 'tokens.csv'}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=172.20.0.0/16",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
        )
        self._wait("get", "--raw", "/readyz")
        # Nothing is deleted with --cascade=orphan, or with what it owns, but by the garbage collector.
        self._spawn(
            CACHE / "bin/kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--controllers=garbage-collector-controller,serviceaccount-controller",
            "--leader-elect=false",
        )
        self._wait("-n", "kube-system", "get", "serviceaccount", "default")

    def _spawn(self, program: pathlib.Path, *arguments: str) -> None:
        with (self._directory / f"{program.name}.log").open("wb") as log:
            command = ["ip", "netns", "exec", self._netns, str(program), *arguments]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))

    def _wait(self, *question: str) -> None:
        """Until kubectl answers it well."""
        deadline = time.monotonic() + _START_S
        while self.run("kubectl", *question).returncode:
            if any(process.poll() is not None for process in self._processes) or time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in self._directory.glob("*.log"))
                raise AssertionError(f"the API server does not answer: {logs}")
            time.sleep(0.2)

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        subprocess.run(["ip", "netns", "del", self._netns], check=False)

    def run(self, program: str, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """kubectl or helm against this server; the caller looks at the return code."""
        command = ["ip", "netns", "exec", self._netns, str(CACHE / "bin" / program), *arguments]
        home = {"HOME": str(self._directory), "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env={**os.environ, **home}, timeout=120
        )

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self._checked("kubectl", *arguments, text=text)

    def helm(self, *arguments: str, text: str | None = None, program: str = "helm") -> str:
        """``program``: helm or helm4."""
        return self._checked(program, *arguments, text=text)

    def _checked(self, program: str, *arguments: str, text: str | None) -> str:
        done = self.run(program, *arguments, text=text)
        if done.returncode:
            raise AssertionError(f"{program} {' '.join(arguments)}: status {done.returncode}: {done.stderr}")
        return done.stdout + done.stderr
