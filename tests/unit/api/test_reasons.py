"""The reason table, the proto enum and the stubs are one."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

from vpccni_api.reason.v1 import reason_pb2
from vpccni_api.reasons import REASON_INFO, Code, Reason
from vpccni_api.version import VERSION, compatible


def test_the_enum_of_the_contract_and_the_table_have_the_same_names() -> None:
    in_proto = set(reason_pb2.Reason.keys()) - {"REASON_UNSPECIFIED"}
    assert in_proto == {str(reason) for reason in Reason} == {str(reason) for reason in REASON_INFO}


def test_every_reason_tells_owner_hint_and_codes() -> None:
    for reason, info in REASON_INFO.items():
        assert info.owner in {"ipam", "netconf", "eni-manager", "plugin", "any"}, reason
        assert info.hint.endswith("."), reason
        assert info.code in Code, reason
        assert info.cni_code > 0, reason


_CURES = re.compile(
    r"\b(Add|Attach|Check|Correct|Create|Delete|Fewer|Look|Lower|Mount|Nothing to do|Raise|Remove|Report|Restart|Tag|Uncordon|Use|Wait)\b"
    r"|look at|look for|see EC2's error|check space|may be raised"
)


def test_every_hint_says_what_to_do() -> None:
    assert [str(reason) for reason, info in REASON_INFO.items() if not _CURES.search(info.hint)] == []


def test_stubs_are_current() -> None:
    script = pathlib.Path(__file__).parents[3] / "proto" / "generate.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_versions_work_together_up_to_two_minors_apart() -> None:
    assert compatible("0.5.0", "0.3.9")
    assert compatible("0.5.0", "0.7.0")
    assert not compatible("0.5.0", "0.2.0")
    assert not compatible("1.0.0", "0.9.0")
    assert compatible(VERSION, "")
