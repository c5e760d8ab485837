"""``vpccni status`` on one screen: network cards, repairs, queued DELs."""

from __future__ import annotations

from typing import Any

from vpccni_cli.commands import status
from vpccni_cli.text import WIDTH

_COUNTS = {"total": 10, "assigned": 4, "free": 6, "cooling": 0, "quarantined": 0, "deficit": 0}
_FOUND: dict[str, Any] = {
    **_COUNTS,
    "node": "node-a",
    "version": "0.1.0",
    "enis": [],
    "growth": {},
    "dependencies": [],
    "settings": {},
    "drift": {"rule": 3, "route": 1},
    "adds": [],
    "pending_dels": 2,
    "cards": [{**_COUNTS, "index": 0, "left_out_why": "", "growth": {}}],
}


def test_one_card_is_the_node() -> None:
    assert not any("card 0" in line for line in status.lines(_FOUND))


def test_each_card_is_told_with_what_is_wrong_with_it() -> None:
    full = {"last_reason": "SUBNET_FULL", "last_message": "subnet-1 has 0 free addresses"}
    cards = [
        {**_COUNTS, "index": 0, "left_out_why": "", "growth": {}},
        {**_COUNTS, "index": 1, "left_out_why": "", "deficit": 3, "growth": full},
        {**_COUNTS, "index": 2, "left_out_why": "no ENI of it is known", "growth": {}},
    ]
    shown = status.lines({**_FOUND, "cards": cards})
    text = " ".join(" ".join(shown).split())
    assert "(3 short)" in text and "SUBNET_FULL: subnet-1" in text and "no ENI of it is known" in text
    assert all(len(line) <= WIDTH for line in shown)


def test_repairs_and_queued_dels_are_counted() -> None:
    text = "\n".join(status.lines(_FOUND))
    assert "repaired since the start: 1 route, 3 rule; 2 DELs wait on disk" in text
