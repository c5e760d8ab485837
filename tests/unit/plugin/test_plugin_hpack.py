"""HPACK: the examples of RFC 7541 appendix C (typed from the specification), limits, and Huffman coding."""

from __future__ import annotations

import pytest
from vpccni_plugin.hpack import STATIC_TABLE, Decoder, HpackError, encode_literal
from vpccni_plugin.huffman import CODE_LENGTHS, HuffmanError, huffman_decode

Headers = list[tuple[bytes, bytes]]


def get(authority: str, *more: tuple[bytes, bytes]) -> Headers:
    return [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", authority.encode()), *more]


REQUESTS: list[Headers] = [
    get("www.example.com"),
    get("www.example.com", (b"cache-control", b"no-cache")),
    [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ],
]
RESPONSES: list[Headers] = [
    [
        (b":status", b"302"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        (b"location", b"https://www.example.com"),
    ],
    [
        (b":status", b"307"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        (b"location", b"https://www.example.com"),
    ],
    [
        (b":status", b"200"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
        (b"location", b"https://www.example.com"),
        (b"content-encoding", b"gzip"),
        (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
]
C3 = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]
C4 = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]
C5 = [
    (
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d"
    ),
    "4803333037c1c0bf",
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738"
        "666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31"
    ),
]
C6 = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f"
        "3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    ),
]


@pytest.mark.parametrize(("blocks", "expected"), [(C3, REQUESTS), (C4, REQUESTS)], ids=["C.3", "C.4 Huffman"])
def test_requests_of_the_specification(blocks: list[str], expected: list[Headers]) -> None:
    decoder = Decoder()
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == expected


@pytest.mark.parametrize("blocks", [C5, C6], ids=["C.5", "C.6 Huffman"])
def test_responses_of_the_specification(blocks: list[str]) -> None:
    """The examples use a table of 256 bytes, so entries are evicted: a size update says so (section 6.3)."""
    decoder = Decoder()
    assert decoder.decode(bytes.fromhex("3fe101") + bytes.fromhex(blocks[0])) == RESPONSES[0]
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks[1:]] == RESPONSES[1:]
    with pytest.raises(HpackError, match="in neither table"):
        decoder.decode(b"\xc1")  # index 65: three entries are left of the six


@pytest.mark.parametrize(
    ("block", "header"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header")),  # C.2.1
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path")),  # C.2.2
        ("100870617373776f726406736563726574", (b"password", b"secret")),  # C.2.3
        ("82", (b":method", b"GET")),  # C.2.4
    ],
)
def test_literals_of_the_specification(block: str, header: tuple[bytes, bytes]) -> None:
    assert Decoder().decode(bytes.fromhex(block)) == [header]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("80", "index 0 is in neither table"),
        ("be", "index 62 is in neither table"),
        ("0004616263", "string is cut off"),
        ("00", "header block is cut off"),
        ("7f", "header block is cut off"),
        ("ffffffffffffff", "integer too large"),
        ("3fe21f", "table size 4097 is more than was announced"),
        ("8220", "table size update after a header"),
        ("00810000", "Huffman padding"),
    ],
)
def test_refused(block: str, message: str) -> None:
    with pytest.raises(HpackError, match=message):
        Decoder().decode(bytes.fromhex(block))


def test_block_that_unpacks_to_too_much() -> None:
    """One large entry, referred to a thousand times: 3 kB on the wire, 3 MB in memory."""
    decoder = Decoder()
    large = b"\x40\x01a" + b"\x7f\xd9\x16" + b"x" * 3000
    with pytest.raises(HpackError, match="headers of more than 65536 bytes"):
        decoder.decode(large + b"\xbe" * 1000)


def test_table_of_size_zero() -> None:
    decoder = Decoder()
    assert decoder.decode(b"\x20\x40\x01a\x01b") == [(b"a", b"b")]
    with pytest.raises(HpackError, match="in neither table"):
        decoder.decode(b"\xbe")


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 16510, 16511])
def test_encoded_literals_are_decoded(size: int) -> None:
    assert Decoder().decode(encode_literal(b"n" * max(1, size), b"v" * size)) == [(b"n" * max(1, size), b"v" * size)]


def test_static_table() -> None:
    assert len(STATIC_TABLE) == 61
    assert STATIC_TABLE[0] == (b":authority", b"")
    assert STATIC_TABLE[30] == (b"content-type", b"")
    assert STATIC_TABLE[60] == (b"www-authenticate", b"")


def test_huffman_code_is_complete() -> None:
    """Kraft: the 257 lengths fill the code space exactly, so a wrong length cannot hide."""
    assert len(CODE_LENGTHS) == 257
    assert sum(2 ** (30 - length) for length in CODE_LENGTHS) == 2**30


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("ffffffff", "end of string inside"),  # the end symbol is thirty ones
        ("ff", "padding"),  # eight bits of padding are one too many
        ("18", "padding"),  # "a", then zeros
    ],
)
def test_huffman_refuses(data: str, message: str) -> None:
    with pytest.raises(HuffmanError, match=message):
        huffman_decode(bytes.fromhex(data))
