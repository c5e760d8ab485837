"""A gRPC server on a unix socket, with the standard health service there and on a TCP port of its own.

The interceptor does for every call: trace context in, span, reason out (status, message, trailers, log), latency by reason,
refusal of calls without a deadline, refusal of new work while draining.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.sockets import DETAIL_TRAILER, ORIGIN_TRAILER, REASON_TRAILER

from vpccni_kit import logs, telemetry
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics

if TYPE_CHECKING:
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    _Interceptor = grpc.aio.ServerInterceptor

log = logging.getLogger(__name__)
Handler = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]
Register = Callable[[grpc.aio.Server], None]
_OPTIONS = (("grpc.max_receive_message_length", 16 * 1024 * 1024), ("grpc.so_reuseport", 0))
_HEALTH = "/grpc.health.v1.Health/"
_DETAILS_MAX, _DETAIL_MAX = 20, 200


def status_code(reason: Reason) -> grpc.StatusCode:
    """The gRPC status of a reason."""
    number = int(ReasonError(reason, "").info.code)
    return next(code for code in grpc.StatusCode if code.value[0] == number)


class CallInterceptor(_Interceptor):
    """See the module docstring. ``refused_while_draining``: full method names that take on new work (AddPod).

    ``opens_traces``: the callers (the plugin) do not sample, this service does it for them.
    """

    def __init__(
        self,
        service: str,
        metrics: Metrics,
        refused_while_draining: Sequence[str] = (),
        *,
        opens_traces: bool = False,
    ) -> None:
        self._service = service
        self._opens_traces = opens_traces
        self._metrics = metrics
        self._refused = frozenset(refused_while_draining)
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self.draining = False
        self.in_flight = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        method: str = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_HEALTH) or handler.unary_unary is None:
            return handler
        made = grpc.unary_unary_rpc_method_handler(
            self._wrap(method, cast(Handler, handler.unary_unary)),
            handler.request_deserializer,
            handler.response_serializer,
        )
        self._wrapped[method] = made
        return made

    def _wrap(self, method: str, inner: Handler) -> Handler:
        short = method.rsplit("/", 1)[-1]
        name = f"{self._service}.{short}"
        refused = method in self._refused
        attributes = {"rpc.system": "grpc", "rpc.method": short, "rpc.service": method.split("/")[1]}
        from_plugin = self._opens_traces

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            outcome = "ok"
            self.in_flight += 1
            metadata = dict(context.invocation_metadata() or ())
            parent = str(metadata.get("traceparent", ""))
            # The plugin opens a trace for the runtime that gave it none, and does not sample: that is left to us.
            undecided = from_plugin and "vpccni-parent" not in metadata
            try:
                with (
                    telemetry.span(name, parent=parent, attributes=attributes, server=True, undecided=undecided),
                    logs.call(),
                ):
                    try:
                        if refused and self.draining:
                            raise ReasonError(Reason.DRAINING, f"{self._service} is shutting down")
                        if context.time_remaining() is None:
                            raise ReasonError(Reason.REQUEST_INVALID, f"{short}: the call has no deadline")
                        answer = await inner(request, context)
                        log.debug("%s done", name, extra={"ms": round(1000 * (time.perf_counter() - started), 2)})
                        return answer
                    except ReasonError as error:
                        outcome = str(error.reason)
                        fields = {"reason": outcome, "origin": error.origin or self._service}
                        log.warning("%s failed: %s", name, error.message, extra=fields)
                        raise
                    except asyncio.CancelledError:
                        outcome = str(Reason.DEADLINE_EXCEEDED)
                        log.warning("%s: the caller gave up", name, extra={"reason": outcome})
                        raise
                    except Exception as error:
                        outcome = str(Reason.INTERNAL)
                        log.exception("%s failed", name, extra={"reason": outcome})
                        raise ReasonError(Reason.INTERNAL, f"{type(error).__name__}: {error}") from error
            except ReasonError as error:
                await context.abort(status_code(error.reason), error.message, _trailers(error, self._service))
            finally:
                self.in_flight -= 1
                trace_id = parent[3:35] if telemetry.exporting() else ""
                self._metrics.rpc_seconds.labels(short, outcome).observe(
                    time.perf_counter() - started, {"trace_id": trace_id} if trace_id else None
                )

        return call


def _trailers(error: ReasonError, service: str) -> tuple[tuple[str, str], ...]:
    """gRPC takes printable ASCII, and a few kilobytes."""
    details = (line.encode("ascii", "backslashreplace").decode()[:_DETAIL_MAX] for line in error.details[:_DETAILS_MAX])
    return (
        (REASON_TRAILER, str(error.reason)),
        (ORIGIN_TRAILER, error.origin or service),
        *((DETAIL_TRAILER, line) for line in details),
    )


class Server:
    """Binds, serves, drains."""

    def __init__(self, interceptor: CallInterceptor, health: HealthBoard) -> None:
        self._interceptor = interceptor
        self._health = health
        self._servers: list[grpc.aio.Server] = []

    async def start(
        self, socket_path: str, register: Register, health_port: int, *, directory_mode: int = 0o755
    ) -> None:
        """Serves on the socket (mode 0600) and health on TCP. Raises OSError or RuntimeError when either cannot be bound."""
        await self._health.publish()
        await self._start_one(f"0.0.0.0:{health_port}", None)
        directory = os.path.dirname(socket_path)
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, directory_mode)
        if os.path.exists(socket_path):
            os.unlink(socket_path)
        previous = os.umask(0o177)
        try:
            await self._start_one(f"unix:{socket_path}", register)
        finally:
            os.umask(previous)
        os.chmod(socket_path, 0o600)

    async def _start_one(self, address: str, register: Register | None) -> None:
        # No interceptor on the health port: nothing but health may be reachable there.
        server = grpc.aio.server(interceptors=(self._interceptor,) if register else (), options=_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        if register is not None:
            register(server)
        if server.add_insecure_port(address) == 0:
            raise OSError(f"cannot bind {address}")
        await server.start()
        self._servers.append(server)

    async def drain(self, grace_s: float) -> None:
        """Refuses new work, answers the rest, waits up to ``grace_s`` seconds for calls in flight, then stops."""
        self._interceptor.draining = True
        await self._health.draining()
        for server in reversed(self._servers):
            await server.stop(grace_s)
