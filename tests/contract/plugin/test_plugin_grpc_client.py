"""The plugin's gRPC client held against grpcio and, frame by frame, against what RFC 9113 lets a server do."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from vpccni_api.ipam.v1 import ipam_pb2
from vpccni_plugin.errors import PluginError, TransportError
from vpccni_plugin.grpc_call import call

METHOD = "/vpccni.ipam.v1.Ipam/AddPod"
Serve = Callable[..., str]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x4, 0x8, 0x20


def literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


RESPONSE_HEADERS = b"\x88" + literal(b"content-type", b"application/grpc")
OK_TRAILERS = literal(b"grpc-status", b"0")


def message(payload: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(payload)) + payload


def answer(peer: Any, payload: bytes = b"answer") -> None:
    peer.send(SETTINGS, 0, 0, b"")
    peer.send(HEADERS, END_HEADERS, 1, RESPONSE_HEADERS)
    peer.send(DATA, 0, 1, message(payload))
    peer.send(HEADERS, END_HEADERS | END_STREAM, 1, OK_TRAILERS)


def do(path: str, request: bytes = b"request", timeout_s: float = 20.0) -> bytes:
    return call(path, METHOD, request, (("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"),), timeout_s)


class TestAgainstGrpcio:
    def test_success(self, ipam: Any, folder: Path) -> None:
        request = ipam_pb2.AddPodRequest(netns="/run/netns/é", started_unix_ns=2**63)
        response = do(str(folder / "ipam.sock"), request.SerializeToString())
        assert ipam_pb2.AddPodResponse.FromString(response) == ipam.answers["AddPod"]
        ((method, received, metadata, remaining),) = ipam.calls
        assert (method, received) == ("AddPod", request)
        assert metadata["traceparent"] == "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
        assert 0 < remaining <= 20

    @pytest.mark.parametrize("text", ["plain", "100% é ü\n漢字 😀", "", "%41%"])
    def test_failure_keeps_reason_origin_and_message(self, ipam: Any, folder: Path, text: str) -> None:
        trailers = (("vpccni-reason", "ENI_LIMIT"), ("vpccni-origin", "eni-manager"))
        ipam.answers["AddPod"] = type(ipam).refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, text, trailers)
        with pytest.raises(PluginError) as caught:
            do(str(folder / "ipam.sock"), b"")
        error = caught.value
        assert (error.reason, error.message, error.origin, error.code) == ("ENI_LIMIT", text, "eni-manager", 11)
        assert not isinstance(error, TransportError)

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (grpc.StatusCode.UNAVAILABLE, "IPAM_UNREACHABLE"),
            (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
            (grpc.StatusCode.UNIMPLEMENTED, "VERSION_SKEW"),
            (grpc.StatusCode.UNKNOWN, "INTERNAL"),
        ],
    )
    def test_failure_without_reason(self, ipam: Any, folder: Path, status: grpc.StatusCode, reason: str) -> None:
        ipam.answers["AddPod"] = type(ipam).refusal(status, "text")
        with pytest.raises(PluginError, match="text") as caught:
            do(str(folder / "ipam.sock"), b"")
        assert caught.value.reason == reason

    def test_method_that_the_server_lacks(self, ipam: Any, folder: Path) -> None:
        with pytest.raises(PluginError) as caught:
            call(str(folder / "ipam.sock"), "/vpccni.ipam.v1.Ipam/Newer", b"", (), 20.0)
        assert caught.value.reason == "VERSION_SKEW"

    @pytest.mark.parametrize("size", [0, 1, 16379, 16380, 65535, 65536, 200_000, 3_900_000])
    def test_sizes_in_both_directions(self, ipam: Any, folder: Path, size: int) -> None:
        """Past one frame (16 KiB) and past the initial window (64 KiB), where both sides need WINDOW_UPDATE."""
        text = "x" * size
        ipam.answers["AddPod"] = lambda request: ipam_pb2.AddPodResponse(
            result=ipam_pb2.CniResult(interfaces=[ipam_pb2.ResultInterface(name=request.netns)])
        )
        request = ipam_pb2.AddPodRequest(netns=text).SerializeToString()
        response = ipam_pb2.AddPodResponse.FromString(do(str(folder / "ipam.sock"), request))
        assert response.result.interfaces[0].name == text

    def test_answer_over_the_limit(self, ipam: Any, folder: Path) -> None:
        ipam.answers["AddPod"] = ipam_pb2.AddPodResponse(
            result=ipam_pb2.CniResult(interfaces=[ipam_pb2.ResultInterface(name="x" * (4 << 20))])
        )
        with pytest.raises(TransportError, match="more than"):
            do(str(folder / "ipam.sock"), b"")

    def test_deadline_while_the_handler_works(self, ipam: Any, folder: Path) -> None:
        import threading

        release = threading.Event()
        ipam.answers["AddPod"] = lambda request: release.wait(30) and ipam_pb2.AddPodResponse()
        try:
            with pytest.raises(PluginError) as caught:
                do(str(folder / "ipam.sock"), b"", timeout_s=0.3)
            assert caught.value.reason == "DEADLINE_EXCEEDED"
        finally:
            release.set()


class TestFrames:
    def test_answer_in_single_bytes(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            assert peer.read_request() == b"request"
            recorded: list[bytes] = []
            answer(type("Recorder", (), {"send": lambda self, *parts: recorded.append(peer.frame(*parts))})())
            for byte in b"".join(recorded):
                peer.send_raw(bytes([byte]))

        assert do(serve(script)) == b"answer"

    def test_request_headers(self, serve: Serve) -> None:
        """Checked by decoding with a table of our own: every header is a literal but the two static ones."""
        blocks: list[bytes] = []

        def script(peer: Any) -> None:
            peer.read_preface()
            settings, headers = peer.read_frame(), peer.read_frame()
            assert (settings.kind, settings.payload) == (SETTINGS, struct.pack(">HI", 2, 0))
            assert (headers.kind, headers.flags, headers.stream) == (HEADERS, END_HEADERS, 1)
            blocks.append(headers.payload)
            answer(peer)

        do(serve(script), timeout_s=7.5)
        block = blocks[0]
        assert block[:2] == b"\x83\x86"  # :method POST, :scheme http
        headers: list[tuple[bytes, bytes]] = []
        at = 2
        while at < len(block):
            assert block[at] == 0
            name_end = at + 2 + block[at + 1]
            value_end = name_end + 1 + block[name_end]
            headers.append((block[at + 2 : name_end], block[name_end + 1 : value_end]))
            at = value_end
        names = [name for name, _ in headers]
        assert names[:2] == [b":path", b":authority"]
        values = dict(headers)
        assert values[b":path"] == METHOD.encode()
        assert values[b"te"] == b"trailers"
        assert values[b"content-type"] == b"application/grpc"
        assert values[b"grpc-timeout"][-1:] == b"m"
        assert 0 < int(values[b"grpc-timeout"][:-1]) <= 7500

    def test_ping_is_acknowledged(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(PING, 0, 0, b"12345678")
            frame = peer.read_frame()
            assert (frame.kind, frame.flags, frame.payload) == (PING, 1, b"12345678")
            answer(peer)

        assert do(serve(script)) == b"answer"

    def test_settings_are_acknowledged_and_their_ack_ignored(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(SETTINGS, 0, 0, struct.pack(">HIHI", 3, 100, 0x99, 7))
            frame = peer.read_frame()
            assert (frame.kind, frame.flags, frame.payload) == (SETTINGS, 1, b"")
            peer.send(SETTINGS, 1, 0, b"")
            answer(peer)

        assert do(serve(script)) == b"answer"

    def test_request_waits_for_both_windows(self, serve: Serve) -> None:
        """Never more than was granted: the peer counts, and grants the stream and the connection by turns."""
        size = 150_000

        def script(peer: Any) -> None:
            peer.read_preface()
            received = 0
            granted = {0: 65535, 1: 65535}
            while received < size + 5:
                frame = peer.read_frame()
                if frame.kind == DATA:
                    assert len(frame.payload) <= 16384
                    received += len(frame.payload)
                    assert received <= min(granted.values())
                    if received == min(granted.values()):
                        for stream in (1, 0):
                            peer.send(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1000))
                            granted[stream] += 1000
            assert frame.flags & END_STREAM
            answer(peer)

        assert do(serve(script), b"r" * size) == b"answer"

    def test_smaller_initial_window_makes_the_window_negative(self, serve: Serve) -> None:
        size = 70_000

        def script(peer: Any) -> None:
            peer.read_preface()
            received = 0
            while received < 65535:
                frame = peer.read_frame()
                received += len(frame.payload) if frame.kind == DATA else 0
            peer.send(SETTINGS, 0, 0, struct.pack(">HI", 4, 10))  # stream window: 10 - 65535
            peer.send(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100_000))
            peer.send(PING, 0, 0, b"........")
            while peer.read_frame().kind != PING:  # all that the client says before it knows of more window
                pass
            peer.send(WINDOW_UPDATE, 0, 1, struct.pack(">I", 65535))  # now 10
            frame = peer.read_frame()
            assert (frame.kind, len(frame.payload)) == (DATA, 10)
            peer.send(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))
            received += 10
            while received < size + 5:
                frame = peer.read_frame()
                received += len(frame.payload) if frame.kind == DATA else 0
            answer(peer)

        assert do(serve(script), b"r" * size) == b"answer"

    def test_larger_frames_when_the_server_allows_them(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_preface()
            peer.send(SETTINGS, 0, 0, struct.pack(">HIHI", 5, 1 << 20, 4, 1 << 20))
            peer.send(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20))
            largest = 0
            while True:
                frame = peer.read_frame()
                if frame.kind == DATA:
                    largest = max(largest, len(frame.payload))
                    if frame.flags & END_STREAM:
                        break
            assert largest > 16384
            answer(peer)

        assert do(serve(script), b"r" * 500_000) == b"answer"

    def test_answer_needs_window_updates_from_us(self, serve: Serve) -> None:
        """The peer sends only what we granted."""
        payload = bytes(range(256)) * 1000
        whole = message(payload)

        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(HEADERS, END_HEADERS, 1, RESPONSE_HEADERS)
            window = {0: 65535, 1: 65535}
            sent = 0
            while sent < len(whole):
                size = min(16384, len(whole) - sent, *window.values())
                if size == 0:
                    frame = peer.read_frame()
                    if frame.kind == WINDOW_UPDATE:
                        window[frame.stream] += struct.unpack(">I", frame.payload)[0]
                    continue
                peer.send(DATA, 0, 1, whole[sent : sent + size])
                sent += size
                window = {stream: left - size for stream, left in window.items()}
            peer.send(HEADERS, END_HEADERS | END_STREAM, 1, OK_TRAILERS)

        assert do(serve(script)) == payload

    def test_continuation_padding_priority_and_unknown_frames(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(SETTINGS, 0, 0, b"")
            peer.send(0x42, 0xFF, 9, b"of a later version")
            peer.send(PRIORITY, 0, 1, b"\0\0\0\0\x10")
            padded = b"\x04" + b"\0\0\0\0\x10" + RESPONSE_HEADERS[:3] + b"\0" * 4
            peer.send(HEADERS, PADDED | WITH_PRIORITY, 1, padded)
            peer.send(CONTINUATION, 0, 1, RESPONSE_HEADERS[3:9])
            peer.send(CONTINUATION, END_HEADERS, 1, RESPONSE_HEADERS[9:])
            body = message(b"answer")
            peer.send(DATA, PADDED, 1, b"\x05" + body[:4] + b"\0" * 5)
            peer.send(DATA, 0, 1, b"")
            peer.send(DATA, PADDED, 1, b"\0" + body[4:])
            peer.send(HEADERS, END_STREAM, 1, OK_TRAILERS[:5])
            peer.send(CONTINUATION, END_HEADERS, 1, OK_TRAILERS[5:])

        assert do(serve(script)) == b"answer"

    def test_dynamic_table_and_huffman(self, serve: Serve) -> None:
        """Trailers that are only an index into what the headers put into the table; a Huffman-coded value."""

        def script(peer: Any) -> None:
            peer.read_request()
            huffman_302 = b"\x82\x64\x02"  # RFC 7541 appendix C.6.1: two bytes for "302"
            indexed = b"\x40" + bytes([11]) + b"grpc-status" + b"\x01" + b"0"
            peer.send(HEADERS, END_HEADERS, 1, b"\x88" + indexed + literal(b"x", b"")[:-1] + huffman_302)
            peer.send(DATA, 0, 1, message(b"answer"))
            peer.send(HEADERS, END_HEADERS | END_STREAM, 1, b"\xbe")  # index 62: newest entry

        assert do(serve(script)) == b"answer"

    def test_informational_headers_come_first(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(HEADERS, END_HEADERS, 1, literal(b":status", b"100"))
            answer(peer)

        assert do(serve(script)) == b"answer"

    def test_trailers_only(self, serve: Serve) -> None:
        block = (
            RESPONSE_HEADERS
            + literal(b"grpc-status", b"14")
            + literal(b"grpc-message", b"later%2C%20%C3%A9%")
            + literal(b"vpccni-reason", b"DRAINING")
            + literal(b"vpccni-origin", b"ipam")
        )

        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(HEADERS, END_HEADERS | END_STREAM, 1, block)

        with pytest.raises(PluginError) as caught:
            do(serve(script))
        assert (caught.value.reason, caught.value.message) == ("DRAINING", "later, é%")
        assert not isinstance(caught.value, TransportError)

    def test_answer_before_the_request_is_sent(self, serve: Serve) -> None:
        """A server may refuse a large request without reading it."""

        def script(peer: Any) -> None:
            peer.read_preface()
            block = RESPONSE_HEADERS + literal(b"grpc-status", b"8")
            peer.send(HEADERS, END_HEADERS | END_STREAM, 1, block)
            while True:
                peer.read_frame()

        with pytest.raises(PluginError) as caught:
            do(serve(script), b"r" * 900_000)
        assert not isinstance(caught.value, TransportError)


class TestServerGoesAway:
    def test_goaway_before_the_stream_is_retried(self, serve: Serve) -> None:
        def refuse(peer: Any) -> None:
            peer.read_request()
            peer.send(GOAWAY, 0, 0, struct.pack(">II", 0, 0))

        def accept(peer: Any) -> None:
            assert peer.read_request() == b"request"
            answer(peer)

        assert do(serve(refuse, accept)) == b"answer"

    def test_goaway_twice(self, serve: Serve) -> None:
        def refuse(peer: Any) -> None:
            peer.read_request()
            peer.send(GOAWAY, 0, 0, struct.pack(">II", 0, 0))

        with pytest.raises(TransportError, match="goes away: NO_ERROR"):
            do(serve(refuse, refuse))

    def test_goaway_that_names_our_stream_still_answers(self, serve: Serve) -> None:
        """How a grpcio server drains: GOAWAY(2^31-1), PING, GOAWAY(1), then the answer."""

        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(GOAWAY, 0, 0, struct.pack(">II", 2**31 - 1, 0) + b"draining")
            peer.send(PING, 0, 0, b"........")
            peer.send(GOAWAY, 0, 0, struct.pack(">II", 1, 0))
            answer(peer)

        assert do(serve(script)) == b"answer"

    def test_goaway_with_an_error(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(GOAWAY, 0, 0, struct.pack(">II", 1, 11))

        with pytest.raises(TransportError, match="ENHANCE_YOUR_CALM"):
            do(serve(script))

    def test_refused_stream_is_retried(self, serve: Serve) -> None:
        def refuse(peer: Any) -> None:
            peer.read_request()
            peer.send(RST_STREAM, 0, 1, struct.pack(">I", 7))

        def accept(peer: Any) -> None:
            peer.read_request()
            answer(peer)

        assert do(serve(refuse, accept)) == b"answer"

    @pytest.mark.parametrize(("code", "name"), [(2, "INTERNAL_ERROR"), (8, "CANCEL"), (99, "error 99")])
    def test_reset_is_not_retried(self, serve: Serve, code: int, name: str) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(RST_STREAM, 0, 1, struct.pack(">I", code))

        def unexpected(peer: Any) -> None:
            raise AssertionError("the call was repeated")

        with pytest.raises(TransportError, match=name) as caught:
            do(serve(script, unexpected))
        assert caught.value.reason == "IPAM_UNREACHABLE"

    @pytest.mark.parametrize("sent", range(4))
    def test_dies_in_the_middle(self, serve: Serve, sent: int) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            steps = (
                peer.frame(SETTINGS, 0, 0, b""),
                peer.frame(HEADERS, END_HEADERS, 1, RESPONSE_HEADERS),
                peer.frame(DATA, 0, 1, message(b"answer")),
                b"\0\0",
            )
            peer.send_raw(b"".join(steps[:sent]))

        with pytest.raises(TransportError) as caught:
            do(serve(script))
        assert caught.value.reason == "IPAM_UNREACHABLE"

    def test_never_answers(self, serve: Serve) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            while True:
                peer.read_frame()  # until the client gives up

        with pytest.raises(TransportError) as caught:
            do(serve(script), timeout_s=0.2)
        assert caught.value.reason == "DEADLINE_EXCEEDED"

    def test_talks_but_never_answers(self, serve: Serve) -> None:
        """PINGs must not extend the deadline."""

        def script(peer: Any) -> None:
            peer.read_request()
            while True:
                peer.send(PING, 0, 0, b"........")
                peer.read_frame()

        with pytest.raises(TransportError) as caught:
            do(serve(script), timeout_s=0.2)
        assert caught.value.reason == "DEADLINE_EXCEEDED"

    def test_never_reads(self, serve: Serve) -> None:
        """Nothing is read until the client has given up; more than the socket's buffers hold."""
        import threading

        given_up = threading.Event()

        def script(peer: Any) -> None:
            peer.send(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
            peer.send(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30))
            given_up.wait(30)

        try:
            with pytest.raises(TransportError) as caught:
                do(serve(script), b"r" * 4_000_000, timeout_s=0.3)
            assert caught.value.reason == "DEADLINE_EXCEEDED"
        finally:
            given_up.set()

    def test_no_socket(self, folder: Path) -> None:
        with pytest.raises(TransportError, match="No such file") as caught:
            do(str(folder / "none.sock"))
        assert caught.value.reason == "IPAM_UNREACHABLE"

    def test_nobody_listens(self, folder: Path) -> None:
        import socket

        path = str(folder / "dead.sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        with pytest.raises(TransportError, match="refused"):
            do(path)

    def test_not_a_socket(self, folder: Path) -> None:
        (folder / "file").write_text("")
        with pytest.raises(TransportError):
            do(str(folder / "file"))


BROKEN = {
    "HTTP/1.1 server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "frame too long": b"\xff\xff\xff\0\0\0\0\0\1",
    "SETTINGS of 5 bytes": b"\0\0\5\4\0\0\0\0\0" + b"\0" * 5,
    "SETTINGS on a stream": b"\0\0\0\4\0\0\0\0\1",
    "initial window too large": b"\0\0\6\4\0\0\0\0\0" + struct.pack(">HI", 4, 2**31),
    "max frame too small": b"\0\0\6\4\0\0\0\0\0" + struct.pack(">HI", 5, 100),
    "WINDOW_UPDATE by 0": b"\0\0\4\x08\0\0\0\0\0" + b"\0" * 4,
    "window overflow": b"\0\0\4\x08\0\0\0\0\1" + b"\x7f\xff\xff\xff",
    "WINDOW_UPDATE of 3 bytes": b"\0\0\3\x08\0\0\0\0\1" + b"\0\0\1",
    "PING of 7 bytes": b"\0\0\7\6\0\0\0\0\0" + b"\0" * 7,
    "RST_STREAM of 3 bytes": b"\0\0\3\3\0\0\0\0\1" + b"\0" * 3,
    "GOAWAY of 4 bytes": b"\0\0\4\7\0\0\0\0\0" + b"\0" * 4,
    "PUSH_PROMISE": b"\0\0\4\5\4\0\0\0\1" + b"\0\0\0\2",
    "DATA before HEADERS": b"\0\0\1\0\0\0\0\0\1" + b"x",
    "HEADERS on stream 3": b"\0\0\1\1\4\0\0\0\3" + b"\x88",
    "CONTINUATION alone": b"\0\0\1\x09\4\0\0\0\1" + b"\x88",
    "block interrupted": b"\0\0\1\1\0\0\0\0\1" + b"\x88" + b"\0\0\0\4\0\0\0\0\0",
    "padding longer than frame": b"\0\0\2\1\x0c\0\0\0\1" + b"\x09\x88",
    "index in neither table": b"\0\0\1\1\4\0\0\0\1" + b"\xbe",
    "header block cut off": b"\0\0\2\1\4\0\0\0\1" + b"\x00\x05",
    "headers twice": b"\0\0\1\1\4\0\0\0\1\x88" * 2,
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
def test_protocol_errors_end_the_call(serve: Serve, sent: bytes) -> None:
    def script(peer: Any) -> None:
        peer.read_request()
        peer.send_raw(sent)
        while True:
            peer.read_frame()

    with pytest.raises(TransportError) as caught:
        do(serve(script))
    assert caught.value.reason == "IPAM_UNREACHABLE"


NOT_ONE_MESSAGE = {
    "nothing": b"",
    "cut off": message(b"answer")[:-1],
    "two": message(b"a") + message(b"b"),
    "compressed": b"\1" + message(b"answer")[1:],
}


@pytest.mark.parametrize("body", NOT_ONE_MESSAGE.values(), ids=NOT_ONE_MESSAGE.keys())
def test_status_ok_without_exactly_one_message(serve: Serve, body: bytes) -> None:
    def script(peer: Any) -> None:
        peer.read_request()
        peer.send(HEADERS, END_HEADERS, 1, RESPONSE_HEADERS)
        peer.send(DATA, 0, 1, body)
        peer.send(HEADERS, END_HEADERS | END_STREAM, 1, OK_TRAILERS)

    with pytest.raises(PluginError) as caught:
        do(serve(script))
    assert caught.value.reason == "INTERNAL"


def test_http_error_without_grpc_status(serve: Serve) -> None:
    def script(peer: Any) -> None:
        peer.read_request()
        peer.send(HEADERS, END_HEADERS, 1, literal(b":status", b"503"))
        peer.send(DATA, END_STREAM, 1, b"<html>")

    with pytest.raises(TransportError, match="HTTP status 503"):
        do(serve(script))
