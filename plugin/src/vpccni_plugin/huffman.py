"""The Huffman code of HPACK (RFC 7541 appendix B), decoding only.

The code is canonical: within the appendix, codes ascend by (length, symbol). So the lengths alone define it.
"""

from __future__ import annotations

_EOS = 256
# fmt: off
CODE_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,  # 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,  # 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,          # 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,               # 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,                 # 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,              # 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,                 # 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,             # 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,  # 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,  # 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,  # 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,  # 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,  # 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,  # 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,  # 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,  # 0xf0
    30,                                                              # end of string
)
# fmt: on


class HuffmanError(ValueError):
    """The bytes are not the code of a string."""


def _codes() -> dict[tuple[int, int], int]:
    """(length in bits, code) -> symbol."""
    table: dict[tuple[int, int], int] = {}
    code = length = 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(CODE_LENGTHS)):
        code <<= bits - length
        length = bits
        table[(bits, code)] = symbol
        code += 1
    return table


_CODES = _codes()


def huffman_decode(data: bytes) -> bytes:
    """The string that ``data`` encodes. Raises HuffmanError for the end symbol and for padding that is not its prefix."""
    out = bytearray()
    code = length = 0
    for byte in data:
        for bit in (7, 6, 5, 4, 3, 2, 1, 0):
            code = code << 1 | byte >> bit & 1
            length += 1
            symbol = _CODES.get((length, code))
            if symbol is not None:
                if symbol == _EOS:
                    raise HuffmanError("end of string inside Huffman data")
                out.append(symbol)
                code = length = 0
            elif length > 30:
                raise HuffmanError("no such Huffman code")
    if length > 7 or code != (1 << length) - 1:
        raise HuffmanError("Huffman padding is not the start of the end symbol")
    return bytes(out)
