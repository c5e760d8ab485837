"""HTTP/2 (RFC 9113) for one request on one connection, without input or output: bytes in, bytes out, a state.

``UnaryExchange`` is told what arrived (``receive``), gives what to send (``take_output``; ``urgent`` when the stream
cannot go on without it) and says when the stream is done. Only what a client with one stream needs; everything else that a server may send is answered or ignored as the RFC
says.
"""

from __future__ import annotations

from vpccni_plugin.hpack import Decoder, HpackError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM_ID = 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
FLAG_ACK = FLAG_END_STREAM = 0x1
FLAG_END_HEADERS = 0x4
FLAG_PADDED = 0x8
FLAG_PRIORITY = 0x20

SETTING_ENABLE_PUSH = 2
SETTING_INITIAL_WINDOW_SIZE = 4
SETTING_MAX_FRAME_SIZE = 5

REFUSED_STREAM = 7
ERROR_NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

DEFAULT_WINDOW = 65535  # bytes, RFC 9113 section 6.9.2; we announce no other
MAX_FRAME = 16384  # bytes; we announce no other
_MAX_WINDOW = 2**31 - 1
_MAX_HEADER_BLOCK = 65536


class Http2Error(Exception):
    """The connection or the stream is lost. ``retry_safe``: the server says that it has not touched the request."""

    def __init__(self, message: str, retry_safe: bool = False) -> None:
        super().__init__(message)
        self.retry_safe = retry_safe


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One frame. The payload must not be longer than the peer's MAX_FRAME_SIZE."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


_SETTINGS_PAYLOAD = SETTING_ENABLE_PUSH.to_bytes(2, "big") + (0).to_bytes(4, "big")


