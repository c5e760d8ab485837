"""Records with their past: what a lagging view (describe, IMDS) shows is an older record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

R = TypeVar("R")
_SLACK: Final = 64


class History(Generic[R]):
    """Current records by id, and for each what it was, up to ``horizon`` seconds back (older views see the oldest kept)."""

    def __init__(self, horizon: Callable[[], float]) -> None:
        self._horizon = horizon
        self._now: dict[str, R] = {}
        self._past: dict[str, list[tuple[float, R | None]]] = {}

    def put(self, key: str, record: R, now: float) -> None:
        self._now[key] = record
        self._note(key, record, now)

    def drop(self, key: str, now: float) -> None:
        del self._now[key]
        self._note(key, None, now)
        if len(self._past) > 2 * len(self._now) + _SLACK:
            self._forget(now)

    def _note(self, key: str, record: R | None, now: float) -> None:
        versions = self._past.setdefault(key, [])
        if versions and versions[-1][0] == now:
            versions[-1] = (now, record)
        else:
            versions.append((now, record))
        cut = now - self._horizon()
        while len(versions) > 1 and versions[1][0] <= cut:
            versions.pop(0)

    def _forget(self, now: float) -> None:
        """Drop the past of records that are gone for longer than the horizon."""
        cut = now - self._horizon()
        gone = [key for key, versions in self._past.items() if versions[-1][1] is None and versions[-1][0] <= cut]
        for key in gone:
            del self._past[key]

    def get(self, key: str) -> R | None:
        return self._now.get(key)

    def __getitem__(self, key: str) -> R:
        return self._now[key]

    def __contains__(self, key: str) -> bool:
        return key in self._now

    def __len__(self) -> int:
        return len(self._now)

    def values(self) -> Iterator[R]:
        return iter(list(self._now.values()))

    def as_of(self, key: str, when: float) -> R | None:
        """The record at ``when``; None if it did not exist then."""
        found: R | None = None
        for time, record in self._past.get(key, ()):
            if time > when:
                break
            found = record
        return found

    def all_as_of(self, when: float) -> list[R]:
        """In order of creation."""
        views = (self.as_of(key, when) for key in self._past)
        return [record for record in views if record is not None]
