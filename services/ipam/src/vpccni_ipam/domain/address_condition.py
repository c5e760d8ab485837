"""The node's condition PodAddressesExhausted: no pod can get an address here, and waiting does not change it."""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

TYPE: Final = "PodAddressesExhausted"
"""Of the condition; True is bad, as for MemoryPressure and its like."""
LASTS_S: Final = 10.0
"""Seconds that a state lasts before it is said: a burst of pods that growth is about to serve is no news."""
# With these there is nothing to repair: addresses are on their way, cool down, or the node runs as many pods as it may.
_PASSING: Final = frozenset({Reason.POOL_WARMING, Reason.ALL_COOLING, Reason.MAX_PODS})


@dataclasses.dataclass(frozen=True, slots=True)
class NodeCondition:
    """``reason``: a name of the reasons while ``exhausted``."""

    exhausted: bool
    reason: str
    message: str


def condition_of(refusal: ReasonError | None) -> NodeCondition:
    """``refusal``: of an ADD now; None while an address is free."""
    if refusal is None or refusal.reason in _PASSING:
        return NodeCondition(False, "AddressesAvailable", "pods get addresses")
    return NodeCondition(True, str(refusal.reason), refusal.message)


class SteadyCondition:
    """What has been so for a while; the message alone (its counts) is no change."""

    def __init__(self) -> None:
        self._latest: tuple[bool, str] | None = None
        self._since = 0.0

    def look(self, found: NodeCondition, now: float) -> NodeCondition | None:
        """``found`` once it has lasted for LASTS_S, else None. ``now``: monotonic seconds, never less than before."""
        state = (found.exhausted, found.reason)
        if state != self._latest:
            self._latest, self._since = state, now
        return found if now - self._since >= LASTS_S else None
