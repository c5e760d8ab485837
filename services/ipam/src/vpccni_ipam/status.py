"""STATUS: can an ADD be served now?"""

from __future__ import annotations

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.health import HealthBoard

from vpccni_ipam.pools import Pools

# What an ADD needs; a pool with free addresses serves without eni-manager.
_NEEDED = ("netconf", "store")


class Status:
    """One per process."""

    def __init__(self, pools: Pools, health: HealthBoard) -> None:
        self._pools = pools
        self._health = health

    def __call__(self) -> None:
        """Raises ReasonError with the reason why not."""
        first = self._pools.first
        if not first.started.is_set():
            raise first.not_started
        for name in _NEEDED:
            state = self._health.dependencies[name]
            if not state.ok:
                reason = Reason(state.reason) if state.reason in Reason.__members__ else Reason.NOT_READY
                raise ReasonError(reason, state.message)
        refusal = self._pools.refusal()
        if refusal is not None:
            raise refusal
