"""The lab's EC2 and IMDS endpoints on loopback ports, and eni-manager as a real process against them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from vpccni_api.eni.v1 import eni_pb2, eni_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.channel import Channel
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni
from vpccni_lab.ec2.server import Ec2Server
from vpccni_lab.ec2.timing import Timings
from vpccni_lab.imds.server import ImdsServer

CALLER = "node-a"


def listening_socket() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(64)
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Aws:
    """A VPC with one node, and its endpoints. ``timings`` of the model can be changed at any time."""

    def __init__(self, instance_type: str = "m5.large", subnet: str = "10.0.1.0/24", **timings: float) -> None:
        self.ec2 = Ec2(clock=time.time, seed=5)
        self.ec2.timings = Timings(**timings)
        self.vpc = self.ec2.create_vpc(cidrs=["10.0.0.0/16"], ipv6_cidrs=["2001:db8:0:100::/56"])
        self.subnet = self.ec2.create_subnet(self.vpc.id, subnet, "us-west-2a", ipv6_cidr="2001:db8:0:101::/64")
        self.node = self.ec2.run_instance(instance_type, self.subnet.id, name=CALLER)
        self.ec2_url = self.imds_url = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Aws]:
        ec2_socket, imds_socket = listening_socket(), listening_socket()
        self.ec2_url = f"http://127.0.0.1:{ec2_socket.getsockname()[1]}"
        self.imds_url = f"http://127.0.0.1:{imds_socket.getsockname()[1]}"
        handles = [
            await Ec2Server(self.ec2).serve(ec2_socket, caller=CALLER),
            await ImdsServer(self.ec2).serve(imds_socket, instance_id=self.node.id),
        ]
        ticking = asyncio.create_task(self._tick())
        try:
            yield self
        finally:
            ticking.cancel()
            await asyncio.sleep(0.02)  # a connection that was just accepted becomes one that the server closes
            for handle in handles:
                await handle.close()

    async def _tick(self) -> None:
        while True:
            self.ec2.advance()
            await asyncio.sleep(0.02)

    def environ(self) -> dict[str, str]:
        """For a client of these endpoints: nothing of the machine's own AWS settings."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {
            **kept,
            "AWS_ENDPOINT_URL_EC2": self.ec2_url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def enis(self) -> list[Eni]:
        """Every ENI that EC2 holds, attached or not."""
        return sorted(self.ec2.enis(), key=lambda eni: eni.id)

    def calls(self) -> dict[str, int]:
        return self.ec2.calls.by_action()

    def mark(self) -> None:
        """Counts calls from here on."""
        self.ec2.calls.reset()


