"""What netconf says of itself: health, and the end of its streams."""

from __future__ import annotations

import asyncio
import os
import pathlib
from collections.abc import Iterator

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from netconf_node import Client, Node, Process, serving
from netconf_scenario import scenario
from vpccni_api.netconf.v1 import netconf_pb2 as pb

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


async def health(process: Process, service: str) -> int:
    async with process.client() as client:
        stub = health_pb2_grpc.HealthStub(client._channel.grpc_channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)


def test_ready_follows_the_datapath(node: Node, tmp_path: pathlib.Path) -> None:
    serving_status, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    with serving(node, tmp_path) as process:
        assert asyncio.run(health(process, "live")) == serving_status
        assert asyncio.run(health(process, "ready")) == not_serving

        async def body(client: Client) -> None:
            await client.set_up()

        scenario(process, body)
        assert asyncio.run(health(process, "ready")) == serving_status
        assert asyncio.run(health(process, "datapath")) == serving_status
        assert "awscni_connmark_backend" in process.log or process.stop() == 0


def test_drift_streams_end_when_the_service_stops(node: Node, tmp_path: pathlib.Path) -> None:
    with serving(node, tmp_path) as process:

        async def body(client: Client) -> None:
            stream = client.stub.WatchDrift(pb.WatchDriftRequest())
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            await client.set_up()
            assert await asyncio.to_thread(process.stop) == 0
            await asyncio.wait((reading,))

        scenario(process, body)
