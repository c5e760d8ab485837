"""The real ipam process over real sockets, between two small leaf services that hold their state in memory.

Not a test module: loaded by tests/wire/test_ipam_*.py. The leaves are gRPC servers like the real ones; the lab tests cover
the real netconf and eni-manager.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from vpccni_api.eni.v1 import eni_pb2 as eni
from vpccni_api.eni.v1 import eni_pb2_grpc
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.ipam.v1 import ipam_pb2_grpc
from vpccni_api.netconf.v1 import netconf_pb2 as net
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.channel import Channel
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server

SERVING = health_pb2.HealthCheckResponse.SERVING


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ModelNetconf(netconf_pb2_grpc.NetconfServicer):
    """A kernel in a dictionary: host link name -> PodSpec."""

    def __init__(self) -> None:
        self.pods: dict[str, Any] = {}
        self.enis: dict[str, Any] = {}
        self.host: Any = None
        self.bad_settings: dict[str, str] = {}
        self.setup_delay = 0.0
        self.setup_error: ReasonError | None = None
        self.eni_error: ReasonError | None = None
        self.calls: list[str] = []
        self.hold_at = ""
        """A step that does not go on until its caller is gone: a method's name, with " done" after it: when it has acted."""
        self.held = asyncio.Event()
        self._streams: set[asyncio.Event] = set()

    async def _step(self, name: str) -> None:
        if name == self.hold_at:
            self.hold_at = ""
            self.held.set()
            await asyncio.Event().wait()

    async def ApplyHost(self, request: Any, context: Any) -> Any:
        self.calls.append("ApplyHost")
        self.host = request.host
        return net.ApplyHostResponse(changes=1, primary_link="eth0", bad_settings=self.bad_settings)

    async def ApplyEni(self, request: Any, context: Any) -> Any:
        self.calls.append("ApplyEni")
        if self.eni_error is not None:
            raise self.eni_error
        await self._step("ApplyEni")
        self.enis[request.eni.eni_id] = request.eni
        await self._step("ApplyEni done")
        return net.ApplyEniResponse(route_table=request.eni.route_table)

    async def RemoveEni(self, request: Any, context: Any) -> Any:
        self.calls.append("RemoveEni")
        await self._step("RemoveEni")
        self.enis.pop(request.eni_id, None)
        await self._step("RemoveEni done")
        return net.RemoveEniResponse()

    async def SetupPod(self, request: Any, context: Any) -> Any:
        self.calls.append("SetupPod")
        if self.setup_delay:
            await asyncio.sleep(self.setup_delay)
        if self.setup_error is not None:
            raise self.setup_error
        self.pods[request.pod.host_veth] = request.pod
        return net.SetupPodResponse()

    async def TeardownPod(self, request: Any, context: Any) -> Any:
        self.calls.append("TeardownPod")
        held = self.pods.get(request.pod.host_veth)
        if held is not None and held.container_id == request.pod.container_id:
            del self.pods[request.pod.host_veth]
        return net.TeardownPodResponse()

    async def CheckPod(self, request: Any, context: Any) -> Any:
        held = self.pods.get(request.pod.host_veth)
        return net.CheckPodResponse(differences=[] if held == request.pod else ["link missing"])

    async def ApplyPods(self, request: Any, context: Any) -> Any:
        self.calls.append("ApplyPods")
        listed = {pod.host_veth: pod for pod in request.pods}
        missing = [name for name in listed if name not in self.pods]
        self.pods = {name: pod for name, pod in listed.items() if name in self.pods}
        return net.ApplyPodsResponse(missing_links=missing, eni_ids=list(self.enis))

    async def Observe(self, request: Any, context: Any) -> Any:
        pods = [
            net.ObservedPod(host_veth=p.host_veth, address=p.address, route_table=p.route_table, link=True)
            for p in self.pods.values()
        ]
        return net.ObserveResponse(pods=pods, host_links=["eth0", *self.pods])

    async def WatchDrift(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield net.DriftEvent(kind="rule", object="512: from all to 10.0.0.1 lookup main", action="repaired")
        await asyncio.Event().wait()


@dataclasses.dataclass
class ModelEni:
    eni_id: str
    device: int
    ips: list[str]
    kind: str = "interface"


class ModelEniManager(eni_pb2_grpc.EniManagerServicer):
    """An instance with ENIs in a list. ``subnet_free``: addresses that the subnet still has."""

    def __init__(self, max_enis: int = 3, per_eni: int = 10) -> None:
        self.inspect = eni.InspectResponse()
        self.max_enis = max_enis
        self.per_eni = per_eni
        self.subnet_free = 1000
        self.attach_delay = 0.0
        self.error: ReasonError | None = None
        self.calls: list[str] = []
        self.profiles: list[Any] = []
        self.released: list[str] = []
        self.stale: Any = None
        self.ec2_error: ReasonError | None = None
        self.release_hangs = False
        self.bad_settings: dict[str, str] = {}
        self.vpc_cidrs = ["10.0.0.0/16"]
        self._next_ip = 10
        self.enis = [ModelEni("eni-0", 0, [])]
        self.generation = 1
        self._changed = asyncio.Condition()

    def _new_ips(self, count: int) -> list[str]:
        made = []
        for _ in range(min(count, self.subnet_free)):
            made.append(f"10.0.{self._next_ip // 250}.{self._next_ip % 250}")
            self._next_ip += 1
        self.subnet_free -= len(made)
        return made

    async def bump(self) -> None:
        self.generation += 1
        async with self._changed:
            self._changed.notify_all()

    def inventory(self, source: int) -> Any:
        return eni.InventoryResponse(
            enis=[
                eni.Eni(
                    eni_id=e.eni_id,
                    mac=f"02:00:00:00:00:{e.device:02x}",
                    device_number=e.device,
                    subnet_cidr="10.0.0.0/20",
                    primary_ip=f"10.0.15.{200 + e.device}",
                    secondary_ips=e.ips,
                    interface_type=e.kind,
                    is_primary=e.device == 0,
                    managed=True,
                    status="attached",
                )
                for e in self.enis
            ],
            source=source,
            generation=self.generation,
            vpc_ipv4_cidrs=self.vpc_cidrs,
        )

    async def Describe(self, request: Any, context: Any) -> Any:
        limits = eni.InstanceLimits(
            max_enis=self.max_enis, ipv4_per_eni=self.per_eni, hypervisor="nitro", trunking_compatible=True
        )
        return eni.DescribeResponse(
            instance_id="i-1",
            instance_type="m5.large",
            primary_mac="02:00:00:00:00:00",
            primary_ip="10.0.15.200",
            primary_eni="eni-0",
            vpc_ipv4_cidrs=self.vpc_cidrs,
            limits=limits,
            bad_settings=self.bad_settings,
        )

    async def Inspect(self, request: Any, context: Any) -> Any:
        return self.inspect

    async def Inventory(self, request: Any, context: Any) -> Any:
        self.calls.append("Inventory:EC2" if request.source == eni.EC2 else "Inventory:IMDS")
        if request.source == eni.EC2 and self.ec2_error is not None:
            raise self.ec2_error
        if request.source != eni.EC2 and self.stale is not None:
            return self.stale
        return self.inventory(request.source or eni.IMDS)

    async def EnsureCapacity(self, request: Any, context: Any) -> Any:
        self.calls.append(f"EnsureCapacity:{request.want}")
        if request.HasField("profile"):
            self.profiles.append(request.profile)
        if self.error is not None:
            raise self.error
        for e in self.enis:
            room = self.per_eni - 1 - len(e.ips)
            if room > 0 and e.eni_id not in request.excluded_enis:
                added = self._new_ips(min(room, request.want))
                if not added:
                    raise ReasonError(Reason.SUBNET_FULL, "subnet-1 has no free address")
                e.ips += added
                await self.bump()
                return eni.EnsureCapacityResponse(
                    action="assigned", eni_id=e.eni_id, addresses=added, inventory=self.inventory(eni.EC2)
                )
        if not request.may_create_eni or len(self.enis) >= min(request.max_enis or 99, self.max_enis):
            raise ReasonError(Reason.ENI_LIMIT, "no slot")
        if self.subnet_free < 1:
            raise ReasonError(Reason.SUBNET_FULL, "subnet-1 has no free address")
        await asyncio.sleep(self.attach_delay)
        count = self.per_eni - 1 if request.whole_eni else min(request.want, self.per_eni - 1)
        used = {e.device for e in self.enis}
        device = min(d for d in range(32) if d not in used)
        made = ModelEni(f"eni-{device}", device, self._new_ips(count))
        self.enis.append(made)
        await self.bump()
        return eni.EnsureCapacityResponse(
            action="attached", eni_id=made.eni_id, addresses=made.ips, inventory=self.inventory(eni.EC2)
        )

    async def ReleaseCapacity(self, request: Any, context: Any) -> Any:
        self.calls.append("ReleaseCapacity")
        if self.release_hangs:
            await asyncio.Event().wait()
        for item in request.addresses:
            held = next(e for e in self.enis if e.eni_id == item.eni_id)
            self.released += item.ips
            held.ips = [ip for ip in held.ips if ip not in item.ips]
        for e in self.enis:
            if e.eni_id in request.eni_ids:
                self.released += e.ips
        self.enis = [e for e in self.enis if e.eni_id not in request.eni_ids]
        await self.bump()
        return eni.ReleaseCapacityResponse(inventory=self.inventory(eni.EC2))

    async def WatchInventory(self, request: Any, context: Any) -> AsyncIterator[Any]:
        seen = -1
        while True:
            async with self._changed:
                while self.generation == seen:
                    await self._changed.wait()
            seen = self.generation
            yield self.inventory(eni.EC2 if self.ec2_error is None else eni.IMDS)


class Leaf:
    """One model leaf on a socket; ``stop`` and ``start`` again as the real process would."""

    def __init__(self, name: str, path: str, register: Callable[[grpc.aio.Server], None]) -> None:
        self._name, self._path, self._register = name, path, register
        self._server: Server | None = None
        self._port = free_port()

    async def start(self) -> None:
        self._server = Server(CallInterceptor(self._name, Metrics(self._name)), HealthBoard())
        await self._server.start(self._path, self._register, self._port)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.drain(0)
            self._server = None


class World:
    """A directory with sockets, both leaves, and the ipam process."""

    def __init__(self, path: pathlib.Path, environ: dict[str, str]) -> None:
        self.path = path
        self.netconf = ModelNetconf()
        self.manager = ModelEniManager()
        self.netconf_leaf = Leaf(
            "netconf",
            str(path / "run/netconf.sock"),
            lambda s: netconf_pb2_grpc.add_NetconfServicer_to_server(self.netconf, s),
        )
        self.manager_leaf = Leaf(
            "eni-manager",
            str(path / "run/eni-manager.sock"),
            lambda s: eni_pb2_grpc.add_EniManagerServicer_to_server(self.manager, s),
        )
        self.health_port, self.metrics_port, self.introspection_port = free_port(), free_port(), free_port()
        self.socket = str(path / "aws-node/ipam.sock")
        self.checkpoint = path / "aws-node/ipam.json"
        self.pending = path / "aws-node/pending-del"
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "PYTHONDONTWRITEBYTECODE": "1",
            "VPCCNI_KUBERNETES": "off",
            "VPCCNI_IPAM_SOCKET": self.socket,
            "VPCCNI_NETCONF_SOCKET": str(path / "run/netconf.sock"),
            "VPCCNI_ENI_MANAGER_SOCKET": str(path / "run/eni-manager.sock"),
            "AWS_VPC_K8S_CNI_BACKING_STORE": str(self.checkpoint),
            "VPCCNI_PENDING_DEL_DIR": str(self.pending),
            "VPCCNI_IPAM_HEALTH_PORT": str(self.health_port),
            "VPCCNI_IPAM_METRICS_PORT": str(self.metrics_port),
            "INTROSPECTION_BIND_ADDRESS": f"127.0.0.1:{self.introspection_port}",
            "AWS_VPC_K8S_CNI_LOG_FILE": str(path / "ipam.log"),
            "IP_COOLDOWN_PERIOD": "30",
            **environ,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.channel = Channel(self.socket, "ipam", Reason.IPAM_UNREACHABLE)
        self.stub = ipam_pb2_grpc.IpamStub(self.channel.grpc_channel)

    def spawn(self) -> None:
        with open(self.path / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vpccni_ipam"], env=self.environ, stderr=errors, cwd="/"
            )

    async def start(self) -> None:
        self.spawn()
        await self.until_health("ready")

    async def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 20)

    async def health(self, service: str) -> int:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.health_port}") as channel:
            reply = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=5
            )
            return int(reply.status)

    async def until_health(self, service: str, wanted: int = SERVING) -> None:
        async def there() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log()
            try:
                return await self.health(service) == wanted
            except grpc.aio.AioRpcError:
                return False

        await until(there, lambda: f"health {service} != {wanted}\n{self.log()}")

    def log(self) -> str:
        found = [p.read_text() for p in (self.path / "ipam.log", self.path / "stderr") if p.exists()]
        return "\n".join(found)[-4000:]

    async def add(self, name: str, timeout: float = 20, **extra: Any) -> Any:
        request = pb.AddPodRequest(
            key=pb.PodInterface(network_name="aws-cni", container_id=f"c-{name}", ifname="eth0"),
            pod=pb.PodIdentity(namespace="default", name=name, uid=f"u-{name}"),
            netns=f"/run/netns/{name}",
            conf=pb.PodNetConf(veth_prefix="eni", mtu=9001),
            plugin_version="0.1.0",
        )
        request.MergeFrom(pb.AddPodRequest(**extra))
        return (await self.channel.call(self.stub.AddPod, request, timeout)).result

    async def address(self, name: str, timeout: float = 20) -> str:
        return str((await self.add(name, timeout)).ips[0].address.split("/")[0])

    async def delete(self, name: str, timeout: float = 20, prev_result: Any = None) -> None:
        request = self.del_request(name, prev_result)
        await self.channel.call(self.stub.DelPod, request, timeout)

    def del_request(self, name: str, prev_result: Any = None) -> Any:
        return pb.DelPodRequest(
            key=pb.PodInterface(network_name="aws-cni", container_id=f"c-{name}", ifname="eth0"),
            pod=pb.PodIdentity(namespace="default", name=name, uid=f"u-{name}"),
            netns=f"/run/netns/{name}",
            conf=pb.PodNetConf(veth_prefix="eni", mtu=9001),
            plugin_version="0.1.0",
            prev_result=prev_result,
        )

    async def inspect(self) -> Any:
        return await self.channel.call(self.stub.Inspect, pb.InspectRequest(), 5)

    async def settled(self) -> Any:
        """Waits until the pool is at its target."""
        seen: list[Any] = []

        async def there() -> bool:
            seen.append(await self.inspect())
            return seen[-1].deficit <= 0 and not seen[-1].growth.active

        await until(there, lambda: f"deficit {seen[-1].deficit}\n{self.log()}")
        return seen[-1]

    def stored(self) -> dict[str, str]:
        """container id -> address, from the checkpoint."""
        text = json.loads(self.checkpoint.read_text())
        return {a["containerID"]: a["ipv4"] for a in text["allocations"]}


async def until(there: Callable[[], Awaitable[bool]], why: Callable[[], str], limit_s: float = 60) -> None:
    """Polls a condition; the limit is only there so that a failing test ends."""
    end = time.monotonic() + limit_s
    while not await there():
        if time.monotonic() > end:
            raise AssertionError(why())
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def world(started: bool = True, manager: ModelEniManager | None = None, **environ: str) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="h6-") as directory:
        made = World(pathlib.Path(directory), environ)
        if manager is not None:
            made.manager = manager
        try:
            await made.netconf_leaf.start()
            await made.manager_leaf.start()
            if started:
                await made.start()
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                await made.kill()
            await made.channel.close()
            await made.netconf_leaf.stop()
            await made.manager_leaf.stop()


def run(body: Callable[[World], Awaitable[None]], started: bool = True, **environ: str) -> None:
    async def scenario() -> None:
        async with world(started, **environ) as made:
            await body(made)

    asyncio.run(scenario())