class Process:
    """eni-manager as a process with a socket, a state directory and ports of its own, in ``directory``."""

    def __init__(self, aws: Aws, directory: pathlib.Path, **environ: str) -> None:
        self._aws = aws
        self._directory = directory
        self.health_port, self.metrics_port = free_port(), free_port()
        self._environ = {
            "VPCCNI_ENI_MANAGER_SOCKET": str(directory / "eni-manager.sock"),
            "VPCCNI_ENI_MANAGER_STATE": str(directory / "state"),
            "VPCCNI_ENI_MANAGER_HEALTH_PORT": str(self.health_port),
            "VPCCNI_ENI_MANAGER_METRICS_PORT": str(self.metrics_port),
            "VPCCNI_ENI_MANAGER_LOG_FILE": str(directory / "log"),
            "OTEL_SDK_DISABLED": "true",
            **environ,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None

    async def start(self) -> None:
        await self.close_channel()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vpccni_eni_manager", env={**self._aws.environ(), **self._environ}
        )
        socket_path = self._environ["VPCCNI_ENI_MANAGER_SOCKET"]
        self._channel = Channel(socket_path, "eni-manager", Reason.ENI_MANAGER_UNREACHABLE)
        self.stub = eni_pb2_grpc.EniManagerStub(self._channel.grpc_channel)
        await until(lambda: os.path.exists(socket_path) and self._accepts(socket_path), what="the socket")

    @staticmethod
    def _accepts(path: str) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(path) == 0

    async def close_channel(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """kill -9, as a node's out-of-memory killer would."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._environ["VPCCNI_ENI_MANAGER_SOCKET"])

    async def terminate(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return await self._process.wait()

    async def ensure(self, want: int, timeout: float = 30.0, **fields: Any) -> eni_pb2.EnsureCapacityResponse:
        fields = {"mode": eni_pb2.SECONDARY_IP, "may_create_eni": True, **fields}
        return await self._call(self.stub.EnsureCapacity, eni_pb2.EnsureCapacityRequest(want=want, **fields), timeout)

    async def release(
        self, addresses: Sequence[tuple[str, Sequence[str]]] = (), eni_ids: Sequence[str] = (), timeout: float = 30.0
    ) -> eni_pb2.InventoryResponse:
        """``addresses``: (ENI id, addresses and prefixes)."""
        kind = eni_pb2.ReleaseCapacityRequest.Addresses
        rows = [
            kind(eni_id=eni, ips=[a for a in what if "/" not in a], prefixes=[a for a in what if "/" in a])
            for eni, what in addresses
        ]
        request = eni_pb2.ReleaseCapacityRequest(addresses=rows, eni_ids=eni_ids)
        return (await self._call(self.stub.ReleaseCapacity, request, timeout)).inventory

    async def inventory(self, source: int = eni_pb2.EC2, timeout: float = 10.0) -> eni_pb2.InventoryResponse:
        return await self._call(self.stub.Inventory, eni_pb2.InventoryRequest(source=source), timeout)

    async def describe(self, timeout: float = 10.0) -> eni_pb2.DescribeResponse:
        return await self._call(self.stub.Describe, eni_pb2.DescribeRequest(), timeout)

    async def inspect(self, timeout: float = 10.0) -> eni_pb2.InspectResponse:
        return await self._call(self.stub.Inspect, eni_pb2.InspectRequest(), timeout)

    async def check_access(self, timeout: float = 20.0) -> eni_pb2.CheckAccessResponse:
        return await self._call(self.stub.CheckAccess, eni_pb2.CheckAccessRequest(), timeout)

    async def _call(self, method: Any, request: Any, timeout: float) -> Any:
        assert self._channel is not None
        return await self._channel.call(method, request, timeout)

    def journal(self) -> list[dict[str, Any]]:
        path = self._directory / "state" / "journal.json"
        return list(json.loads(path.read_text())["actions"]) if path.exists() else []

    def log(self) -> str:
        path = self._directory / "log"
        return path.read_text() if path.exists() else ""


@contextlib.asynccontextmanager
async def running(aws: Aws, directory: pathlib.Path, **environ: str) -> AsyncIterator[Process]:
    """The process, started; killed at the end whatever happens."""
    process = Process(aws, directory, **environ)
    try:
        await process.start()
        yield process
    finally:
        await process.close_channel()
        await process.kill()


async def until(holds: Callable[[], bool], *, what: str, seconds: float = 30.0) -> None:
    """Waits for a condition. Raises AssertionError naming ``what`` when it does not come about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.02)


Body = Callable[[Aws, Process], Awaitable[None]]


def run(directory: pathlib.Path, body: Body, aws: Aws | None = None, **environ: str) -> None:
    """A test's body, with its AWS and its eni-manager."""

    async def scenario() -> None:
        async with (aws or Aws()).serving() as served, running(served, directory, **environ) as process:
            await body(served, process)

    asyncio.run(scenario())


def fault(aws: Aws, kind: str, *actions: str, **fields: Any) -> str:
    return aws.ec2.faults.add({"kind": kind, "actions": list(actions), **fields})


async def fails(call: Awaitable[object]) -> ReasonError:
    with pytest.raises(ReasonError) as caught:
        await call
    return caught.value


async def full_primary(process: Process) -> str:
    """The next step has to make an ENI."""
    return (await process.ensure(9)).eni_id
