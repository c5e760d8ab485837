"""Reconcile: the pool with what IMDS and EC2 say. EC2 is asked only when IMDS differs, and ever less often if it stays so."""

from __future__ import annotations

import logging
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit import telemetry

from vpccni_ipam.domain.model import EniFacts, EniState, Inventory, Source
from vpccni_ipam.domain.reconcile import Changes, compare, differs
from vpccni_ipam.enis import RETRY_TIMEOUT_S, Enis
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import EniManager, Netconf

log = logging.getLogger(__name__)
INVENTORY_TIMEOUT_S: Final = 30.0
_KERNEL_TIMEOUT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 60.0
_LAST_PAUSE_S: Final = 3600.0


class Reconcile:
    """One per process; only the keeper calls it."""

    def __init__(self, owner: PoolOwner, enis: Enis, manager: EniManager, netconf: Netconf) -> None:
        self._owner = owner
        self._enis = enis
        self._manager = manager
        self._netconf = netconf
        self._due: float | None = None
        self._pause = _FIRST_PAUSE_S
        self._judged: tuple[EniFacts, ...] = ()

    def next_try(self) -> float | None:
        """Monotonic seconds of the next look when IMDS and pool differed last time."""
        return self._due

    async def __call__(self, seen: Inventory | None, *, unsure: bool = False) -> bool:
        """``seen``: an inventory that eni-manager sent, None when only the time has come. ``unsure``: ask EC2 whatever IMDS says.

        True: the pool changed.
        """
        now = self._owner.now().mono
        due = self._due is not None and now >= self._due
        if seen is None and not due and not unsure:
            return False
        try:
            return await self._look(seen, unsure)
        except ReasonError as error:
            self._owner.tally.error("reconcileFailedGetENIs")
            log.warning("reconcile: %s", error, extra={"reason": str(error.reason)})
            self._later()
            return False

    async def _look(self, seen: Inventory | None, unsure: bool) -> bool:
        pool = self._owner.pool
        if seen is not None and seen.source is Source.EC2 and seen.generation < self._enis.generation:
            return False  # older than what was taken over already
        if seen is not None:
            self._enis.mark(seen)
        if seen is not None and not unsure and not differs(pool, seen):
            self._settled()
            return False
        if seen is not None and not unsure and seen.enis == self._judged and self._owner.now().mono < (self._due or 0):
            return False  # the same difference as before, and EC2 was asked: wait for the pause to end
        self._judged = seen.enis if seen is not None else self._judged
        imds = seen
        if imds is None or imds.source is not Source.IMDS:
            imds = await self._manager.inventory(Source.IMDS, INVENTORY_TIMEOUT_S)
        ec2 = await self._manager.inventory(Source.EC2, INVENTORY_TIMEOUT_S)
        changes = compare(pool, imds, ec2)
        tally = self._owner.tally
        tally.reconciled("eniReconcileAdd", len(changes.new_enis))
        tally.reconciled("eniReconcileDel", len(changes.gone_enis))
        tally.reconciled("eniDataStorePoolReconcileAdd", sum(len(c.ips) + len(c.prefixes) for c in changes.added))
        tally.reconciled("eniIPPoolReconcileDel", sum(len(c.ips) + len(c.prefixes) for c in changes.gone))
        with tally.doing("nodeIPPoolReconcile"), telemetry.span("pool.reconcile"):
            await self._enis.take_over(ec2)
            for eni_id, eni in list(pool.enis.items()):
                held = self._owner.held_back.holds(eni_id, self._owner.now())
                back = eni.state is EniState.QUARANTINED and eni_id not in changes.gone_enis and eni_id in ec2.by_id()
                if back and not held:
                    await self._enis.set_up([eni.facts], RETRY_TIMEOUT_S)
            self._disown(changes)
            for eni_id in changes.gone_enis:
                await self._gone(eni_id)
        if differs(pool, imds):
            self._later()
        else:
            self._settled()
        return bool(changes)

    def _disown(self, changes: Changes) -> None:
        pool = self._owner.pool
        for change in changes.gone:
            kept = pool.disown(change.eni_id, change.ips)
            for cidr in change.prefixes:
                kept += pool.disown_prefix(change.eni_id, cidr)
            self._owner.tally.add("awscni_force_removed_ips", by=len(kept))
            extra = {"eni": change.eni_id, "gone": [*change.ips, *change.prefixes], "kept": list(kept)}
            log.warning("EC2 and IMDS no longer have addresses of the pool; pods that use them keep them", extra=extra)
        self._owner.changed.set()

    async def _gone(self, eni_id: str) -> None:
        """Detached or taken out of management. With pods on it: set aside until they are gone."""
        pool = self._owner.pool
        eni = pool.enis[eni_id]
        if not pool.remove_eni(eni_id):
            if eni.state is not EniState.QUARANTINED:
                self._owner.tally.add("awscni_force_removed_enis")
                log.warning("ENI %s is gone or no longer managed, its pods stay", eni_id, extra={"eni": eni_id})
            pool.set_state(eni_id, EniState.QUARANTINED)
            return
        await self._netconf.remove_eni(eni_id, eni.facts.primary_ip, eni.route_table, _KERNEL_TIMEOUT_S)

    def _later(self) -> None:
        self._due = self._owner.now().mono + self._pause
        self._pause = min(self._pause * 2, _LAST_PAUSE_S)

    def _settled(self) -> None:
        self._due, self._pause = None, _FIRST_PAUSE_S
