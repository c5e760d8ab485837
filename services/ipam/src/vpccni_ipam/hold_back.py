"""What was given back to EC2 a moment ago, or perhaps was: it does not come back into the pool before EC2 has settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vpccni_ipam.domain.model import Moment

SETTLE_S: Final = 60.0
"""A release whose answer was lost may still be under way, and EC2's describe calls lag behind its changes."""


class HoldBack:
    """Addresses, prefixes and ENI ids by the time (monotonic seconds) until which EC2's word on them does not count."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def hold(self, items: Iterable[str], now: Moment, seconds: float = SETTLE_S) -> None:
        self.hold_until(dict.fromkeys(items, now.mono + seconds), now)

    def hold_until(self, until: Mapping[str, float], now: Moment) -> None:
        """``until``: monotonic seconds by item."""
        self._until = {item: at for item, at in {**self._until, **until}.items() if at > now.mono}

    def drop(self, items: Iterable[str]) -> None:
        """EC2 has just given them (again), or surely still has them."""
        for item in items:
            self._until.pop(item, None)

    def __bool__(self) -> bool:
        return bool(self._until)

    @property
    def ends(self) -> float:
        """Monotonic seconds at which the last item is not held back any more; 0: nothing is held back."""
        return max(self._until.values(), default=0.0)

    def until_unix(self, now: Moment) -> dict[str, float]:
        """What a process that starts later has to know: unix seconds by item."""
        return {item: round(now.unix + at - now.mono, 3) for item, at in self._until.items() if at > now.mono}

    def without(self, items: Iterable[str], now: Moment) -> tuple[str, ...]:
        """The items that are not held back."""
        return tuple(item for item in items if not self.holds(item, now))

    def holds(self, item: str, now: Moment) -> bool:
        return self._until.get(item, 0.0) > now.mono