class UnaryExchange:
    """One request and its response. ``headers`` is the encoded header block, at most MAX_FRAME bytes.

    After ``done``: ``response_headers`` (None when the response was trailers only), ``body`` and ``trailers``.
    """

    def __init__(self, headers: bytes, body: bytes, max_response: int) -> None:
        self.done = False
        self.urgent = True
        self.response_headers: list[tuple[bytes, bytes]] | None = None
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self._max_response = max_response
        self._unsent = memoryview(body)
        self._output = bytearray(
            PREFACE + frame(SETTINGS, 0, 0, _SETTINGS_PAYLOAD) + frame(HEADERS, FLAG_END_HEADERS, STREAM_ID, headers)
        )
        self._input = bytearray()
        self._decoder = Decoder()
        self._connection_window = DEFAULT_WINDOW
        self._stream_window = DEFAULT_WINDOW
        self._initial_window = DEFAULT_WINDOW
        self._peer_max_frame = MAX_FRAME
        self._unacknowledged = 0  # bytes of DATA received since our last WINDOW_UPDATE
        self._block: bytearray | None = None  # header block that awaits CONTINUATION
        self._block_ends_stream = False
        self._sent_all = False
        self._write_data()

    def take_output(self) -> bytes:
        """The bytes to send now; each is given once."""
        out = bytes(self._output)
        self._output.clear()
        self.urgent = False
        return out

    @property
    def has_output(self) -> bool:
        """True when there is something to send; acknowledgements only, unless ``urgent``."""
        return bool(self._output)

    def receive(self, data: bytes) -> None:
        """Takes what arrived, in pieces of any size. Raises Http2Error."""
        buffer = self._input
        buffer += data
        at = 0
        size = len(buffer)
        while size - at >= 9 and not self.done:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if length > MAX_FRAME:
                raise Http2Error(f"frame of {length} bytes: more than was announced")
            end = at + 9 + length
            if end > size:
                break
            stream_id = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFFFFFF
            self._frame(buffer[at + 3], buffer[at + 4], stream_id, bytes(buffer[at + 9 : end]))
            at = end
        del buffer[:at]

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            raise Http2Error("a header block was interrupted")
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, flags, stream_id, payload)
        # Unknown types and PRIORITY are ignored (RFC 9113 sections 4.1, 5.3.2).

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != STREAM_ID:
            raise Http2Error(f"HEADERS on stream {stream_id}")
        payload = _unpad(flags, payload)
        if flags & FLAG_PRIORITY:
            payload = payload[5:]
        self._block = bytearray(payload)
        self._block_ends_stream = flags & FLAG_END_STREAM != 0
        if flags & FLAG_END_HEADERS:
            self._headers_complete()

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or stream_id != STREAM_ID:
            raise Http2Error("CONTINUATION without HEADERS")
        self._block += payload
        if len(self._block) > _MAX_HEADER_BLOCK:
            raise Http2Error(f"header block of more than {_MAX_HEADER_BLOCK} bytes")
        if flags & FLAG_END_HEADERS:
            self._headers_complete()

    def _headers_complete(self) -> None:
        block, self._block = self._block, None
        try:
            headers = self._decoder.decode(bytes(block or b""))
        except HpackError as exc:
            raise Http2Error(f"headers cannot be decoded: {exc}") from None
        if self._block_ends_stream:
            # gRPC: the last header block is the trailers, also when it is the only one.
            self.trailers = headers
            self.done = True
        elif self.response_headers is None:
            if (b":status", b"100") not in headers:
                self.response_headers = headers
        else:
            raise Http2Error("HEADERS in the middle of the response")

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != STREAM_ID or self.response_headers is None:
            raise Http2Error(f"DATA before HEADERS, stream {stream_id}")
        self._unacknowledged += len(payload)
        self.body += _unpad(flags, payload)
        if len(self.body) > self._max_response:
            raise Http2Error(f"response of more than {self._max_response} bytes")
        if flags & FLAG_END_STREAM:
            self.done = True
        elif self._unacknowledged >= DEFAULT_WINDOW // 2:
            increment = self._unacknowledged.to_bytes(4, "big")
            self._output += frame(WINDOW_UPDATE, 0, 0, increment) + frame(WINDOW_UPDATE, 0, STREAM_ID, increment)
            self._unacknowledged = 0
            self.urgent = True

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & FLAG_ACK:
            return
        if stream_id or len(payload) % 6:
            raise Http2Error("malformed SETTINGS")
        for at in range(0, len(payload), 6):
            key = int.from_bytes(payload[at : at + 2], "big")
            value = int.from_bytes(payload[at + 2 : at + 6], "big")
            if key == SETTING_INITIAL_WINDOW_SIZE:
                if value > _MAX_WINDOW:
                    raise Http2Error(f"INITIAL_WINDOW_SIZE {value}")
                self._stream_window += value - self._initial_window
                self._initial_window = value
            elif key == SETTING_MAX_FRAME_SIZE:
                if not MAX_FRAME <= value < 1 << 24:
                    raise Http2Error(f"MAX_FRAME_SIZE {value}")
                self._peer_max_frame = value
        self._output += frame(SETTINGS, FLAG_ACK, 0, b"")
        self._write_data()

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Http2Error("malformed WINDOW_UPDATE")
        increment = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if stream_id == 0:
            self._connection_window += increment
        elif stream_id == STREAM_ID:
            self._stream_window += increment
        if increment == 0 or self._connection_window > _MAX_WINDOW or self._stream_window > _MAX_WINDOW:
            raise Http2Error(f"WINDOW_UPDATE by {increment}")
        self._write_data()

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id or len(payload) != 8:
            raise Http2Error("malformed PING")
        if not flags & FLAG_ACK:
            self._output += frame(PING, FLAG_ACK, 0, payload)

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Http2Error("malformed RST_STREAM")
        if stream_id == STREAM_ID:
            code = int.from_bytes(payload, "big")
            raise Http2Error(f"the server reset the call: {_error_name(code)}", code == REFUSED_STREAM)

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id or len(payload) < 8:
            raise Http2Error("malformed GOAWAY")
        last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        code = int.from_bytes(payload[4:8], "big")
        # A server that drains names our stream and still answers it (RFC 9113 section 6.8).
        if last < STREAM_ID or code:
            raise Http2Error(f"the server goes away: {_error_name(code)}", last < STREAM_ID)

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise Http2Error("PUSH_PROMISE though push is off")

    def _write_data(self) -> None:
        """Sends as much of the request as both windows allow; the last frame ends the stream."""
        while not self._sent_all:
            size = min(len(self._unsent), self._peer_max_frame, self._connection_window, self._stream_window)
            if size <= 0 and self._unsent:
                return
            last = size == len(self._unsent)
            self._output += frame(DATA, FLAG_END_STREAM if last else 0, STREAM_ID, bytes(self._unsent[:size]))
            self._unsent = self._unsent[size:]
            self._connection_window -= size
            self._stream_window -= size
            self._sent_all = last
            self.urgent = True


def _unpad(flags: int, payload: bytes) -> bytes:
    """Without padding (RFC 9113 section 6.1)."""
    if not flags & FLAG_PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Http2Error("padding longer than the frame")
    return payload[1 : len(payload) - payload[0]]


def _error_name(code: int) -> str:
    return ERROR_NAMES[code] if code < len(ERROR_NAMES) else f"error {code}"


_HANDLERS: dict[int, Callable[[UnaryExchange, int, int, bytes], None]] = {
    DATA: UnaryExchange._on_data,
    HEADERS: UnaryExchange._on_headers,
    RST_STREAM: UnaryExchange._on_rst_stream,
    SETTINGS: UnaryExchange._on_settings,
    PUSH_PROMISE: UnaryExchange._on_push_promise,
    PING: UnaryExchange._on_ping,
    GOAWAY: UnaryExchange._on_goaway,
    WINDOW_UPDATE: UnaryExchange._on_window_update,
    CONTINUATION: UnaryExchange._on_continuation,
}
