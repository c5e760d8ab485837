"""The plugin run as the runtime runs it (source and static binary), and servers for it to talk to."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD = REPOSITORY / "plugin" / "build.py"

CONTAINER_ID = "a3f1" * 16
CNI_ARGS = (
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=sample-pod;"
    "K8S_POD_INFRA_CONTAINER_ID=infra-1;K8S_POD_UID=uid-1"
)


@dataclass
class Outcome:
    """What a run of the plugin left behind."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Plugin:
    """Runs the plugin; ``folder`` has its socket, log and DEL queue."""

    argv: list[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> str:
        return str(self.folder / "ipam.sock")

    @property
    def queue(self) -> Path:
        return self.folder / "pending-del"

    @property
    def log(self) -> Path:
        return self.folder / "plugin.log"

    def config(self, **fields: Any) -> dict[str, Any]:
        """The conflist entry as the chart writes it, and ``fields``; None removes one."""
        config: dict[str, Any] = {
            "cniVersion": "1.1.0",
            "name": "aws-cni",
            "type": "aws-cni",
            "mtu": "9001",
            "vethPrefix": "eni",
            "pluginLogFile": str(self.log),
            "pluginLogLevel": "DEBUG",
            "ipamSocket": self.socket,
            "pendingDelDir": str(self.queue),
        }
        config.update(fields)
        return {key: value for key, value in config.items() if value is not None}

    def run(self, command: str, stdin: bytes | dict[str, Any] | None = None, **variables: str | None) -> Outcome:
        """``variables`` override CNI_* (None: not set)."""
        environment: dict[str, str | None] = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": CONTAINER_ID,
            "CNI_NETNS": "/proc/self/ns/net",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": CNI_ARGS,
            **self.environment,
            **variables,
        }
        if stdin is None:
            stdin = self.config()
        data = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
        done = subprocess.run(
            self.argv,
            input=data,
            capture_output=True,
            env={key: value for key, value in environment.items() if value is not None},
            timeout=60,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="session")
def plugin_binary() -> str:
    """build/aws-cni, built when an input changed; skips naming what a build needs."""
    spec = importlib.util.spec_from_file_location("plugin_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    lack = build.missing()
    if lack:
        pytest.skip(lack)
    subprocess.run([sys.executable, str(BUILD)], check=True, capture_output=True)
    return str(build.OUTPUT)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a path short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="h1-") as path:
        yield Path(path)


@pytest.fixture(params=["source", "binary"])
def plugin(request: pytest.FixtureRequest, folder: Path) -> Plugin:
    if request.param == "binary":
        return Plugin([request.getfixturevalue("plugin_binary")], folder)
    source = str(REPOSITORY / "plugin" / "src")
    return Plugin([sys.executable, "-m", "vpccni_plugin"], folder, {"PYTHONPATH": source})


# ---- ipam's contract on a real gRPC server ----


@dataclass
class Refusal:
    code: grpc.StatusCode
    message: str
    trailers: tuple[tuple[str, str], ...] = ()


class Ipam(ipam_pb2_grpc.IpamServicer):
    """Answers every RPC: ``answers[method]`` is a message, a Refusal or a function of the request."""

    refusal = Refusal

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, dict[str, str], float | None]] = []
        self.answers: dict[str, Any] = {
            "AddPod": ipam_pb2.AddPodResponse(
                result=ipam_pb2.CniResult(
                    interfaces=[
                        ipam_pb2.ResultInterface(name="enicc21c2d7785"),
                        ipam_pb2.ResultInterface(name="eth0", mac="3", sandbox="/proc/self/ns/net"),
                        ipam_pb2.ResultInterface(name="dummycc21c2d7785", mac="0", sandbox="2"),
                    ],
                    ips=[ipam_pb2.ResultIp(address="10.0.2.33/32", interface=1)],
                )
            ),
            "DelPod": ipam_pb2.DelPodResponse(),
            "CheckPod": ipam_pb2.CheckPodResponse(),
            "Gc": ipam_pb2.GcResponse(released=2),
            "Status": ipam_pb2.StatusResponse(),
        }

    def _answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.calls.append((method, request, metadata, context.time_remaining()))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Refusal):
            context.set_trailing_metadata(answer.trailers)
            context.abort(answer.code, answer.message)
        return answer

    def AddPod(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("AddPod", request, context)

    def DelPod(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("DelPod", request, context)

    def CheckPod(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("CheckPod", request, context)

    def Gc(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Gc", request, context)

    def Status(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Status", request, context)


@pytest.fixture
def ipam(folder: Path) -> Iterator[Ipam]:
    """A grpcio server on the socket that ``plugin`` uses."""
    servicer = Ipam()
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", 16 << 20)])
        ipam_pb2_grpc.add_IpamServicer_to_server(servicer, server)
        server.add_insecure_port(f"unix:{folder / 'ipam.sock'}")
        server.start()
        yield servicer
        server.stop(None).wait()


# ---- a server that speaks HTTP/2 frame by frame ----

CLIENT_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


class Peer:
    """The server's end of one connection. Written from RFC 9113 with struct, not with the code under test."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionError("client closed")
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read_preface(self) -> None:
        assert self._take(len(CLIENT_PREFACE)) == CLIENT_PREFACE

    def read_frame(self) -> Frame:
        high, low, kind, flags, stream = struct.unpack(">BHBBI", self._take(9))
        return Frame(kind, flags, stream, self._take(high << 16 | low))

    def read_request(self) -> bytes:
        """Preface to END_STREAM; the gRPC message."""
        self.read_preface()
        body = b""
        while True:
            frame = self.read_frame()
            if frame.kind == 0:
                body += frame.payload
                if frame.flags & 1:
                    return body[5:]

    @staticmethod
    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload

    def send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.send_raw(self.frame(kind, flags, stream, payload))

    def send_raw(self, data: bytes) -> None:
        self.connection.sendall(data)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., str]]:
    """``serve(script, script, …)``: the n-th connection is handled by the n-th script. Returns the socket's path.

    What a script raises (but a connection that the client closed) fails the test.
    """
    path = str(folder / "ipam.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    failures: list[BaseException] = []
    threads: list[threading.Thread] = []

    def accept(scripts: tuple[Callable[[Peer], None], ...]) -> None:
        for script in scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    script(Peer(connection))
                except (ConnectionError, BrokenPipeError):
                    continue
                except BaseException as exc:  # noqa: BLE001 - reported below
                    failures.append(exc)

    def start(*scripts: Callable[[Peer], None]) -> str:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=accept, args=(scripts,))
        thread.start()
        threads.append(thread)
        return path

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(10)
    assert not failures, failures
    if os.path.exists(path):
        os.unlink(path)
