"""The commands of the documentation: found in fenced and indented blocks and in inline code, with where they stand."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).resolve().parents[2]
PAGES: Final = (REPO / "README.md", *sorted((REPO / "docs").rglob("*.md")))
PROGRAMS: Final = (
    "make", "vpclab", "vpccni", "kubectl", "helm", "aws", "ip", "iptables", "iptables-save", "nft", "python", "tests/qemu/run",
    "tests/qemu/setup", ".venv/bin/python", ".venv/bin/pytest", "systemctl", "curl", "eval", "nsenter", "sysctl", "conntrack",
    "promtool", "kill",
)  # fmt: skip
_FENCE: Final = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")
_INDENTED: Final = re.compile(r"(?m)^    (?=\S)(.*)$")
_INLINE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_COMMENT: Final = re.compile(r"\s{2,}#.*$|\s+# .*$")
_GLOSS: Final = re.compile(r"\s{3,}.*$")
"""What lab.md says of a command, in a column beside it."""


@dataclasses.dataclass(frozen=True)
class Command:
    """``text``: one command line, without variables before it. ``page``: relative to the repository."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """Without the brackets of what is optional and without what stands for more of the same."""
        bare = self.text.replace("[", "").replace("]", "") if " [--" in self.text else self.text
        return [word.rstrip("…") for word in shlex.split(bare) if word != "…"]

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands() -> list[Command]:
    """Every command of every page, each once per page."""
    return list(dict.fromkeys(found for page in PAGES for found in of_page(page)))


def of_page(page: Path) -> Iterator[Command]:
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(REPO))
    lines = []
    for language, block in _FENCE.findall(text):
        if language in ("", "sh", "bash"):
            lines += re.sub(r"\\\n\s*", " ", block).splitlines()
    prose = _FENCE.sub("", text)
    lines += _INDENTED.findall(prose)
    lines += _INLINE.findall(prose)
    for line in lines:
        for part in _split(line):
            if part.split(" ")[0] in PROGRAMS and " " in part:
                yield Command(name, part)


def _split(line: str) -> Iterator[str]:
    """The commands of a line: what ``;`` and ``|`` separate, without prompt, comment, redirection and variables before it."""
    bare = _GLOSS.sub("", _COMMENT.sub("", line.removeprefix("$ ")))
    for part in re.split(r"\s*(?:;|\|)\s+", bare):
        command = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", part.strip())
        yield re.sub(r"\s+>\s*\S+$", "", command)
