"""Brings the ENIs that EC2 has into the kernel and then into the pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_ipam.domain.model import EniFacts, EniState, Inventory
from vpccni_ipam.domain.names import route_table
from vpccni_ipam.domain.reconcile import Changes, additions
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import Netconf

log = logging.getLogger(__name__)
APPLY_ENI_TIMEOUT_S: Final = 30.0
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 60.0


class Enis:
    """One per process. ``eni_mtu`` in bytes."""

    def __init__(self, owner: PoolOwner, netconf: Netconf, eni_mtu: int) -> None:
        self._owner = owner
        self._netconf = netconf
        self._eni_mtu = eni_mtu
        self._retry: dict[str, tuple[float, float]] = {}
        self.last_error: ReasonError | None = None
        self.unmanaged = 0
        self.generation = 0

    async def take_over(self, inventory: Inventory) -> Changes:
        """Takes in everything that an EC2 inventory has and the pool has not: addresses of known ENIs at once, new ENIs
        after their set-up in the kernel. Returns what was new."""
        self._owner.serve()  # what cooled down before is free for longer than what comes now
        self.generation = inventory.generation
        self.unmanaged = sum(not eni.managed and eni.network_card == 0 for eni in inventory.enis)
        changes = additions(self._owner.pool, inventory)
        for change in changes.added:
            self._add(change.eni_id, change.ips, change.prefixes)
        self._owner.serve()
        for eni in changes.new_enis:
            self._owner.pool.add_eni(
                eni, route_table(eni.device_number, eni.network_card), EniState.ATTACHING, self._owner.now()
            )
            if not eni.is_trunk:
                self._add(eni.eni_id, eni.secondary_ips, (*eni.ipv4_prefixes, *eni.ipv6_prefixes))
        await self.set_up(changes.new_enis)
        return changes

    async def set_up(self, enis: Iterable[EniFacts]) -> None:
        """Applies ENIs side by side; one that fails gives no address until a later try succeeds."""
        await asyncio.gather(*(self._set_up_one(eni) for eni in enis))
        self._owner.serve()

    async def retry_failed(self) -> None:
        """Tries again what is due."""
        now = self._owner.now().mono
        due = [eni_id for eni_id, (at, _) in self._retry.items() if at <= now]
        known = self._owner.pool.enis
        for eni_id in due:
            if eni_id not in known:
                del self._retry[eni_id]
        await self.set_up([known[eni_id].facts for eni_id in due if eni_id in known])

    def next_retry(self) -> float | None:
        """Monotonic seconds."""
        return min((at for at, _ in self._retry.values()), default=None)

    async def apply_all(self, timeout: float) -> None:
        """Sends every set-up ENI again (netconf restarted). Raises ReasonError."""
        pool = self._owner.pool
        enis = [e for e in pool.enis.values() if e.state is EniState.USABLE and not e.facts.is_primary]
        await asyncio.gather(*(self._netconf.apply_eni(e.facts, e.route_table, self._eni_mtu, timeout) for e in enis))

    def _add(self, eni_id: str, ips: tuple[str, ...], prefixes: tuple[str, ...]) -> None:
        pool = self._owner.pool
        if ips:
            pool.add_addresses(eni_id, ips)
        for cidr in prefixes:
            pool.add_prefix(eni_id, cidr)
        self._owner.changed.set()

    async def _set_up_one(self, eni: EniFacts) -> None:
        pool = self._owner.pool
        table = route_table(eni.device_number, eni.network_card)
        try:
            if not eni.is_primary:
                table = await self._netconf.apply_eni(eni, table, self._eni_mtu, APPLY_ENI_TIMEOUT_S)
        except ReasonError as error:
            self._owner.tally.error("increaseIPPoolsetupENIFailed")
            self.last_error = error
            _, delay = self._retry.get(eni.eni_id, (0.0, _FIRST_RETRY_S / 2))
            delay = min(delay * 2, _LAST_RETRY_S)
            self._retry[eni.eni_id] = (self._owner.now().mono + delay, delay)
            pool.set_state(eni.eni_id, EniState.QUARANTINED)
            log.warning(
                "ENI %s is not set up: %s", eni.eni_id, error, extra={"eni": eni.eni_id, "reason": str(error.reason)}
            )
            return
        self._retry.pop(eni.eni_id, None)
        if eni.eni_id in pool.enis:
            pool.add_eni(
                eni, table or route_table(eni.device_number, eni.network_card), EniState.USABLE, self._owner.now()
            )
            log.info(
                "ENI %s is usable", eni.eni_id, extra={"eni": eni.eni_id, "addresses": pool.enis[eni.eni_id].total}
            )
