"""STATUS: can an ADD be served now?"""

from __future__ import annotations

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.health import HealthBoard

from vpccni_ipam.owner import PoolOwner

# What an ADD needs; a pool with free addresses serves without eni-manager.
_NEEDED = ("netconf", "store")


class Status:
    """One per process."""

    def __init__(self, owner: PoolOwner, health: HealthBoard) -> None:
        self._owner = owner
        self._health = health

    def __call__(self) -> None:
        """Raises ReasonError with the reason why not."""
        if not self._owner.started.is_set():
            raise self._owner.not_started
        for name in _NEEDED:
            state = self._health.dependencies[name]
            if not state.ok:
                reason = Reason(state.reason) if state.reason in Reason.__members__ else Reason.NOT_READY
                raise ReasonError(reason, state.message)
        refusal = self._owner.refusal()
        if refusal is not None:
            raise refusal
