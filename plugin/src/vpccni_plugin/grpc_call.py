"""One unary gRPC call on a new connection to a unix socket (gRPC over HTTP/2, grpc/doc/PROTOCOL-HTTP2).

Input and output are here, the protocol is in http2.py. Every wait ends at the call's deadline.
"""

from __future__ import annotations

import _socket
import time

from vpccni_plugin.errors import PluginError, TransportError, from_status
from vpccni_plugin.hpack import encode_literal
from vpccni_plugin.http2 import Http2Error, UnaryExchange
from vpccni_plugin.reason_table import ORIGIN_TRAILER, REASON_TRAILER, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RESPONSE = 4 << 20  # bytes, gRPC's usual limit
_RECEIVE_SIZE = 65536
_ACK_DELAY_S = 0.05

# :method POST and :scheme http are entries 3 and 6 of the static table; the rest are literals.
_FIXED_HEADERS = (
    b"\x83\x86"
    + encode_literal(b":authority", b"localhost")
    + encode_literal(b"te", b"trailers")
    + encode_literal(b"content-type", b"application/grpc")
    + encode_literal(b"user-agent", b"vpccni-plugin/" + VERSION.encode())
)


def request_headers(path: str, timeout_ms: int, metadata: Sequence[tuple[str, str]]) -> bytes:
    """The encoded header block. ``metadata``: lower-case names, ASCII values."""
    # Pseudo-headers come first (RFC 9113 section 8.3).
    block = b"\x83\x86" + encode_literal(b":path", path.encode()) + _FIXED_HEADERS[2:]
    # grpc-timeout has at most eight digits.
    block += encode_literal(b"grpc-timeout", f"{min(timeout_ms, 99_999_999)}m".encode())
    for name, value in metadata:
        block += encode_literal(name.encode(), value.encode())
    return block


def call(
    socket_path: str,
    method: str,
    request: bytes,
    metadata: Sequence[tuple[str, str]],
    timeout_s: float,
) -> bytes:
    """The response message's bytes. ``method``: "/package.Service/Method".

    Raises PluginError when ipam answers with a failure, TransportError when there is no answer.
    """
    deadline = time.monotonic() + timeout_s
    try:
        return _attempt(socket_path, method, request, metadata, deadline)
    except _RefusedUntouchedError:
        # gRPC's transparent retry: a server that drains refused the stream before it reached a handler.
        return _attempt(socket_path, method, request, metadata, deadline)


class _RefusedUntouchedError(TransportError):
    """The server did not touch the request, so that sending it again is safe."""


def _attempt(
    socket_path: str, method: str, request: bytes, metadata: Sequence[tuple[str, str]], deadline: float
) -> bytes:
    left = deadline - time.monotonic()
    headers = request_headers(method, max(1, int(left * 1000)), metadata)
    body = b"\x00" + len(request).to_bytes(4, "big") + request
    exchange = UnaryExchange(headers, body, MAX_RESPONSE + 5)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        _set_timeout(connection, deadline)
        connection.connect(socket_path.encode())
        while not exchange.done:
            if exchange.urgent:
                _send(connection, exchange.take_output())
            data = _receive(connection, exchange, deadline)
            if not data:
                raise TransportError("IPAM_UNREACHABLE", f"ipam closed {socket_path} before it answered")
            exchange.receive(data)
    except TimeoutError:
        raise _deadline_exceeded(socket_path) from None
    except OSError as exc:
        raise TransportError("IPAM_UNREACHABLE", f"{socket_path}: {exc.strerror or exc}") from None
    except Http2Error as exc:
        kind = _RefusedUntouchedError if exc.retry_safe else TransportError
        raise kind("IPAM_UNREACHABLE", f"{socket_path}: {exc}") from None
    finally:
        connection.close()
    return _response(exchange)


def _receive(connection: _socket.socket, exchange: UnaryExchange, deadline: float) -> bytes:
    """What arrives next; empty at the end. Raises TimeoutError at the deadline.

    Acknowledgements wait a moment for the answer, after which nobody needs them: each would wake the server up while it
    works on the call (a tenth of a short call's time).
    """
    if exchange.has_output:
        _set_timeout(connection, min(deadline, time.monotonic() + _ACK_DELAY_S))
        try:
            return connection.recv(_RECEIVE_SIZE)
        except TimeoutError:
            _set_timeout(connection, deadline)
            _send(connection, exchange.take_output())
    _set_timeout(connection, deadline)
    return connection.recv(_RECEIVE_SIZE)


def _send(connection: _socket.socket, data: bytes) -> None:
    """A server that has answered may close before it reads all that we say; what it said is still to be read."""
    try:
        if data:
            connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def _deadline_exceeded(socket_path: str) -> TransportError:
    return TransportError("DEADLINE_EXCEEDED", f"ipam at {socket_path} did not answer in time")


def _set_timeout(connection: _socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _response(exchange: UnaryExchange) -> bytes:
    trailers = dict(exchange.trailers)
    headers = trailers if exchange.response_headers is None else dict(exchange.response_headers)
    http_status = headers.get(b":status", b"")
    status = trailers.get(b"grpc-status", b"")
    if not status.isdigit():
        # Not a gRPC server, or one that ended the stream without trailers.
        raise TransportError(
            "IPAM_UNREACHABLE", f"no gRPC status in the answer (HTTP status {http_status.decode('latin-1')})"
        )
    if status != b"0":
        message = _percent_decode(trailers.get(b"grpc-message", b""))
        reason = trailers.get(REASON_TRAILER.encode(), b"").decode("latin-1")
        origin = trailers.get(ORIGIN_TRAILER.encode(), b"").decode("latin-1")
        raise from_status(int(status), message, reason, origin)
    body = exchange.body
    if len(body) < 5 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise PluginError("INTERNAL", f"the answer of {len(body)} bytes is not one gRPC message")
    if body[0]:
        raise PluginError("INTERNAL", "the answer is compressed though that was not offered")
    return bytes(body[5:])


def _percent_decode(data: bytes) -> str:
    """grpc-message: percent-encoded UTF-8; what is not decodable stays as it is, as gRPC asks."""
    head, *rest = data.split(b"%")
    out = bytearray(head)
    for part in rest:
        try:
            out.append(int(part[:2], 16) if len(part) >= 2 and part[:2].isalnum() else -1)
            out += part[2:]
        except ValueError:
            out += b"%" + part
    return out.decode("utf-8", "replace")
