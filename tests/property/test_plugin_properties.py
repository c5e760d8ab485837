"""The plugin's own JSON, protobuf, HPACK and HTTP/2 against the libraries that it does without."""

from __future__ import annotations

import itertools
import json
import math
import struct
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from vpccni_api.ipam.v1 import ipam_pb2
from vpccni_plugin import messages
from vpccni_plugin.hpack import Decoder, HpackError, encode_literal
from vpccni_plugin.http2 import Http2Error, UnaryExchange
from vpccni_plugin.huffman import CODE_LENGTHS, HuffmanError, huffman_decode
from vpccni_plugin.jsonlite import JsonError, dumps, loads
from vpccni_plugin.protowire import WireError, decode, encode, to_json_names

text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


class TestJson:
    @settings(deadline=None)
    @given(values, st.booleans(), st.sampled_from([None, 2]))
    def test_reads_what_json_writes(self, value: Any, ascii_only: bool, indent: int | None) -> None:
        written = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
        assert loads(written.encode()) == value

    @settings(deadline=None)
    @given(values)
    def test_json_reads_what_we_write(self, value: Any) -> None:
        assert json.loads(dumps(value)) == value

    @settings(deadline=None)
    @given(st.text(st.sampled_from('{}[]:,"\\/ \n\t0123456789.eE+-truefalsn\0aé😀')))
    def test_refuses_exactly_what_json_refuses(self, source: str) -> None:
        def refuse(name: str) -> None:
            raise ValueError(name)

        expected: Any
        try:
            expected = json.loads(source, parse_constant=refuse)
        except (ValueError, RecursionError):
            expected = JsonError
        found: Any
        try:
            found = loads(source.encode())
        except JsonError:
            found = JsonError
        if found is JsonError and expected is not JsonError:
            # json turns 1e999 into infinity and 500 digits into a number; those we refuse.
            assert "inf" in repr(expected) or len(source) > 60
        else:
            assert repr(found) == repr(expected)

    @settings(deadline=None)
    @given(st.binary())
    def test_any_bytes_are_a_value_or_a_json_error(self, data: bytes) -> None:
        try:
            loads(data)
        except JsonError:
            return


# ---- protobuf ----

interfaces = st.builds(ipam_pb2.ResultInterface, name=text, mac=text, sandbox=text)
ips = st.builds(ipam_pb2.ResultIp, address=text, gateway=text, interface=st.integers(0, 2**32 - 1))
results = st.builds(ipam_pb2.CniResult, interfaces=st.lists(interfaces, max_size=4), ips=st.lists(ips, max_size=4))
keys = st.builds(ipam_pb2.PodInterface, network_name=text, container_id=text, ifname=text)
pods = st.builds(ipam_pb2.PodIdentity, namespace=text, name=text, uid=text, infra_container_id=text)
confs = st.builds(ipam_pb2.PodNetConf, veth_prefix=text, mtu=st.integers(0, 2**32 - 1), sg_enforcing_mode=text)
dels = st.builds(
    ipam_pb2.DelPodRequest,
    key=st.none() | keys,
    pod=st.none() | pods,
    netns=text,
    conf=st.none() | confs,
    plugin_version=text,
    started_unix_ns=st.integers(0, 2**64 - 1),
    prev_result=st.none() | results,
)
gcs = st.builds(
    ipam_pb2.GcRequest, network_name=text, valid_attachments=st.lists(keys, max_size=5), plugin_version=text
)
answers = st.builds(ipam_pb2.AddPodResponse, result=st.none() | results)


def as_dict(message: Any) -> dict[str, Any]:
    """Our form of a protobuf message."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            value = [as_dict(item) for item in value]
        elif field.message_type:
            value = as_dict(value) if message.HasField(field.name) else None
        found[field.name] = value
    return found


class TestProtobuf:
    @settings(deadline=None)
    @given(dels)
    def test_same_bytes_as_protobuf(self, message: Any) -> None:
        assert encode(messages.DEL_POD_REQUEST, as_dict(message)) == message.SerializeToString(deterministic=True)

    @settings(deadline=None)
    @given(gcs)
    def test_same_bytes_for_repeated_messages(self, message: Any) -> None:
        assert encode(messages.GC_REQUEST, as_dict(message)) == message.SerializeToString(deterministic=True)

    @settings(deadline=None)
    @given(dels)
    def test_reads_what_protobuf_writes(self, message: Any) -> None:
        assert decode(messages.DEL_POD_REQUEST, message.SerializeToString()) == as_dict(message)

    @settings(deadline=None)
    @given(answers, answers)
    def test_merges_like_protobuf(self, first: Any, second: Any) -> None:
        """Concatenated messages are one message: the wire format's rule for a field that occurs twice."""
        data = first.SerializeToString() + second.SerializeToString()
        expected = ipam_pb2.AddPodResponse.FromString(data)
        assert decode(messages.ADD_POD_RESPONSE, data) == as_dict(expected)

    @settings(deadline=None)
    @given(dels)
    def test_queue_file_is_protobufs_json(self, message: Any) -> None:
        written = dumps(to_json_names(messages.DEL_POD_REQUEST, as_dict(message)))
        assert json_format.Parse(written, ipam_pb2.DelPodRequest()) == message

    @settings(deadline=None)
    @given(st.integers(8, 500), st.integers(0, 2**64 - 1), st.binary(), answers)
    def test_unknown_fields_are_skipped(self, number: int, value: int, data: bytes, message: Any) -> None:
        def varint(rest: int) -> bytes:
            out = b""
            while rest > 127:
                out += bytes([rest & 127 | 128])
                rest >>= 7
            return out + bytes([rest])

        unknown = (
            varint(number << 3) + varint(value)
            + varint(number << 3 | 1) + struct.pack("<Q", value)
            + varint(number << 3 | 2) + varint(len(data)) + data
            + varint(number << 3 | 5) + b"\1\2\3\4"
        )  # fmt: skip
        whole = unknown + message.SerializeToString() + unknown
        assert decode(messages.ADD_POD_RESPONSE, whole) == as_dict(message)

    @settings(deadline=None)
    @given(st.binary())
    def test_any_bytes_are_a_message_or_a_wire_error(self, data: bytes) -> None:
        try:
            decode(messages.ADD_POD_RESPONSE, data)
        except WireError:
            return


