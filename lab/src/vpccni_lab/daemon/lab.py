"""One lab's life: build the cloud, boot the nodes, start their services, and take all of it down again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import spec as labspec
from vpccni_lab.daemon.cloud import Cloud
from vpccni_lab.ec2.server import Ec2Server
from vpccni_lab.fabric import namespaces, plan
from vpccni_lab.imds.server import ImdsServer
from vpccni_lab.linux import procs, syscalls
from vpccni_lab.nodes import boot, services
from vpccni_lab.nodes.node import Node
from vpccni_lab.nodes.services import Service
from vpccni_lab.probe.sockets import Wanted, open_socket
from vpccni_lab.spec import LabSpec, NodeSpec
from vpccni_lab.state import State
from vpccni_lab.trace.collector import Collector

log = logging.getLogger("vpclab")
Progress = Callable[[str], None]
READY_WITHIN: Final = 60.0
"""Seconds that a node's services get until ipam says that it is ready."""
CONFLIST: Final = "10-aws.conflist"
IPAM_SOCKET: Final = "/run/aws-node/ipam.sock"
DEBIAN_PLUGINS: Final = Path("/usr/lib/cni")


class Lab:
    """Everything that a lab holds. For the event loop's thread."""

    def __init__(self, spec: LabSpec, state: State) -> None:
        self.spec = spec
        self.state = state
        self.started = time.time()
        self.cloud = Cloud(spec, log.error)
        self.collector = Collector(state.root / "otlp.sock")
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, dict[str, Service]] = {}
        self.ready: dict[str, str] = {}
        self.ec2_port = 0
        self._closers: list[Callable[[], Awaitable[Any]]] = []
        self._holders: list[Any] = []
        self._workers = ThreadPoolExecutor(8, thread_name_prefix="lab")

    async def build(self, progress: Progress) -> None:
        """Everything, until pods can be started. Raises what its parts raise; call ``close`` then, too."""
        self.cloud.build()
        await self.collector.start()
        await self._serve_ec2_on_this_machine()
        progress(f"VPC {', '.join(self.spec.cidrs)}, {len(self.spec.subnets)} subnets, internet host, peered network")
        for node_spec in self.spec.nodes:
            await self._boot(node_spec)
            progress(self._describe(node_spec))
        for node_spec in self.spec.nodes:
            if node_spec.cni == "later":
                self._prepare_cni(node_spec)
        await asyncio.gather(*(self._start_cni(node, progress) for node in self.spec.nodes if node.cni == "vpccni"))

    async def close(self) -> None:
        """Stops the services, then everything else. Idempotent; what fails is logged and the rest goes on."""
        stopping = [
            self._in_thread(functools.partial(service.stop, 3.0))
            for of_node in self.services.values()
            for service in reversed(of_node.values())
        ]
        await self._all_of(stopping)
        await self._all_of([closer() for closer in self._closers])
        self._closers.clear()
        await self._all_of([self.collector.close(), self.cloud.close()])
        for holder in self._holders:
            holder.kill()
            holder.wait()
        for node in self.nodes:
            syscalls.drop_netns(str(namespaces.path(self.spec.name, node)))
        self._workers.shutdown(wait=False, cancel_futures=True)

    def node(self, name: str) -> Node:
        """Raises ReasonError REQUEST_INVALID for an unknown node."""
        if name not in self.nodes:
            raise ReasonError(Reason.REQUEST_INVALID, f"node {name!r}: there is {', '.join(self.nodes) or 'none'}")
        return self.nodes[name]

    def service(self, node: str, name: str) -> Service:
        """Raises ReasonError REQUEST_INVALID for an unknown node or service."""
        of_node = self.services.get(self.node(node).name, {})
        if name not in of_node:
            raise ReasonError(
                Reason.REQUEST_INVALID, f"service {name!r} of {node}: there is {', '.join(of_node) or 'none'}"
            )
        return of_node[name]

    async def start_service(self, node: str, name: str) -> None:
        """Starts one service again."""
        await self._in_thread(self.service(node, name).start)

    async def wait_ready(self, name: str, timeout: float = READY_WITHIN) -> None:
        """Waits until ipam of the node answers that it is ready.

        Raises ReasonError NOT_READY with the end of the logs when a service ended or the time is over.
        """
        node, deadline = self.node(name), time.monotonic() + timeout
        target = f"unix:{node.file(IPAM_SOCKET)}"
        while True:
            if await _ready(target):
                self.ready[name] = "ready"
                return
            gone = [s for s in self.services[name].values() if s.pid is None]
            if gone or time.monotonic() > deadline:
                culprit = gone[0] if gone else self.services[name]["ipam"]
                what = f"ended with status {culprit.exit_status}" if gone else f"is not ready after {timeout:.0f} s"
                raise ReasonError(
                    Reason.NOT_READY,
                    f"{culprit.spec.name} of {name} {what}; the end of its log:\n{culprit.last_words()}",
                )
            await asyncio.sleep(0.02)

    async def _boot(self, node_spec: NodeSpec) -> None:
        where = namespaces.path(self.spec.name, node_spec.name)
        directory = self.state.node_dir(node_spec.name)
        await self._in_thread(lambda: boot.make_namespace(where, node_spec.sysctls))
        instance = self.cloud.launch(node_spec, where)
        eni = self.cloud.ec2.primary_eni(instance.id)
        subnet = self.cloud.ec2.subnet(eni.subnet_id)
        link = self.cloud.link_in_host(eni.id) or "eth0"

        def start() -> Any:
            boot.configure_primary(
                where,
                link,
                f"{eni.private_ip}/{subnet.cidr.prefixlen}",
                plan.gateway(str(subnet.cidr)),
                eni.ipv6_addresses,
                plan.ENI_MTU,
            )
            holder = boot.start_holder(node_spec.name, eni.private_ip, where, directory, node_spec.iptables)
            ours = {"aws-cni": self._plugin_binary()} if node_spec.cni != "none" else {}
            debian = {path.name: path for path in DEBIAN_PLUGINS.glob("*")}
            boot.install_plugins(directory, copied=ours, linked=debian)
            return holder

        holder = await self._in_thread(start)
        self._holders.append(holder)
        node = Node(node_spec.name, instance.id, eni.private_ip, holder.pid, directory)
        self.nodes[node.name] = node
        self.state.write_node(node)
        await self._serve(node)

    async def _serve(self, node: Node) -> None:
        """EC2, IMDS and the span collector, on sockets inside the node."""

        def listen(port: int) -> socket.socket:
            return open_socket(
                Wanted(node.netns, socket.AF_INET, socket.SOCK_STREAM, bind=(boot.IMDS_ADDRESS, port), listen=128)
            )

        ec2 = await Ec2Server(self.cloud.ec2).serve(listen(services.EC2_PORT), caller=node.name)
        self._closers.append(ec2.close)
        imds = await ImdsServer(self.cloud.ec2).serve(listen(80), instance_id=node.instance_id)
        self._closers.append(imds.close)
        await self.collector.relay(listen(services.OTLP_PORT))

    async def _serve_ec2_on_this_machine(self) -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        self.ec2_port = sock.getsockname()[1]
        handle = await Ec2Server(self.cloud.ec2).serve(sock, caller="operator")
        self._closers.append(handle.close)

    def _plugin_binary(self) -> Path:
        cni = self.spec.cni
        if cni.python:
            wrapper = self.state.root / "aws-cni"
            wrapper.write_text(f"#!/bin/sh\nexec {sys.executable} -m vpccni_plugin\n")
            return wrapper
        binary = Path(cni.binary) if cni.binary else _repository() / "build" / "aws-cni"
        if not binary.is_file():
            raise ReasonError(
                Reason.CONFIG_INVALID,
                f"plugin binary {binary} is not there: `make plugin` builds it, or use --plugin python",
            )
        return binary

    async def _start_cni(self, node_spec: NodeSpec, progress: Progress) -> None:
        begin = time.monotonic()
        node = self._prepare_cni(node_spec)
        for service in self.services[node.name].values():
            await self._in_thread(service.start)
        await self.wait_ready(node.name)
        conf = json.dumps(labspec.conflist(self.spec.cni), indent=1)
        target = node.directory / "cni-conf" / CONFLIST
        temporary = target.with_name(f".{CONFLIST}.tmp")
        temporary.write_text(conf)
        temporary.rename(target)
        progress(f"{node.name}: services ready after {time.monotonic() - begin:.1f} s")

    def _prepare_cni(self, node_spec: NodeSpec) -> Node:
        node = self.nodes[node_spec.name]
        env = services.environment(node, {**self.spec.env, **node_spec.env}, traces=self.spec.traces)
        self.services[node.name] = {
            spec.name: Service(
                spec,
                node,
                env,
                self.state.logs / f"{node.name}-{spec.name}.log",
                self.state.processes / f"{node.name}-{spec.name}.json",
            )
            for spec in services.SERVICES
        }
        return node

    def _describe(self, node_spec: NodeSpec) -> str:
        node = self.nodes[node_spec.name]
        public = self.cloud.public_of().get(node.address)
        return f"{node.name}: {node_spec.instance_type} {node.address}" + (f", public {public}" if public else "")

    def _in_thread(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._workers, function)

    async def _all_of(self, awaitables: list[Any]) -> None:
        for outcome in await asyncio.gather(*awaitables, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("while closing: %r", outcome)


async def _ready(target: str) -> bool:
    async with grpc.aio.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(grpc.aio.AioRpcError):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service="ready"), timeout=2)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


def _repository() -> Path:
    """The checkout that this package is installed from (editable); the current directory otherwise."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "plugin").is_dir() and (parent / "lab").is_dir():
            return parent
    return Path.cwd()


def signal_number(name: str) -> int:
    """``KILL``, ``SIGKILL`` or a number. Raises ReasonError REQUEST_INVALID."""
    try:
        if name.isdigit():
            return int(signal.Signals(int(name)))
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except (KeyError, ValueError) as exc:
        raise ReasonError(Reason.REQUEST_INVALID, f"signal {name!r}: a name such as KILL or TERM") from exc


def save_self(state: State) -> None:
    """Records this process as the lab's daemon."""
    procs.save(state.daemon, procs.ref(os.getpid()))
