"""What the plugin's JSON refuses, and how it says so. What it accepts is held against json in tests/property/."""

from __future__ import annotations

import pytest
from vpccni_plugin.jsonlite import MAX_DEPTH, JsonError, dumps, loads

REFUSED = {
    b"": "expected a value: the text ends at character 0",
    b"  ": "expected a value: the text ends at character 2",
    b"{": 'expected a key in ": the text ends at character 1',
    b'{"a"': "expected ':': the text ends at character 4",
    b'{"a":': "expected a value: the text ends",
    b'{"a":1': "expected ',' or '}': the text ends",
    b'{"a":1,}': "expected a key in \" at line 1 column 8: '}'",
    b"{a:1}": "expected a key in \" at line 1 column 2: 'a:1}'",
    b"{'a':1}": "expected a key",
    b'{"a" 1}': "expected ':' at line 1 column 6",
    b'{"a":1 "b":2}': "expected ',' or '}' at line 1 column 8",
    b"[": "expected a value: the text ends at character 1",
    b"[1,]": "expected a value at line 1 column 4: ']'",
    b"[1 2]": "expected ',' or ']' at line 1 column 4",
    b"[1": "expected ',' or ']': the text ends",
    b"\n\n  nul": "expected a value at line 3 column 3: 'nul",
    b"True": "expected a value",
    b"NaN": "expected a value",
    b"-Infinity": "expected a digit at line 1 column 2",
    b"+1": "expected a value",
    b"01": "number with a leading zero at line 1 column 1",
    b"-01": "number with a leading zero",
    b"1.": "expected a digit: the text ends",
    b".5": "expected a value",
    b"1e": "expected a digit: the text ends",
    b"1e+": "expected a digit",
    b"-": "expected a digit",
    b"1e999": "number out of range",
    b"-1e999": "number out of range",
    b"1" * 401: "number of more than 400 characters",
    b'"abc': "control character or end inside a string: the text ends at character 4",
    b'"a\nb"': "control character or end inside a string at line 1 column 3",
    b'"a\0b"': "control character or end inside a string at line 1 column 3",
    b'"\\x41"': "unknown escape at line 1 column 2",
    b'"\\': "unknown escape",
    b'"\\u12': "expected four hexadecimal digits",
    b'"\\u12g4"': "expected four hexadecimal digits at line 1 column 6",
    b'"\\u-123"': "expected four hexadecimal digits",
    b"1 2": "unexpected text after the value at line 1 column 3: '2",
    b"{}\0": "unexpected text after the value",
    b"\xef\xbb\xbf{}": "expected a value",
    b'"\xff"': "not UTF-8 at byte 1",
    b'"\xed\xa0\x80"': "not UTF-8 at byte 1",
    b"[" * (MAX_DEPTH + 1): f"nested deeper than {MAX_DEPTH} at line 1 column {MAX_DEPTH + 1}",
    b'{"a":' * (MAX_DEPTH + 1): f"nested deeper than {MAX_DEPTH}",
}


@pytest.mark.parametrize("text", REFUSED, ids=[repr(text[:20]) for text in REFUSED])
def test_refused_with_the_position(text: bytes) -> None:
    with pytest.raises(JsonError) as caught:
        loads(text)
    assert REFUSED[text] in str(caught.value)


def test_deepest_allowed() -> None:
    value = loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(value, list)
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\uD83D\\uDE00"', "😀"),
        (b'"\\ud83d"', "\ufffd"),
        (b'"\\ude00x"', "\ufffdx"),
        (b'"\\ud83d\\u0041"', "\ufffdA"),
        (b'"\\ud83d\\n"', "\ufffd\n"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b" \t\r\n1 ", 1),
        (b"-0", 0),
        (b"1E2", 100.0),
    ],
)
def test_accepted(text: bytes, value: object) -> None:
    assert loads(text) == value


def test_dumps_refuses_what_json_has_not() -> None:
    with pytest.raises(TypeError, match="bytes is not a JSON value"):
        dumps(b"x")


def test_dumps_is_compact_and_keeps_order() -> None:
    assert dumps({"b": [1, 2.5, None, True, False], "a": {"é": '"\\\n\x01'}}) == (
        '{"b":[1,2.5,null,true,false],"a":{"é":"\\"\\\\\\n\\u0001"}}'
    )
