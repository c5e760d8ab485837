"""Client side: one kept channel to a peer's unix socket; errors come back as ReasonError with the peer's reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

import grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.sockets import DETAIL_TRAILER, ORIGIN_TRAILER, REASON_TRAILER

from vpccni_kit import telemetry

Response = TypeVar("Response")

# A peer that restarts is back within a second: reconnect fast.
_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5000),  # in truth how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
)


class Channel:
    """A channel to ``peer`` at ``socket_path``. ``unreachable``: the reason when nobody answers there."""

    def __init__(self, socket_path: str, peer: str, unreachable: Reason) -> None:
        self._peer = peer
        self._unreachable = unreachable
        self.grpc_channel = grpc.aio.insecure_channel(f"unix:{socket_path}", options=_OPTIONS)

    async def close(self) -> None:
        await self.grpc_channel.close(None)

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Any, Response], request: Any, timeout: float
    ) -> Response:
        """One unary call that must end within ``timeout`` seconds. Raises ReasonError."""
        if timeout <= 0:
            raise ReasonError(Reason.DEADLINE_EXCEEDED, f"no time left to call {self._peer}")
        try:
            return await method(request, timeout=timeout, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            raise self._mapped(error) from error

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Any, Response], request: Any
    ) -> AsyncIterator[Response]:
        """A server stream without an end; ends with ReasonError when the peer goes away."""
        try:
            async for message in method(request, metadata=self._metadata()):
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._mapped(error) from error

    @staticmethod
    def _metadata() -> grpc.aio.Metadata:
        traceparent = telemetry.current_traceparent()
        return grpc.aio.Metadata(("traceparent", traceparent)) if traceparent else grpc.aio.Metadata()

    def _mapped(self, error: grpc.aio.AioRpcError) -> ReasonError:
        pairs: list[tuple[str, Any]] = list(error.trailing_metadata() or ())  # type: ignore[arg-type]  # aio.Metadata iterates over pairs
        trailers = dict(pairs)
        name = str(trailers.get(REASON_TRAILER, ""))
        message = error.details() or error.code().name
        if name in Reason.__members__:
            origin = str(trailers.get(ORIGIN_TRAILER, self._peer))
            details = tuple(str(value) for key, value in pairs if key == DETAIL_TRAILER)
            return ReasonError(Reason(name), message, origin=origin, details=details)
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ReasonError(Reason.DEADLINE_EXCEEDED, f"{self._peer} did not answer in time", origin=self._peer)
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return ReasonError(self._unreachable, f"{self._peer}: {message}")
        return ReasonError(Reason.INTERNAL, f"{self._peer}: {error.code().name}: {message}", origin=self._peer)
