"""The kit's server and channel as a real pair over a real socket: reasons, deadlines, health, drain."""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
import stat
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.channel import Channel
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server

pytestmark = pytest.mark.wire
ADD = "/vpccni.ipam.v1.Ipam/AddPod"


class Servicer(ipam_pb2_grpc.IpamServicer):
    """Answers by the name of the container."""

    trace_id = ""

    async def AddPod(self, request: Any, context: Any) -> Any:
        self.trace_id = telemetry.current_trace_id()
        match request.key.container_id:
            case "limit":
                raise ReasonError(Reason.ENI_LIMIT, "3 of 3 ENIs — voll", details=("eni-1 full", "eni-2 völlig"))
            case "defect":
                raise KeyError("x")
            case "slow":
                await asyncio.sleep(30)
        return ipam_pb2.AddPodResponse()

    async def DelPod(self, request: Any, context: Any) -> Any:
        return ipam_pb2.DelPodResponse()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Body = Callable[[Channel, ipam_pb2_grpc.IpamStub, Server, HealthBoard, int], Awaitable[None]]


def run(tmp_path: pathlib.Path, body: Body, servicer: Servicer | None = None) -> None:
    async def scenario() -> None:
        health = HealthBoard(required=("ec2",), optional=("apiserver",))
        server = Server(CallInterceptor("ipam", Metrics("ipam"), (ADD,)), health)
        path, port = str(tmp_path / "run" / "ipam.sock"), free_port()
        await server.start(path, lambda s: ipam_pb2_grpc.add_IpamServicer_to_server(servicer or Servicer(), s), port)
        channel = Channel(path, "ipam", Reason.IPAM_UNREACHABLE)
        try:
            await body(channel, ipam_pb2_grpc.IpamStub(channel.grpc_channel), server, health, port)
        finally:
            await channel.close()
            await server.drain(0)

    asyncio.run(scenario())


def request(container_id: str) -> Any:
    return ipam_pb2.AddPodRequest(key=ipam_pb2.PodInterface(container_id=container_id))


def test_reason_message_origin_and_details_survive_the_wire(tmp_path: pathlib.Path) -> None:
    async def body(channel: Channel, stub: Any, *_: Any) -> None:
        with pytest.raises(ReasonError) as caught:
            await channel.call(stub.AddPod, request("limit"), 5)
        assert (caught.value.reason, caught.value.message, caught.value.origin) == (
            Reason.ENI_LIMIT,
            "3 of 3 ENIs — voll",
            "ipam",
        )
        assert caught.value.details == ("eni-1 full", "eni-2 v\\xf6llig")
        with pytest.raises(ReasonError) as caught:
            await channel.call(stub.AddPod, request("defect"), 5)
        assert caught.value.reason is Reason.INTERNAL

    run(tmp_path, body)


def test_a_call_without_a_deadline_is_refused_and_one_that_is_late_ends(tmp_path: pathlib.Path) -> None:
    async def body(channel: Channel, stub: Any, *_: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.AddPod(request("ok"))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(ReasonError) as late:
            await channel.call(stub.AddPod, request("slow"), 0.2)
        assert late.value.reason is Reason.DEADLINE_EXCEEDED

    run(tmp_path, body)


def test_socket_is_root_only_and_a_missing_peer_has_its_own_reason(tmp_path: pathlib.Path) -> None:
    async def body(channel: Channel, stub: Any, *_: Any) -> None:
        assert stat.S_IMODE(os.stat(tmp_path / "run" / "ipam.sock").st_mode) == 0o600
        gone = Channel(str(tmp_path / "none.sock"), "ipam", Reason.IPAM_UNREACHABLE)
        with pytest.raises(ReasonError) as caught:
            await gone.call(ipam_pb2_grpc.IpamStub(gone.grpc_channel).AddPod, request("ok"), 5)
        assert caught.value.reason is Reason.IPAM_UNREACHABLE
        await gone.close()

    run(tmp_path, body)


def test_trace_context_crosses_the_call(tmp_path: pathlib.Path) -> None:
    servicer = Servicer()

    async def body(channel: Channel, stub: Any, *_: Any) -> None:
        with telemetry.span("cni.add") as span:
            await channel.call(stub.AddPod, request("ok"), 5)
        assert servicer.trace_id == span.traceparent[3:35]

    run(tmp_path, body, servicer)


async def ask(target: str, service: str) -> int:
    async with grpc.aio.insecure_channel(target) as channel:
        reply = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=5
        )
        return int(reply.status)


def test_health_by_service_name_on_port_and_socket(tmp_path: pathlib.Path) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

    async def body(channel: Channel, stub: Any, server: Server, health: HealthBoard, port: int) -> None:
        for target in (f"127.0.0.1:{port}", f"unix:{tmp_path}/run/ipam.sock"):
            assert [await ask(target, s) for s in ("live", "startup", "ready")] == [serving, not_serving, not_serving]
        await health.up("ec2")
        await health.started()
        assert await ask(f"127.0.0.1:{port}", "ready") == serving
        await health.down("ec2", "EC2_UNREACHABLE", "no answer")
        assert [await ask(f"127.0.0.1:{port}", s) for s in ("live", "ready", "ec2")] == [
            serving,
            not_serving,
            not_serving,
        ]

    run(tmp_path, body)


def test_nothing_but_health_answers_on_the_port(tmp_path: pathlib.Path) -> None:
    async def body(channel: Channel, stub: Any, server: Server, health: HealthBoard, port: int) -> None:
        await channel.call(stub.AddPod, request("ok"), 5)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as tcp:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ipam_pb2_grpc.IpamStub(tcp).AddPod(request("ok"), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    run(tmp_path, body)


def test_draining_refuses_add_and_still_answers_del(tmp_path: pathlib.Path) -> None:
    async def body(channel: Channel, stub: Any, server: Server, *_: Any) -> None:
        slow = asyncio.create_task(channel.call(stub.AddPod, request("slow"), 3))
        await asyncio.sleep(0.1)
        server._interceptor.draining = True
        with pytest.raises(ReasonError) as refused:
            await channel.call(stub.AddPod, request("ok"), 5)
        assert refused.value.reason is Reason.DRAINING
        await channel.call(stub.DelPod, ipam_pb2.DelPodRequest(), 5)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow

    run(tmp_path, body)
