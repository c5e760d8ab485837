"""Growth: one EnsureCapacity step at a time until the pool is no longer low."""

from __future__ import annotations

import logging
import random
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.backoff import full_jitter

from vpccni_ipam.domain.growth import GrowthStep, Room, Slots, next_step, room_left, servable, takes_addresses
from vpccni_ipam.domain.targets import Targets
from vpccni_ipam.enis import Enis
from vpccni_ipam.owner import FINAL, PoolOwner
from vpccni_ipam.ports import EniManager, Grown, GrowthRequest

log = logging.getLogger(__name__)
STEP_TIMEOUT_S: Final = 120.0
# (first, longest) pause in seconds after a failed step; what only a person or another node can change is asked rarely.
_PAUSE_FINAL: Final = (2.0, 120.0)
_PAUSE: Final = (0.2, 20.0)


class Grow:
    """One per process; only the keeper calls it."""

    def __init__(
        self, owner: PoolOwner, enis: Enis, manager: EniManager, targets: Targets, *, frozen: str = ""
    ) -> None:
        """``frozen``: why this node never grows; empty: it does."""
        self._owner = owner
        self._enis = enis
        self._manager = manager
        self.targets = targets
        self.slots: Slots | None = None
        self.frozen = frozen
        self._attempts = 0
        self._retry_at = 0.0
        self._next: float | None = None

    def room(self) -> Room:
        assert self.slots is not None
        return room_left(self.slots, self._owner.pool.enis.values(), self._enis.unmanaged)

    def next_try(self) -> float | None:
        """Monotonic seconds of the next try after a failure; None: nothing to try."""
        return self._next

    def hurry(self) -> None:
        """Something changed for the better (a dependency is back): try at once."""
        self._retry_at = 0.0

    async def __call__(self) -> bool:
        """Takes one step if one is due. True: call again, there may be more to do."""
        self._next = None
        if self.slots is None:
            return False
        owner = self._owner
        step = next_step(self.targets, owner.supply(), self.slots.limits, self.room())
        refusal = self._refusal(step)
        if refusal is not None:
            owner.growth.error = refusal if len(owner.waiting) or self.frozen else None
            self._fail_hopeless(growing=False)
            return False
        if step is None:
            owner.growth.error, self._attempts = None, 0
            return False
        if owner.now().mono < self._retry_at:
            self._next = self._retry_at
            self._fail_hopeless(growing=not self._final())
            return False
        self._fail_hopeless(growing=True)
        return await self._take(step)

    def _final(self) -> bool:
        error = self._owner.growth.error
        return error is not None and error.reason in FINAL

    def _refusal(self, step: GrowthStep | None) -> ReasonError | None:
        """Why no step can help, when ADDs wait and none can."""
        if step is not None:
            return ReasonError(Reason.NODE_NOT_GROWING, self.frozen) if self.frozen else None
        supply = self._owner.supply()
        if supply.available >= 0:
            return None
        assert self.slots is not None
        if self.targets.max_pods and supply.total >= self.targets.max_pods:
            return ReasonError(
                Reason.MAX_PODS, f"the node holds {supply.total} addresses for at most {self.targets.max_pods} pods"
            )
        enis, per_eni = len(self._owner.pool.enis) + self._enis.unmanaged, self.slots.limits.slots_per_eni
        return ReasonError(
            Reason.ENI_LIMIT,
            f"{enis} of {self.slots.max_enis} ENIs are attached and filled with {per_eni} addresses or prefixes each",
        )

    def _fail_hopeless(self, *, growing: bool) -> None:
        """Fails the ADDs at the end of the queue that neither growth nor the end of a cooldown can serve."""
        owner = self._owner
        if not len(owner.waiting):
            return
        supply = owner.supply()
        room = self.room() if growing else Room(0, 0, 0)
        count = servable(self.targets, supply, room)
        if count >= supply.waiting:
            return
        error = owner.growth.error
        if error is None or (growing and not self._final()):
            limit = self.slots.max_enis if self.slots else 0
            error = ReasonError(
                Reason.ENI_LIMIT,
                f"{supply.waiting} ADDs wait and {count} addresses at most can be had with {limit} ENIs",
            )
        failed = owner.waiting.fail_beyond(count, error)
        log.warning("%d waiting ADDs failed", failed, extra={"reason": str(error.reason)})

    async def _take(self, step: GrowthStep) -> bool:
        owner = self._owner
        growth = owner.growth
        before = owner.supply()
        doing = owner.tally.doing("increaseDatastorePool")
        with doing, telemetry.span("pool.grow", links=owner.waiting.traceparents()) as span:
            growth.active, growth.since_unix, growth.traceparent = True, owner.now().unix, span.traceparent
            span.set("vpccni.want", step.want)
            span.set("vpccni.waiting", before.waiting)
            try:
                grown = await self._manager.ensure_capacity(self._request(step), STEP_TIMEOUT_S)
                await self._enis.take_over(grown.inventory)
                self._take_named(grown)
                growth.candidates = grown.candidates
                if not self._progress(before.total):
                    raise self._enis.last_error or ReasonError(
                        Reason.POOL_WARMING, f"the step ({grown.action} {grown.eni_id}) brought no new address"
                    )
            except ReasonError as error:
                span.fail(str(error.reason), error.message)
                self._failed(error, step)
                return False
            finally:
                growth.active = False
        growth.error, self._attempts, self._retry_at = None, 0, 0.0
        log.info("pool grew: %s %s", grown.action, grown.eni_id, extra={"eni": grown.eni_id, "want": step.want})
        return True

    def _progress(self, total_before: int) -> bool:
        return self._owner.supply().total > total_before

    def _take_named(self, grown: Grown) -> None:
        """What the step says it added counts even if the inventory that came with it lags behind."""
        pool = self._owner.pool
        eni = pool.enis.get(grown.eni_id)
        if eni is None or eni.facts.is_trunk:
            return
        pool.add_addresses(grown.eni_id, grown.addresses)
        for cidr in grown.prefixes:
            pool.add_prefix(grown.eni_id, cidr)
        self._owner.serve()

    def _failed(self, error: ReasonError, step: GrowthStep) -> None:
        self._owner.tally.add("vpccni_growth_failures_total", str(error.reason))
        filled = self.room().attached == 0 and step.may_create_eni
        self._owner.tally.error("increaseIPPoolAllocENI" if filled else "increaseIPPoolAllocIPAddressesFailed")
        base, cap = _PAUSE_FINAL if error.reason in FINAL else _PAUSE
        pause = base / 2 + full_jitter(self._attempts, random.random(), base_s=base, cap_s=cap)
        self._attempts += 1
        self._retry_at = self._next = self._owner.now().mono + pause
        self._owner.growth.error = error
        log.warning(
            "growth failed, next try in %.1f s: %s",
            pause,
            error,
            extra={"reason": str(error.reason), "tries": self._attempts},
        )
        self._fail_hopeless(growing=error.reason not in FINAL)

    def _request(self, step: GrowthStep) -> GrowthRequest:
        assert self.slots is not None
        excluded = tuple(eni_id for eni_id, eni in self._owner.pool.enis.items() if not takes_addresses(eni))
        return GrowthRequest(step, self.targets.prefixes, self.slots.max_enis, self.slots.reserved_enis, excluded)
