"""HPACK (RFC 7541): literals out, everything in.

The encoder writes literals without indexing and without Huffman coding: one request per connection gains nothing from
a table. The decoder is complete, because the server chooses what to send.
"""

from __future__ import annotations

from vpccni_plugin.huffman import HuffmanError, huffman_decode

# RFC 7541 appendix A, in order; index 1 is the first.
STATIC_TABLE: tuple[tuple[bytes, bytes], ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)

DEFAULT_TABLE_SIZE = 4096  # bytes; we never announce another
_ENTRY_OVERHEAD = 32  # RFC 7541 section 4.1
_MAX_HEADER_BYTES = 65536  # names and values of one header block


class HpackError(ValueError):
    """A header block that cannot be decoded; the connection is lost (RFC 7541 section 2.2)."""


def encode_literal(name: bytes, value: bytes) -> bytes:
    """One header as "literal without indexing, new name" (RFC 7541 section 6.2.2)."""
    return b"\x00" + _encode_length(len(name)) + name + _encode_length(len(value)) + value


def _encode_length(value: int) -> bytes:
    """A string length with the Huffman bit clear: an integer with a 7-bit prefix (section 5.1)."""
    if value < 127:
        return bytes((value,))
    out = bytearray((127,))
    value -= 127
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Decoder:
    """Decodes the header blocks of one connection, in order; it holds the dynamic table."""

    def __init__(self) -> None:
        self._entries: list[tuple[bytes, bytes]] = []  # newest first
        self._size = 0
        self._max_size = DEFAULT_TABLE_SIZE

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of a complete block. Raises HpackError."""
        headers: list[tuple[bytes, bytes]] = []
        at = total = 0
        try:
            while at < len(block):
                first = block[at]
                if first & 0x80:
                    index, at = _integer(block, at, 7)
                    header = self._entry(index)
                elif first & 0xE0 == 0x20:
                    if headers:
                        raise HpackError("table size update after a header")
                    size, at = _integer(block, at, 5)
                    self._resize(size)
                    continue
                else:
                    header, at = self._literal(block, at, first & 0x40 != 0)
                total += len(header[0]) + len(header[1])
                if total > _MAX_HEADER_BYTES:
                    raise HpackError(f"headers of more than {_MAX_HEADER_BYTES} bytes")
                headers.append(header)
        except IndexError:
            raise HpackError("header block is cut off") from None
        return headers

    def _literal(self, block: bytes, at: int, add: bool) -> tuple[tuple[bytes, bytes], int]:
        index, at = _integer(block, at, 6 if add else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _string(block, at)
        value, at = _string(block, at)
        if add:
            self._add(name, value)
        return (name, value), at

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= len(STATIC_TABLE):
            return STATIC_TABLE[index - 1]
        dynamic = index - len(STATIC_TABLE) - 1
        if not 0 <= dynamic < len(self._entries):
            raise HpackError(f"index {index} is in neither table")
        return self._entries[dynamic]

    def _add(self, name: bytes, value: bytes) -> None:
        self._entries.insert(0, (name, value))
        self._size += len(name) + len(value) + _ENTRY_OVERHEAD
        self._evict()

    def _resize(self, size: int) -> None:
        if size > DEFAULT_TABLE_SIZE:
            raise HpackError(f"table size {size} is more than was announced")
        self._max_size = size
        self._evict()

    def _evict(self) -> None:
        while self._size > self._max_size:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, at: int, prefix_bits: int) -> tuple[int, int]:
    limit = (1 << prefix_bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise HpackError("integer too large")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    encoded = block[at] & 0x80
    length, at = _integer(block, at, 7)
    end = at + length
    if end > len(block):
        raise HpackError("string is cut off")
    data = block[at:end]
    if not encoded:
        return data, end
    try:
        return huffman_decode(data), end
    except HuffmanError as exc:
        raise HpackError(str(exc)) from None
