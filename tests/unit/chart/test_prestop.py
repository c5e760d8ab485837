"""The preStop hooks: when they let go, in a clock that the test turns."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from vpccni_kit import prestop

Held = frozenset[tuple[str, str]]


class Turning:
    """A clock that moves by what is slept."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pods(count: int) -> Held:
    return frozenset((f"c{n}", "eth0") for n in range(count))


def test_waits_while_pods_are_removed_and_ends_with_the_last() -> None:
    time = Turning()
    left = iter(range(9, -1, -1))  # a pod is removed at each look: never quiet, though it takes longer than quiet_s

    why = prestop.wait_quiet(lambda: pods(next(left)), 0.5, 60, time.clock, time.sleep)

    assert why == "no allocation left"
    assert time.now > 101


def test_an_upgrade_is_not_held_up() -> None:
    time = Turning()
    why = prestop.wait_quiet(lambda: pods(3), 2, 20, time.clock, time.sleep)
    assert why == "none of 3 allocations was released for 2 s"
    assert time.now == pytest.approx(102, abs=0.3)


def test_a_new_pod_is_not_a_release() -> None:
    time = Turning()
    why = prestop.wait_quiet(lambda: pods(3 + int(time.now - 100)), 2, 20, time.clock, time.sleep)
    assert why.startswith("none of ")


def test_never_longer_than_the_timeout() -> None:
    time = Turning()
    why = prestop.wait_quiet(lambda: pods(500 - int((time.now - 100) * 10)), 2, 20, time.clock, time.sleep)
    assert "left after 20 s" in why
    assert time.now == pytest.approx(120, abs=0.3)


def test_a_checkpoint_that_is_being_replaced_counts_as_unchanged() -> None:
    time = Turning()
    answers: list[Held | None] = [pods(3), None, None]
    why = prestop.wait_quiet(lambda: answers.pop(0) if answers else pods(3), 2, 20, time.clock, time.sleep)
    assert why == "none of 3 allocations was released for 2 s"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"allocations": null}', '{"allocations": [{}]}'])
def test_unreadable_checkpoint(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ipam.json"
    path.write_text(content)
    assert prestop.allocations(str(path)) is None
    assert prestop.allocations(str(tmp_path / "missing")) is None


def test_reads_the_original_s_schema(tmp_path: Path) -> None:
    path = tmp_path / "ipam.json"
    entry = {"networkName": "aws-cni", "containerID": "0a1b", "ifName": "eth0", "ipv4": "10.0.1.7"}
    path.write_text(json.dumps({"version": "vpc-cni-ipam/1", "allocations": [entry]}))
    assert prestop.allocations(str(path)) == frozenset({("0a1b", "eth0")})


def test_gone() -> None:
    time = Turning()
    assert prestop.wait_gone(lambda: time.now < 105, 30, time.clock, time.sleep) == "gone"
    assert prestop.wait_gone(lambda: True, 30, time.clock, time.sleep) == "still there after 30 s"


def test_listens_on_a_real_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert prestop.listens(port)
    assert not prestop.listens(port)


def test_command_line_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prestop.main(["quiet", "--checkpoint", str(tmp_path / "none"), "--timeout", "1"]) == 0
    assert "no allocation left" in capsys.readouterr().err


def test_gone_means_all_ports(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as other:
            free = other.getsockname()[1]
        arguments = ["gone", f"--port={free}", f"--port={taken}", "--timeout=0"]
        assert prestop.main(arguments) == 0
        assert "still there" in capsys.readouterr().err
    assert prestop.main(arguments) == 0
    assert capsys.readouterr().err.endswith("gone: gone\n")
