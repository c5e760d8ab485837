"""``vpccni explain REASON`` needs neither a node nor grpc."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from vpccni_api.reasons import REASON_INFO, Reason
from vpccni_cli.main import COMMANDS, main, parser
from vpccni_cli.text import WIDTH


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained(reason: Reason, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", reason.lower()]) == 0
    text = capsys.readouterr().out
    assert text.startswith(reason) and all(len(line) <= WIDTH for line in text.splitlines())
    assert main(["explain", reason, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["cure"] == REASON_INFO[reason].hint


@pytest.mark.parametrize("words", [["SUBNET"], ["pod"], ["pod", "web"], ["pod", "a/"], ["SUBNET_FULL", "x"]])
def test_what_is_no_subject_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *words]) == 2
    assert "allowed: " in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    with pytest.raises(SystemExit) as left:
        parser(name).parse_args([name, "--help"])
    assert left.value.code == 0


def test_heavy_modules_are_only_imported_when_they_are_used() -> None:
    code = "import sys; from vpccni_cli.main import main; main(['explain', 'ENI_LIMIT']); print({'grpc', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
