"""``vpccni top``: lines of several nodes in one table, the neediest first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vpccni_cli.main import main
from vpccni_cli.text import WIDTH


def line(name: str, **changes: Any) -> dict[str, Any]:
    subnet = {
        "subnet_id": "subnet-1",
        "availability_zone": "us-west-2a",
        "cidr": "10.0.0.0/24",
        "free": 90,
        "refused_why": "",
    }
    return {
        "node": name, "version": "0.1.0", "total": 10, "assigned": 4, "free": 6, "cooling": 0, "quarantined": 0, "deficit": -1,
        "waiting": 0, "reason": "", "down": [], "drift": 0, "calls": 7, "throttled": 0, "subnets": [subnet],
        "enis": [{"subnet": "subnet-1", "size": 10, "used": 4}],
        **changes,
    }  # fmt: skip


_ALL: list[dict[str, Any]] = [
    line("calm"),
    line("ip-10-0-1-23.us-west-2.compute.internal", waiting=12, reason="SUBNET_FULL", free=0, deficit=3, throttled=4),
    line("down", down=["apiserver"]),
    {"node": "silent", "error": "IPAM_UNREACHABLE: /var/run/aws-node/ipam.sock: connection refused"},
]


def told(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str, extra: list[Any] | None = None) -> str:
    file = tmp_path / "lines"
    file.write_text("\n".join(json.dumps(one) for one in [*_ALL, *(extra or ())]))
    assert main(["top", *words, "--from", str(file)]) == 1, "a node is silent"
    return capsys.readouterr().out


def test_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(told(tmp_path, capsys, "nodes", "--output", "json"))
    assert [one["node"].split("-")[0] for one in said["nodes"]] == ["silent", "ip", "down", "calm"]
    text = told(tmp_path, capsys, "nodes")
    assert all(len(one) <= WIDTH for one in text.splitlines()), text
    assert "SUBNET_FULL" in text and "apiserver down" in text and "IPAM_UNREACHABLE" in text


def test_subnets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {
        "subnet_id": "subnet-2",
        "availability_zone": "us-west-2b",
        "cidr": "10.0.1.0/24",
        "free": 3,
        "refused_why": "no tag",
    }
    fourth = line("fourth", subnets=[{**_ALL[0]["subnets"][0], "free": 70}, other])
    said = json.loads(told(tmp_path, capsys, "subnets", "--output", "json", extra=[fourth]))["subnets"]
    assert [(one["subnet"], one["free"]) for one in said] == [("subnet-2", 3), ("subnet-1", 70)]
    assert (said[1]["nodes"], said[1]["enis"], said[1]["held"], said[1]["used"]) == (4, 4, 40, 16)
    text = told(tmp_path, capsys, "subnets", extra=[fourth])
    assert "no tag" in text and all(len(one) <= WIDTH for one in text.splitlines()), text


@pytest.mark.parametrize("text", ["not json", "[1]", '{"a": 1}'])
def test_lines_that_are_no_use(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines").write_text(text)
    assert main(["top", "nodes", "--from", str(tmp_path / "lines")]) == 2
    assert "allowed: " in capsys.readouterr().err


def test_a_node_without_ipam_is_listed_as_silent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["top", "nodes", "--socket", str(tmp_path / "none")]) == 1
    assert "IPAM_UNREACHABLE" in capsys.readouterr().out
