"""An ipam whose answers make no sense, at /run/senseless.sock of a node."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc
from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc
from vpccni_lab.nodes.node import Node


class _Servicer(ipam_pb2_grpc.IpamServicer):
    async def AddPod(self, request: Any, context: Any) -> Any:
        return ipam_pb2.AddPodResponse()


@contextlib.contextmanager
def senseless_ipam(node: Node) -> Iterator[None]:
    """Serves during the block."""
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        ipam_pb2_grpc.add_IpamServicer_to_server(_Servicer(), server)
        server.add_insecure_port(f"unix:{node.file('/run/senseless.sock')}")
        await server.start()
        ready.set()
        await asyncio.to_thread(done.wait)
        await server.stop(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        done.set()
        thread.join(10)
