"""Real Prometheus (Debian's) and real Jaeger (built from Go modules), started by tests and by `make jaeger`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vpccni_lab.nodes.node import Node

REPO: Final = Path(__file__).resolve().parents[2]
CACHE: Final = Path(os.environ.get("VPCCNI_CACHE") or Path.home() / ".cache/vpccni")
JAEGER_SOURCE: Final = REPO / "tests/observe/jaeger"
_JAEGER_PACKAGE: Final = "github.com/jaegertracing/jaeger/cmd/all-in-one"


class MissingError(Exception):
    """Something that the machine lacks; tests skip with this text."""


def prometheus_root() -> Path:
    """Where Debian's package is unpacked (never installed: its service must not start). Raises MissingError."""
    root = CACHE / "debian" / "prometheus"
    if (root / "usr/bin/prometheus").exists():
        return root
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingError("Debian's package prometheus (apt-get, dpkg-deb)")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        fetch = ["apt-get", "download", "-q", "prometheus"]
        done = subprocess.run(fetch, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
            done = subprocess.run(fetch, cwd=scratch, capture_output=True, text=True, check=False)
        packages = list(Path(scratch).glob("prometheus_*.deb"))
        if not packages:
            raise MissingError(f"Debian's package prometheus: {done.stderr.strip()[-200:]}")
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), f"{scratch}/root"], check=True)
        Path(scratch, "root").rename(root)
    return root


def promtool(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs promtool; the caller looks at the exit status."""
    program = str(prometheus_root() / "usr/bin/promtool")
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False)


def jaeger_binary(*, build: bool, say: Callable[[str], None] = lambda text: None) -> Path:
    """Jaeger all-in-one. Built (some minutes) when ``build``; else it must be there. Raises MissingError."""
    digest = hashlib.sha256()
    for path in sorted(JAEGER_SOURCE.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    binary = CACHE / "bin" / f"jaeger-{digest.hexdigest()[:12]}"
    if binary.exists():
        return binary
    if not build:
        raise MissingError("Jaeger (make jaeger builds it)")
    if not shutil.which("go"):
        raise MissingError("the Go toolchain")
    say("building Jaeger from Go modules (some minutes, once)")
    binary.parent.mkdir(parents=True, exist_ok=True)
    temporary = binary.with_suffix(f".{os.getpid()}")
    env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    command = [
        "nice",
        "-n",
        "19",
        "go",
        "build",
        "-trimpath",
        "-ldflags",
        "-s -w",
        "-o",
        str(temporary),
        _JAEGER_PACKAGE,
    ]
    done = subprocess.run(command, cwd=JAEGER_SOURCE, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"Jaeger does not build here: {done.stderr.strip()[-500:]}")
    temporary.rename(binary)
    return binary


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    """Raises AssertionError naming ``what``."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


class _Program:
    """One process of ours, ended by its id."""

    _process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Jaeger(_Program):
    """All-in-one with storage in memory; ports chosen freely. ``otlp``: host:port for spans. ``url``: the query API."""

    def __init__(self, binary: Path, log: Path) -> None:
        ports = {name: free_port() for name in ("otlp", "otlp-http", "query", "query-grpc", "admin", "grpc", "http")}
        self.otlp = f"127.0.0.1:{ports['otlp']}"
        self.url = f"http://127.0.0.1:{ports['query']}"
        at = "127.0.0.1"
        arguments = [
            f"--collector.otlp.grpc.host-port={self.otlp}",
            f"--collector.otlp.http.host-port={at}:{ports['otlp-http']}",
            f"--query.http-server.host-port={at}:{ports['query']}",
            f"--query.grpc-server.host-port={at}:{ports['query-grpc']}",
            f"--admin.http.host-port={at}:{ports['admin']}",
            f"--collector.grpc-server.host-port={at}:{ports['grpc']}",
            f"--collector.http-server.host-port={at}:{ports['http']}",
        ]
        env = {"PATH": os.environ["PATH"], "SPAN_STORAGE_TYPE": "memory", "HOME": "/"}
        with log.open("wb") as out:
            self._process = subprocess.Popen([str(binary), *arguments], env=env, stdout=out, stderr=out)
        try:
            wait_until(lambda: answers(f"{self.url}/api/services"), f"Jaeger's query API; see {log}", 60)
        except BaseException:
            self.stop()
            raise


class Prometheus(_Program):
    """Prometheus in a lab node: it scrapes as one in a cluster would, over the VPC. Asked from inside the node."""

    def __init__(
        self, node: Node, targets: Sequence[Mapping[str, Any]], directory: Path, rules: Sequence[Path] = ()
    ) -> None:
        """``targets``: static_configs. Scrapes and evaluates every second."""
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [{"job_name": "aws-node", "static_configs": list(targets)}],
        }
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "prometheus.json").write_text(json.dumps(config))  # YAML is a superset
        self._node = node
        program = prometheus_root() / "usr/bin/prometheus"
        arguments = [
            f"--config.file={directory}/prometheus.json",
            f"--storage.tsdb.path={directory}/data",
            "--web.listen-address=127.0.0.1:9090",
            "--enable-feature=exemplar-storage",
        ]
        with (directory / "prometheus.log").open("wb") as out:
            # The network of the node, the files of this machine.
            self._process = subprocess.Popen(
                ["nsenter", f"--net=/proc/{node.pid}/ns/net", "--", str(program), *arguments], stdout=out, stderr=out
            )

    def get(self, path: str, **query: str) -> Any:
        """``data`` of an API answer."""
        url = f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(query)}"

        def ask() -> Any:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]

        return self._node.inside(ask)

    def ready(self) -> bool:
        return bool(self._node.inside(lambda: answers("http://127.0.0.1:9090/-/ready")))

    def value(self, expression: str) -> list[dict[str, Any]]:
        """Result of an instant query."""
        return list(self.get("query", query=expression)["result"])
