"""A service's log while it runs: failed calls with pod, container and reason; the level changed by a signal."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import log_level, logs
from vpccni_kit.channel import Channel
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server

pytestmark = pytest.mark.wire

SERVICE = """
import asyncio, logging, sys
from vpccni_kit import lifecycle, logs

async def chatter():
    while True:
        logging.getLogger("x").debug("detail")
        logging.getLogger("x").info("news")
        await asyncio.sleep(0.01)

async def start(life):
    logs.setup("x", "INFO", sys.argv[1])
    life.spawn(chatter(), "chatter")

sys.exit(lifecycle.main("x", start))
"""


def settles(look: Callable[[], bool], within_s: float = 20.0) -> bool:
    end = time.monotonic() + within_s
    while not look() and time.monotonic() < end:
        time.sleep(0.02)
    return look()


def test_the_level_follows_signals(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(path)])

    def messages() -> list[str]:
        return [json.loads(line)["msg"] for line in path.read_text().splitlines()] if path.exists() else []

    def after(marker: str) -> list[str]:
        seen = messages()
        return seen[seen.index(marker) + 1 :] if marker in seen else []

    try:
        assert settles(lambda: messages().count("news") > 3)
        assert set(messages()) == {"news"}
        assert log_level.main(["debug", "--pid", str(process.pid)]) == 0
        assert settles(lambda: "detail" in after("log level is DEBUG now"))
        assert log_level.main(["setting", "--pid", str(process.pid)]) == 0
        assert settles(lambda: after("log level is INFO now").count("news") > 3)
        assert set(after("log level is INFO now")) == {"news"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_no_such_process_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert log_level.main(["debug", "--pid", str(2**22)]) == 1
    assert "No such process" in capsys.readouterr().err


class Servicer(ipam_pb2_grpc.IpamServicer):
    async def AddPod(self, request: Any, context: Any) -> Any:
        logs.describe(pod="default/web", container=request.key.container_id)
        match request.key.container_id:
            case "refused":
                raise ReasonError(Reason.ENI_LIMIT, "3 of 3 ENIs", origin="eni-manager")
            case "defect":
                raise KeyError("x")
            case "slow":
                await asyncio.sleep(30)
        return ipam_pb2.AddPodResponse()


def logged(tmp_path: pathlib.Path, container: str, timeout: float = 5.0) -> list[dict[str, Any]]:
    """The lines of one AddPod of ``container``."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter("ipam", "node-a"))
    logger = logging.getLogger("vpccni_kit.server")

    async def scenario() -> None:
        server = Server(CallInterceptor("ipam", Metrics("ipam")), HealthBoard())
        path = str(tmp_path / "ipam.sock")
        await server.start(path, lambda s: ipam_pb2_grpc.add_IpamServicer_to_server(Servicer(), s), 0)
        channel = Channel(path, "ipam", Reason.IPAM_UNREACHABLE)
        request = ipam_pb2.AddPodRequest(key=ipam_pb2.PodInterface(container_id=container))
        try:
            await channel.call(ipam_pb2_grpc.IpamStub(channel.grpc_channel).AddPod, request, timeout)
        except ReasonError:
            for _ in range(100):  # the line of a call whose caller went away comes a moment later
                if stream.getvalue():
                    break
                await asyncio.sleep(0.05)
        finally:
            await channel.close()
            await server.drain(0)

    logger.addHandler(handler)
    try:
        asyncio.run(scenario())
    finally:
        logger.removeHandler(handler)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_call_that_works_is_no_line(tmp_path: pathlib.Path) -> None:
    assert logged(tmp_path, "fine") == []


@pytest.mark.parametrize(
    ("container", "reason", "level", "says"),
    [
        ("refused", "ENI_LIMIT", "warn", "ipam.AddPod failed: 3 of 3 ENIs"),
        ("defect", "INTERNAL", "error", "ipam.AddPod failed"),
        ("slow", "DEADLINE_EXCEEDED", "warn", "ipam.AddPod: the caller gave up"),
    ],
)
def test_a_failed_call_says_whose_it_was_and_why(
    container: str, reason: str, level: str, says: str, tmp_path: pathlib.Path
) -> None:
    (line,) = logged(tmp_path, container, 0.5 if container == "slow" else 5.0)
    told = {name: line[name] for name in ("level", "msg", "reason", "pod", "container", "service", "node")}
    assert told == {
        "level": level,
        "msg": says,
        "reason": reason,
        "pod": "default/web",
        "container": container,
        "service": "ipam",
        "node": "node-a",
    }
    assert len(line["trace_id"]) == 32
    assert ("stack" in line) == (container == "defect")
    assert line.get("origin", "") == ("eni-manager" if container == "refused" else "")
