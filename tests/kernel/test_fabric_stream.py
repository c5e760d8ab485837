"""The TCP stream that tests run beside what they do: it says when it lived, and when it did not."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from vpccni_lab.fabric import namespaces
from vpccni_lab.linux import syscalls
from vpccni_lab.probe.reach import Endpoint
from vpccni_lab.probe.stream import TcpStream

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def place() -> Iterator[Endpoint]:
    where = namespaces.path(f"c2s{secrets.token_hex(3)}", "a")
    namespaces.create(where, {})
    yield Endpoint("a", where, "127.0.0.1")
    syscalls.drop_netns(str(where))


def link(place: Path, state: str) -> None:
    namespaces.run(place, ["ip", "link", "set", "lo", state])


def test_a_stream_lives(place: Endpoint) -> None:
    with TcpStream(place, place, interval=0.001) as stream:
        assert stream.wait_rounds(50)
    assert stream.result.broken == ""
    assert stream.result.rounds >= 50
    assert stream.result.source == "127.0.0.1"


def test_a_short_interruption_is_survived_and_seen(place: Endpoint) -> None:
    with TcpStream(place, place, interval=0.001) as stream:
        assert stream.wait_rounds(5)
        link(place.netns, "down")
        assert not stream.wait_rounds(3, timeout=0.3)
        link(place.netns, "up")
        assert stream.wait_rounds(5, timeout=20)
    assert stream.result.broken == ""
    assert stream.result.longest > 0.2  # TCP's shortest retransmission time on Linux


def test_a_long_one_is_told(place: Endpoint) -> None:
    with TcpStream(place, place, interval=0.001, grace=0.2) as stream:
        assert stream.wait_rounds(5)
        link(place.netns, "down")
        assert not stream.wait_rounds(10_000, timeout=20)
    assert stream.result.broken


def test_no_connection_is_an_error(place: Endpoint) -> None:
    with pytest.raises(OSError):
        TcpStream(place, place, to="127.0.0.1", port=9, timeout=1.0)
