"""A minimal OpenTelemetry collector: OTLP over gRPC in, spans kept in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from vpccni_lab.trace.spans import Event, Span, SpanStore

log = logging.getLogger("vpclab")
FORWARD_ENV: Final = "VPCLAB_OTLP_FORWARD"
"""host:port of another collector (OTLP over gRPC, no TLS) that gets every export too: a Jaeger on this machine, say."""
_FORWARD_TIMEOUT_S: Final = 5.0


class Collector(otlp_grpc.TraceServiceServicer):
    """Serves OTLP on a unix socket; ``relay`` makes it reachable from inside a node."""

    def __init__(self, path: Path) -> None:
        self.store = SpanStore()
        self._path = path
        self._server = grpc.aio.server()
        self._relays: list[asyncio.Server] = []
        self._forward_to = os.environ.get(FORWARD_ENV, "")
        self._forward: grpc.aio.Channel | None = None

    async def start(self) -> None:
        """Raises OSError or RuntimeError when the socket cannot be opened."""
        otlp_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]  # generated, untyped
        self._server.add_insecure_port(f"unix:{self._path}")
        await self._server.start()

    async def relay(self, listening: socket.socket) -> None:
        """Passes connections to ``listening`` (a socket inside a node) on to the collector."""
        self._relays.append(await asyncio.start_server(self._pass_on, sock=listening))

    async def close(self) -> None:
        """Stops serving; idempotent."""
        for relay in self._relays:
            relay.close()
        self._relays.clear()
        await self._server.stop(None)
        if self._forward is not None:
            await self._forward.close(None)
            self._forward = None

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the service definition's name
        """Keeps the spans of one export, and passes it on when asked to."""
        self.store.add(_spans(request))
        if self._forward_to:
            await self._pass_to_other(request)
        return otlp.ExportTraceServiceResponse()

    async def _pass_to_other(self, request: Any) -> None:
        self._forward = self._forward or grpc.aio.insecure_channel(self._forward_to)
        stub = otlp_grpc.TraceServiceStub(self._forward)  # type: ignore[no-untyped-call]  # generated, untyped
        try:
            await stub.Export(request, timeout=_FORWARD_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            log.warning("spans not passed on to %s: %s", self._forward_to, error.details())

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._path))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


def _spans(request: Any) -> Iterator[Span]:
    for resource in request.resource_spans:
        about = {item.key: _value(item.value) for item in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    service=str(about.get("service.name", "")),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    attributes={item.key: _value(item.value) for item in span.attributes},
                    links=[f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links],
                    events=[
                        Event(
                            event.name,
                            event.time_unix_nano,
                            {item.key: _value(item.value) for item in event.attributes},
                        )
                        for event in span.events
                    ],
                    error=(span.status.message or "error") if span.status.code == Status.STATUS_CODE_ERROR else "",
                )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
