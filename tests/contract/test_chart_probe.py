"""vpccni_kit.probe against a real health server and a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from vpccni_kit import probe

Status = health_pb2.HealthCheckResponse


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    servicer = health.HealthServicer()
    servicer.set("ready", Status.SERVING)
    servicer.set("ec2", Status.NOT_SERVING)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    path = tmp_path / "h8.sock"
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield port, path
    server.stop(None).wait()


def test_all_well(addresses: tuple[int, Path], capsys: pytest.CaptureFixture[str]) -> None:
    port, path = addresses
    targets = [f"tcp://127.0.0.1:{port}", f"grpc://127.0.0.1:{port}/ready", f"unix://{path}?ready"]
    assert probe.main(targets) == 0
    assert capsys.readouterr().out.count(": ok\n") == 3


@pytest.mark.parametrize(("service", "said"), [("ec2", "NOT_SERVING"), ("nobody", "NOT_FOUND")])
def test_says_what_is_wrong(
    addresses: tuple[int, Path], capsys: pytest.CaptureFixture[str], service: str, said: str
) -> None:
    port, _ = addresses
    assert probe.main(["--timeout", "0.2", f"grpc://127.0.0.1:{port}/{service}"]) == 1
    assert said in capsys.readouterr().out


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    targets = [f"tcp://127.0.0.1:{port}", f"grpc://127.0.0.1:{port}/ready"]
    assert probe.main(["--timeout", "0.2", *targets]) == 1
    assert ": ok" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["127.0.0.1:1", "http://x:1/", "tcp://x", "unix:relative"])
def test_refuses_other_targets(text: str) -> None:
    with pytest.raises(ValueError, match="allowed are tcp://"):
        probe.parse(text)


def test_ipv6_address() -> None:
    assert probe.parse("grpc://[::1]:61680/ready").address == "[::1]:61680"
