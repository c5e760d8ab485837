"""docs/reasons.md is the code's, and the enum is what the code raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from vpccni_api import reason_causes
from vpccni_api.reasons import Reason

REPO = Path(__file__).parents[3]
SOURCES = [path for area in ("services", "plugin/src", "lab/src") for path in sorted((REPO / area).rglob("*.py"))]
RESERVED: set[str] = set()  # numbers that nothing raises yet


def test_the_page_is_what_the_code_says() -> None:
    assert (REPO / "docs/reasons.md").read_text(encoding="utf-8") == reason_causes.page(), (
        "run: python docs/generate.py"
    )


def test_every_reason_has_a_text_and_every_runbook_exists() -> None:
    assert list(reason_causes.REASON_TEXT) == list(Reason)
    for reason, text in reason_causes.REASON_TEXT.items():
        assert text.meaning.endswith(".") and text.cause.endswith("."), reason
        assert not text.runbook or (REPO / f"docs/runbooks/{text.runbook}.md").exists(), text.runbook


def _raise_sites() -> Iterator[tuple[str, ast.expr]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "ReasonError":
                given = node.args[0] if node.args else next(k.value for k in node.keywords if k.arg == "reason")
                yield f"{path.relative_to(REPO)}:{node.lineno}", given


def _wrong(given: ast.expr) -> str:
    """Why this expression is not a Reason: a literal, or a member that does not exist. Variables are mypy's."""
    if isinstance(given, ast.Constant | ast.JoinedStr):
        return f"{ast.unparse(given)} is text, not a Reason"
    missing = [name for name in re.findall(r"\bReason\.(\w+)", ast.unparse(given)) if name not in Reason.__members__]
    return f"no such Reason: {missing}" if missing else ""


def test_every_error_is_raised_with_a_member_of_the_enum() -> None:
    sites = list(_raise_sites())
    assert len(sites) > 50
    assert [f"{where}: {_wrong(given)}" for where, given in sites if _wrong(given)] == []


def test_the_lint_finds_text_and_unknown_members() -> None:
    for text, wrong in (("'SUBNET_FULL'", True), ("Reason.SUBNET_FUL", True), ("Reason.SUBNET_FULL", False)):
        assert bool(_wrong(ast.parse(text, mode="eval").body)) is wrong


def test_every_reason_is_used_or_reserved() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES if path.name != "reason_table.py")
    used = set(re.findall(r"\bReason\.([A-Z0-9_]+)", code)) | {n for n in Reason if f'"{n}"' in code}
    assert set(Reason) - used == RESERVED
