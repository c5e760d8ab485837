"""Growth: one EnsureCapacity step at a time until the pool is no longer low."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry

from vpccni_ipam.domain.eni_config import EniConfig
from vpccni_ipam.domain.growth import (
    GrowthStep,
    Room,
    Slots,
    next_step,
    retry_pause_s,
    room_left,
    servable,
    takes_addresses,
)
from vpccni_ipam.domain.model import AddressMode
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import STAND_IN_MOST_S, Targets, in_effect, stand_in_s
from vpccni_ipam.enis import Enis
from vpccni_ipam.owner import FINAL, PoolOwner
from vpccni_ipam.ports import EniManager, Grown, GrowthRequest

log = logging.getLogger(__name__)
STEP_TIMEOUT_S: Final = 120.0
# A burst of ADDs is one call: a step whose size depends on the demand waits until none came for this long, or so long in all.
_QUIET_S: Final = 0.05
_GATHER_S: Final = 0.25


class Grow:
    """One per process; only the keeper calls it."""

    def __init__(
        self, owner: PoolOwner, enis: Enis, manager: EniManager, targets: Targets, *, frozen: str = ""
    ) -> None:
        """``frozen``: why this node never grows; empty: it does."""
        self._owner = owner
        self._enis = enis
        self._manager = manager
        self.configured = targets
        self.slots: Slots | None = None
        self.frozen = frozen
        self.profile: Callable[[], EniConfig | None] = lambda: None
        """Subnet and security groups of new ENIs; None: the node's own. May raise ReasonError."""
        self.on_failed: Callable[[ReasonError], None] = lambda _: None
        self._attempts = 0
        self._retry_at = self._rest_until = 0.0
        self._next: float | None = None
        self._low_since: float | None = None
        self._prefixes_at = 0.0
        self._prefixes_by: float | None = None
        self._without_prefix = 0

    @property
    def targets(self) -> Targets:
        """Those in effect: single addresses stand in for prefixes while there are none."""
        return in_effect(self.configured, singles_stand_in=self._owner.pool.singles_stand_in)

    @property
    def _stopped(self) -> str:
        return self.frozen or self._owner.cordoned

    @property
    def _holder(self) -> str:
        """For messages."""
        card = self._owner.pool.card
        return f"network card {card}" if card else "the node"

    def _slots_left(self) -> Slots:
        """One ENI less while a trunk is to come (ENABLE_POD_ENI)."""
        assert self.slots is not None
        trunk = any(eni.facts.is_trunk for eni in self._owner.pool.enis.values())
        return dataclasses.replace(self.slots, reserved_enis=0) if trunk else self.slots

    def room(self) -> Room:
        assert self.slots is not None
        enis, unmanaged = self._owner.pool.enis.values(), self._enis.unmanaged
        return room_left(self._slots_left(), enis, unmanaged, ipv6=self.configured.ipv6)

    def next_try(self) -> float | None:
        """Monotonic seconds of the next try after a failure, or of the next try to get prefixes; None: nothing to try."""
        due = [at for at in (self._next, self._prefixes_by) if at is not None]
        return min(due, default=None)

    def hurry(self) -> None:
        """Something changed for the better (a dependency is back): try at once."""
        self._retry_at = self._rest_until = 0.0
        if self._prefixes_by is not None:
            self._prefixes_by = 0.0

    def triage(self) -> None:
        """Fails the ADDs that no step can serve, also while a step is under way."""
        error = self._owner.growth.error
        blocked = error is not None and self._final() and self._owner.now().mono < self._retry_at
        self._fail_hopeless(error if blocked else None, growing=not blocked and not self._stopped)

    async def __call__(self) -> bool:
        """Takes one step if one is due. True: call again, there may be more to do."""
        self._next = None
        if self.slots is None:
            return False
        owner = self._owner
        self._prefixes_again()
        step = self._step()
        owner.growth.limit = limit = self._limit(step)
        if limit is not None:
            step = None
        if step is None:
            owner.growth.error, self._attempts, self._low_since, self._rest_until = None, 0, None, 0.0
            self._fail_hopeless(limit, growing=False)
            return False
        until = self._retry_at if len(owner.waiting) else max(self._retry_at, self._rest_until)
        if owner.now().mono < until:
            self._next = until
            self._fail_hopeless(owner.growth.error, growing=not self._final())
            return False
        self._fail_hopeless(None, growing=True)
        if not step.whole_eni and self._gathering():
            return False
        self._low_since = None
        return await self._take(step)

    def _prefixes_again(self) -> None:
        """When the pool has to grow anyway, and once in a while without that: single addresses stop counting, and the pool is low."""
        if self._prefixes_by is None:
            return
        now = self._owner.now().mono
        if now >= self._prefixes_by or (now >= self._prefixes_at and self._step() is not None):
            self._prefixes_by = None
            self._owner.pool.singles_stand_in = False

    def _step(self) -> GrowthStep | None:
        assert self.slots is not None
        return next_step(self.targets, self._owner.supply(), self.slots.limits, self.room())

    def _no_prefix(self, error: ReasonError) -> None:
        """Fragmented subnets: the pool goes on with single addresses."""
        pause = stand_in_s(self._without_prefix)
        self._without_prefix += 1
        self._prefixes_at = self._owner.now().mono + pause
        self._prefixes_by = self._owner.now().mono + STAND_IN_MOST_S
        self._owner.pool.singles_stand_in = True
        self._owner.tally.add("vpccni_growth_failures_total", str(error.reason))
        self.on_failed(error)
        log.warning(
            "no prefix to be had, single addresses for the next %.0f s: %s",
            pause,
            error,
            extra={"reason": str(error.reason), "tries": self._without_prefix},
        )

    def _gathering(self) -> bool:
        now = self._owner.now().mono
        self._low_since = now if self._low_since is None else self._low_since
        self._next = min(self._owner.last_demand + _QUIET_S, self._low_since + _GATHER_S)
        return now < self._next

    def _final(self) -> bool:
        error = self._owner.growth.error
        return error is not None and error.reason in FINAL

    def _limit(self, step: GrowthStep | None) -> ReasonError | None:
        """Why no step can be taken although the pool is low; None: one can, or none is needed."""
        if step is not None:
            return ReasonError(Reason.NODE_NOT_GROWING, self._stopped) if self._stopped else None
        supply, slots = self._owner.supply(), self.slots
        if slots is None or supply.available > 0:
            return None
        full = self.targets.max_pods and supply.total >= self.targets.max_pods
        return self._why_full(slots, supply) if full or not self.room().slots else None

    def _why_full(self, slots: Slots, supply: Supply) -> ReasonError:
        """Whether it is the number of pods or the instance that ends growth."""
        most = self.targets.max_pods
        if most and supply.total + self.room().addresses(self.targets.mode) > most:
            return ReasonError(Reason.MAX_PODS, f"the node holds {supply.total} addresses and runs at most {most} pods")
        kind = "prefixes" if self.targets.prefixes else "secondary addresses"
        others = f", {self._enis.unmanaged} of them not managed" if self._enis.unmanaged else ""
        return ReasonError(
            Reason.ENI_LIMIT,
            f"{self._holder} may have {slots.max_enis} ENIs{others}, with {slots.limits.slots_per_eni} {kind} each; "
            f"{supply.assigned} addresses are assigned and {supply.waiting} ADDs wait",
        )

    def _fail_hopeless(self, because: ReasonError | None, *, growing: bool) -> None:
        """Fails the ADDs at the end of the queue that neither growth nor the end of a cooldown can serve."""
        owner, slots = self._owner, self.slots
        if slots is None or not len(owner.waiting):
            return
        supply = owner.supply()
        count = servable(self.targets, supply, self.room() if growing else Room(0, 0, 0))
        if count < supply.waiting:
            frozen = ReasonError(Reason.NODE_NOT_GROWING, self._stopped) if self._stopped else None
            error = because or frozen or self._why_full(slots, supply)
            failed = owner.waiting.fail_beyond(count, error)
            log.warning("%d waiting ADDs failed: %s", failed, error, extra={"reason": str(error.reason)})

    async def _take(self, step: GrowthStep) -> bool:
        owner = self._owner
        growth = owner.growth
        before = owner.supply()
        doing = owner.tally.doing("increaseDatastorePool")
        # Part of the trace of the ADD that waits longest; the others link to it. Without any, a trace of its own.
        waiting = owner.waiting.traceparents()
        with doing, telemetry.span("pool.grow", parent=waiting[0] if waiting else "", links=waiting[1:]) as span:
            growth.active, growth.since_unix, growth.traceparent = True, owner.now().unix, span.traceparent
            mode = self.targets.mode
            span.set("vpccni.want", step.want)
            span.set("vpccni.mode", mode.value)
            span.set("vpccni.waiting", before.waiting)
            try:
                grown = await self._manager.ensure_capacity(self._request(step), STEP_TIMEOUT_S)
                await self._enis.take_over(grown.inventory)
                self._take_named(grown)
                # A step that only filled an ENI looked at no subnet: what is known of them stays.
                growth.candidates = grown.candidates or growth.candidates
                if not self._progress(before.total):
                    raise growth.setup_error or ReasonError(
                        Reason.POOL_WARMING, f"the step ({grown.action} {grown.eni_id}) brought no new address"
                    )
            except ReasonError as error:
                growth.candidates = error.details
                span.fail(str(error.reason), error.message)
                if error.reason is Reason.SUBNET_NO_PREFIX and mode is AddressMode.PREFIX_IPV4:
                    self._no_prefix(error)
                    return True
                self._failed(error, step)
                return False
            finally:
                growth.active = False
        growth.error, self._attempts, self._retry_at, self._rest_until = None, 0, 0.0, 0.0
        if mode is AddressMode.PREFIX_IPV4:
            self._without_prefix = 0
        log.info("pool grew: %s %s", grown.action, grown.eni_id, extra={"eni": grown.eni_id, "want": step.want})
        return True

    def _progress(self, total_before: int) -> bool:
        return self._owner.supply().total > total_before

    def _take_named(self, grown: Grown) -> None:
        """What the step says it added counts even if the inventory that came with it lags behind."""
        pool = self._owner.pool
        eni = pool.enis.get(grown.eni_id)
        self._owner.given_again((*grown.addresses, *grown.prefixes))
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
        final, now, share = error.reason in FINAL, self._owner.now().mono, random.random()
        self._retry_at = now + retry_pause_s(self._attempts, share, final=final, demand=True)
        self._rest_until = now + retry_pause_s(self._attempts, share, final=final, demand=False)
        self._attempts += 1
        self._next = self._retry_at if len(self._owner.waiting) else self._rest_until
        self._owner.growth.error = error
        self.on_failed(error)
        log.warning(
            "growth failed, next try in %.1f s: %s",
            self._next - now,
            error,
            extra={"reason": str(error.reason), "tries": self._attempts},
        )
        self._fail_hopeless(error if final else None, growing=not final)

    def _request(self, step: GrowthStep) -> GrowthRequest:
        assert self.slots is not None
        excluded = tuple(eni_id for eni_id, eni in self._owner.pool.enis.items() if not takes_addresses(eni))
        reserved, card = self._slots_left().reserved_enis, self._owner.pool.card
        return GrowthRequest(step, self.targets.mode, self.slots.max_enis, reserved, excluded, self.profile(), card)
