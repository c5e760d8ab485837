"""Which Kubernetes events are worth a request: one per subject, reason and action in five minutes, and few in all."""

from __future__ import annotations

import dataclasses
from typing import Final

REPEAT_S: Final = 300.0
BURST: Final = 40.0
REFILL_PER_S: Final = 0.2
NOTE_MAX: Final = 1024
"""Characters of a note that the API takes (events.k8s.io/v1)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about. ``uid`` may be empty."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A warning. ``reason``: a name of the reasons, or one of the original's. ``action``: what was being done."""

    subject: Subject
    reason: str
    action: str
    note: str


class EventFilter:
    """Remembers what was let through."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Subject, str, str], float] = {}
        self._tokens = BURST
        self._at = 0.0

    def lets_through(self, event: Event, now: float) -> bool:
        """``now``: monotonic seconds, never less than before."""
        key = (event.subject, event.reason, event.action)
        if now - self._seen.get(key, -REPEAT_S) < REPEAT_S:
            return False
        self._tokens = min(BURST, self._tokens + (now - self._at) * REFILL_PER_S)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        self._seen = {key: at for key, at in self._seen.items() if now - at < REPEAT_S} | {key: now}
        return True


def short_note(text: str) -> str:
    """At most NOTE_MAX characters."""
    return text if len(text) <= NOTE_MAX else text[: NOTE_MAX - 1] + "…"
