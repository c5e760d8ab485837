"""Log lines: their fields, where they go, how they rotate; levels while running are in tests/wire/test_kit_logs.py."""

from __future__ import annotations

import asyncio
import json
import logging
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from vpccni_kit import logs, telemetry

log = logging.getLogger("sample")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_time_level_service_node_message_and_the_fields_given(tmp_path: pathlib.Path) -> None:
    logs.setup("ipam", "INFO", str(tmp_path / "made/ipam.log"), "node-a")
    with telemetry.span("x", parent=f"00-{'ab' * 16}-{'cd' * 8}-01"):
        log.warning("no address for %s", "x", extra={"reason": "ENI_LIMIT"})
    (line,) = lines(tmp_path / "made/ipam.log")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warn",
        "service": "ipam",
        "node": "node-a",
        "msg": "no address for x",
        "trace_id": "ab" * 16,
        "reason": "ENI_LIMIT",
    }


def test_a_stack_is_one_field_of_one_line(tmp_path: pathlib.Path) -> None:
    logs.setup("ipam", "INFO", str(tmp_path / "log"))
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("failed")
    (line,) = lines(tmp_path / "log")
    assert line["stack"].endswith("KeyError: 'x'")
    assert "node" not in line


def test_what_is_said_of_a_call_is_in_its_lines_and_in_no_others(tmp_path: pathlib.Path) -> None:
    logs.setup("ipam", "INFO", str(tmp_path / "log"))

    async def handle(pod: str) -> None:
        with logs.call():
            log.info("begins")
            logs.describe(pod=pod, container="")
            await asyncio.sleep(0)
            await asyncio.create_task(helper())
            await asyncio.to_thread(log.info, "in a thread")

    async def helper() -> None:
        log.info("in a task")

    async def scenario() -> None:
        await asyncio.gather(handle("default/a"), handle("default/b"))
        logs.describe(pod="outside/a-call")
        log.info("afterwards")

    asyncio.run(scenario())
    seen = sorted((line["msg"], line.get("pod", "")) for line in lines(tmp_path / "log"))
    assert seen == [
        ("afterwards", ""),
        ("begins", ""),
        ("begins", ""),
        ("in a task", "default/a"),
        ("in a task", "default/b"),
        ("in a thread", "default/a"),
        ("in a thread", "default/b"),
    ]
    assert not any("container" in line for line in lines(tmp_path / "log"))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_two_streams(stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("ipam", "INFO", stream)
    log.info("here")
    seen = capsys.readouterr()
    written, other = (seen.out, seen.err) if stream == "stdout" else (seen.err, seen.out)
    assert json.loads(written)["msg"] == "here"
    assert other == ""


def test_a_file_that_cannot_be_opened_is_said_on_stderr(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    logs.setup("ipam", "INFO", str(tmp_path / "file/ipam.log"))
    log.info("still logged")
    said, logged = map(json.loads, capsys.readouterr().err.splitlines())
    assert said["msg"] == f"log file {tmp_path}/file/ipam.log: File exists; logging to stderr"
    assert logged["msg"] == "still logged"


def test_files_rotate_and_their_number_is_bounded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_ROTATE_BYTES", 1000)
    logs.setup("ipam", "INFO", str(tmp_path / "log"))
    for number in range(200):
        log.info("line %d", number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["log", *(f"log.{number}" for number in range(1, 6))]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    assert lines(tmp_path / "log")[-1]["msg"] == "line 199"


@pytest.mark.parametrize(("level", "written"), [("DEBUG", 3), ("info", 2), ("WARN", 1), ("ERROR", 0), ("loud", 3)])
def test_levels_and_the_original_s_answer_to_an_unknown_one(level: str, written: int, tmp_path: pathlib.Path) -> None:
    logs.setup("ipam", level, str(tmp_path / "log"))
    log.debug("1")
    log.info("2")
    log.warning("3")
    assert len(lines(tmp_path / "log")) == written


@pytest.mark.parametrize("library", ["botocore", "urllib3", "grpc"])
def test_libraries_never_log_at_debug(library: str, tmp_path: pathlib.Path) -> None:
    """botocore writes requests with their signatures at that level."""
    logs.setup("eni-manager", "DEBUG", str(tmp_path / "log"))
    logging.getLogger(f"{library}.auth").debug("Signature: x")
    assert lines(tmp_path / "log") == []
