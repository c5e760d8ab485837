"""Giving back what is over the target: paced, and only what has been over it for a while."""

from __future__ import annotations

import logging
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit import telemetry

from vpccni_ipam.domain.giveback import FromEni, GiveBack, old_enough_in, plan_give_back, plan_room, surely_not_done
from vpccni_ipam.domain.growth import Slots
from vpccni_ipam.domain.model import EniState
from vpccni_ipam.domain.targets import Targets, in_effect
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import EniManager, Netconf

log = logging.getLogger(__name__)
ADDRESSES_TIMEOUT_S: Final = 30.0
ENIS_TIMEOUT_S: Final = 120.0
_KERNEL_TIMEOUT_S: Final = 5.0


class Shrink:
    """One per process; only the keeper calls it. ``pace_s``: least seconds between two releases, and how long a surplus
    must last before it is released."""

    def __init__(
        self, owner: PoolOwner, manager: EniManager, netconf: Netconf, targets: Targets, pace_s: float = 30.0
    ) -> None:
        self._owner = owner
        self._manager = manager
        self._netconf = netconf
        self.configured = targets
        self.slots: Slots | None = None
        self._pace_s = pace_s
        self._due: float | None = None
        self._look_again: float | None = None
        self.unsure_at: float | None = None

    def ask_later(self) -> None:
        """Has reconcile ask EC2 when what is held back has settled."""
        self.unsure_at = self._owner.held_back.ends + 1.0

    def next_try(self) -> float | None:
        """Monotonic seconds; None: nothing is over the target, and no ENI is only too young to go."""
        return min((at for at in (self._due, self._look_again) if at is not None), default=None)

    async def __call__(self) -> bool:
        """Releases if something is due. True: the pool changed."""
        self._look_again = None
        if self.slots is None:
            self._due = None
            return False
        owner, now = self._owner, self._owner.now()
        plan = plan_give_back(
            self._targets,
            owner.supply(),
            self.slots.limits,
            owner.pool.enis.values(),
            now.unix,
            keep_enis=bool(owner.cordoned),
        )
        if not plan:
            self._due = None
            seconds = old_enough_in(owner.pool.enis.values(), now.unix)
            self._look_again = None if seconds is None else now.mono + seconds
            return False
        if self._due is None:
            self._due = now.mono + self._pace_s
        if now.mono < self._due:
            return False
        self._due = now.mono + self._pace_s
        await self._release(plan)
        return True

    async def make_room(self) -> bool:
        """Before growth joins another ENI: slots that free addresses of the other mode take up. True: the pool changed."""
        if self.slots is None or self._owner.cordoned:
            return False
        plan = plan_room(self._targets, self._owner.supply(), self.slots.limits, self._owner.pool.enis.values())
        if plan:
            await self._release(plan)
        return bool(plan)

    @property
    def _targets(self) -> Targets:
        return in_effect(self.configured, singles_stand_in=self._owner.pool.singles_stand_in)

    async def _release(self, plan: GiveBack) -> None:
        """Out of the pool first, then out of EC2: what is on its way out can never be given to a pod."""
        pool = self._owner.pool
        taken: list[FromEni] = []
        for item in plan.addresses:
            ips = pool.remove_addresses(item.eni_id, item.ips)
            prefixes = tuple(cidr for cidr in item.prefixes if pool.remove_prefix(item.eni_id, cidr))
            if ips or prefixes:
                taken.append(FromEni(item.eni_id, ips, prefixes))
        for eni_id in plan.eni_ids:
            pool.set_state(eni_id, EniState.RELEASING)
        given = GiveBack(tuple([eni_id for eni_id in plan.eni_ids if await self._unwired(eni_id)]), tuple(taken))
        if not given:
            return
        with self._owner.tally.doing("decreaseDatastorePool"), telemetry.span("pool.shrink") as span:
            span.set("vpccni.enis", len(given.eni_ids))
            span.set("vpccni.addresses", sum(len(item.ips) for item in taken))
            timeout = ENIS_TIMEOUT_S if given.eni_ids else ADDRESSES_TIMEOUT_S
            try:
                await self._owner.releasing(given.names, timeout)
                await self._manager.release_capacity(given, timeout)
            except ReasonError as error:
                span.fail(str(error.reason), error.message)
                self._owner.tally.error("decreaseIPPoolFreeENIFailed")
                log.warning("release failed: %s", error, extra={"reason": str(error.reason)})
                self._owner.released(given.names)
                self._failed(given, error)
                return
            self._owner.released(given.names)
        for eni_id in given.eni_ids:
            pool.remove_eni(eni_id)
        log.info("pool shrank", extra={"given_back": list(given.names)})

    def _failed(self, what: GiveBack, error: ReasonError) -> None:
        """Reconcile asks EC2 what it still has, and that comes back: at once when EC2 surely did nothing, else when a release
        that may go on without us has settled."""
        for eni_id in what.eni_ids:
            self._owner.pool.set_state(eni_id, EniState.QUARANTINED)
        if surely_not_done(what, error.reason):
            self._owner.given_again(what.names)
            self.unsure_at = self._owner.now().mono
        else:
            self.ask_later()

    async def _unwired(self, eni_id: str) -> bool:
        """Its rules go first: a process that ends in between must not leave those of an ENI that is no more. False: not now."""
        eni = self._owner.pool.enis[eni_id]
        try:
            await self._netconf.remove_eni(eni_id, eni.facts.primary_ip, eni.route_table, _KERNEL_TIMEOUT_S)
        except ReasonError as error:
            log.warning("ENI %s stays for now: %s", eni_id, error, extra={"eni": eni_id, "reason": str(error.reason)})
            self._owner.pool.set_state(eni_id, EniState.USABLE)
            return False
        return True