# ---- HPACK and HTTP/2 ----


def huffman_encode(data: bytes) -> bytes:
    """From the code lengths, by another way than the decoder's: bit strings."""
    order = sorted(range(257), key=lambda symbol: (CODE_LENGTHS[symbol], symbol))
    codes: dict[int, str] = {}
    code = 0
    previous = CODE_LENGTHS[order[0]]
    for symbol in order:
        code <<= CODE_LENGTHS[symbol] - previous
        previous = CODE_LENGTHS[symbol]
        codes[symbol] = f"{code:0{previous}b}"
        code += 1
    bits = "".join(codes[byte] for byte in data)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


class TestHpack:
    @settings(deadline=None)
    @given(st.binary())
    def test_huffman_round_trip(self, data: bytes) -> None:
        assert huffman_decode(huffman_encode(data)) == data

    @settings(deadline=None)
    @given(st.binary())
    def test_any_bytes_are_a_string_or_a_huffman_error(self, data: bytes) -> None:
        try:
            assert huffman_encode(huffman_decode(data)) == data
        except HuffmanError:
            return

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300))))
    def test_literals(self, headers: list[tuple[bytes, bytes]]) -> None:
        block = b"".join(encode_literal(name, value) for name, value in headers)
        assert Decoder().decode(block) == headers

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=60), max_size=5))
    def test_any_blocks_are_headers_or_an_error(self, blocks: list[bytes]) -> None:
        decoder = Decoder()
        for block in blocks:
            try:
                decoder.decode(block)
            except HpackError:
                return


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


ANSWER = (
    frame(4, 0, 0, b"")
    + frame(1, 4, 1, b"\x88")
    + frame(0, 0, 1, b"\0\0\0\0\5hello")
    + frame(6, 0, 0, b"12345678")
    + frame(1, 5, 1, encode_literal(b"grpc-status", b"0"))
)


class TestHttp2:
    @settings(deadline=None)
    @given(st.lists(st.integers(0, len(ANSWER)), max_size=12))
    def test_split_anywhere(self, cuts: list[int]) -> None:
        exchange = UnaryExchange(b"", b"request", math.inf)  # type: ignore[arg-type]
        edges = [0, *sorted(cuts), len(ANSWER)]
        for begin, end in itertools.pairwise(edges):
            exchange.receive(ANSWER[begin:end])
        assert exchange.done
        assert bytes(exchange.body) == b"\0\0\0\0\5hello"
        assert exchange.trailers == [(b"grpc-status", b"0")]

    frames = st.builds(
        frame,
        st.integers(0, 11),
        st.integers(0, 255),
        st.sampled_from([0, 1, 1, 3, 2**31 - 1]),
        st.binary(max_size=40) | st.sampled_from([b"\x88", b"\0\0\0\1", b"\0" * 8]),
    )

    @settings(deadline=None, max_examples=300)
    @given(st.lists(frames, max_size=8), st.binary(max_size=20))
    def test_any_frames_end_in_a_state_or_an_http2_error(self, sent: list[bytes], rest: bytes) -> None:
        exchange = UnaryExchange(b"", b"x" * 70_000, 1 << 20)
        try:
            for data in [*sent, rest]:
                exchange.receive(data)
        except Http2Error:
            return

    @settings(deadline=None)
    @given(st.lists(st.integers(1, 50_000), max_size=8), st.integers(0, 200_000))
    def test_sends_no_more_than_granted(self, grants: list[int], size: int) -> None:
        exchange = UnaryExchange(b"", b"r" * size, 1 << 20)

        def sent(output: bytes, first: bool) -> int:
            at = 24 if first else 0
            total = 0
            while at < len(output):
                length = int.from_bytes(output[at : at + 3], "big")
                assert length <= 16384
                total += length if output[at + 3] == 0 else 0
                at += 9 + length
            return total

        total = sent(exchange.take_output(), True)
        granted = 65535
        assert total == min(size, granted)
        for grant in grants:
            for stream in (0, 1):
                exchange.receive(frame(8, 0, stream, struct.pack(">I", grant)))
            granted += grant
            total += sent(exchange.take_output(), False)
            assert total == min(size, granted)
