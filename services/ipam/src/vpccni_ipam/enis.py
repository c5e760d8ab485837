"""Brings the ENIs that EC2 has into the kernel and then into the pool."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_ipam.domain.eni_numbers import route_table
from vpccni_ipam.domain.model import EniFacts, EniState, Inventory, Source
from vpccni_ipam.domain.reconcile import Changes, additions
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import Netconf

log = logging.getLogger(__name__)
APPLY_ENI_TIMEOUT_S: Final = 30.0
RETRY_TIMEOUT_S: Final = 10.0
# Until then its addresses count as on their way; after that the pool grows elsewhere.
_TRIES_BEFORE_ASIDE: Final = 3
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 60.0


@dataclasses.dataclass(slots=True)
class _Failed:
    """An ENI that is not set up yet; ``retry_at``: monotonic seconds."""

    tries: int
    retry_at: float
    error: ReasonError


def _marks(eni: EniFacts) -> tuple[str, str]:
    return eni.excluded_why, eni.interface_type


class Enis:
    """One per process. ``eni_mtu`` in bytes."""

    def __init__(self, owner: PoolOwner, netconf: Netconf, eni_mtu: int) -> None:
        self._owner = owner
        self._netconf = netconf
        self._eni_mtu = eni_mtu
        self._failed: dict[str, _Failed] = {}
        self.unmanaged = 0
        self.generation = 0
        self.ec2_heard = False
        """True once EC2, which alone knows all ENIs, has said what there is."""

    @property
    def eni_ids(self) -> frozenset[str]:
        """All of the pool."""
        return frozenset(self._owner.pool.enis)

    async def take_over(self, inventory: Inventory) -> Changes:
        """Takes in everything that an EC2 inventory has and the pool has not: addresses of known ENIs at once, new ENIs
        after their set-up in the kernel. Returns what was new."""
        self._owner.serve()  # what cooled down before is free for longer than what comes now
        self.generation = inventory.generation
        self.unmanaged = sum(not eni.managed and eni.network_card == self._owner.pool.card for eni in inventory.enis)
        self.mark(inventory)
        changes = additions(self._owner.pool, inventory)
        for change in changes.added:
            self._add(change.eni_id, change.ips, change.prefixes)
        self._owner.serve()
        held_back, now = self._owner.held_back, self._owner.now()
        new_enis = [eni for eni in changes.new_enis if not held_back.holds(eni.eni_id, now)]
        for eni in new_enis:
            self._owner.pool.add_eni(
                eni, route_table(eni.device_number, eni.network_card), EniState.ATTACHING, self._owner.now()
            )
            if not eni.is_trunk:
                self._add(eni.eni_id, eni.secondary_ips, (*eni.ipv4_prefixes, *eni.ipv6_prefixes))
        await self.set_up(new_enis, APPLY_ENI_TIMEOUT_S)
        return changes

    def mark(self, inventory: Inventory) -> None:
        """Takes over what EC2's tags say of known ENIs: IMDS knows none."""
        pool = self._owner.pool
        self.ec2_heard = self.ec2_heard or inventory.source is Source.EC2
        for eni in inventory.enis if inventory.source is Source.EC2 else ():
            known = pool.enis.get(eni.eni_id)
            if known is None or _marks(known.facts) == _marks(eni):
                continue
            if eni.excluded_why != known.facts.excluded_why:
                log.info(
                    "ENI %s: %s", eni.eni_id, eni.excluded_why or "gives addresses again", extra={"eni": eni.eni_id}
                )
            pool.set_facts(eni)
            self._owner.changed.set()

    async def set_up(self, enis: Iterable[EniFacts], timeout: float) -> None:
        """Applies ENIs side by side, ``timeout`` seconds each; one that fails gives no address until a later try succeeds."""
        await asyncio.gather(*(self._set_up_one(eni, timeout) for eni in enis))
        self._owner.growth.setup_error = next((failed.error for failed in self._failed.values()), None)
        self._owner.serve()

    async def retry_failed(self) -> None:
        """Tries again what is due."""
        now = self._owner.now().mono
        due = [eni_id for eni_id, failed in self._failed.items() if failed.retry_at <= now]
        known = self._owner.pool.enis
        for eni_id in due:
            if eni_id not in known:
                del self._failed[eni_id]
        if due:
            await self.set_up([known[eni_id].facts for eni_id in due if eni_id in known], RETRY_TIMEOUT_S)

    def next_retry(self) -> float | None:
        """Monotonic seconds."""
        return min((failed.retry_at for failed in self._failed.values()), default=None)

    async def apply_all(self, timeout: float) -> None:
        """Sends every set-up ENI again (netconf restarted). Raises ReasonError."""
        pool = self._owner.pool
        enis = [e for e in pool.enis.values() if e.state is EniState.USABLE and not e.facts.is_primary]
        await asyncio.gather(*(self._netconf.apply_eni(e.facts, e.route_table, self._eni_mtu, timeout) for e in enis))

    def _add(self, eni_id: str, ips: tuple[str, ...], prefixes: tuple[str, ...]) -> None:
        pool = self._owner.pool
        held_back, now = self._owner.held_back, self._owner.now()
        if ips := held_back.without(ips, now):
            pool.add_addresses(eni_id, ips)
        for cidr in held_back.without(prefixes, now):
            pool.add_prefix(eni_id, cidr)
        self._owner.changed.set()

    async def _set_up_one(self, eni: EniFacts, timeout: float) -> None:
        pool = self._owner.pool
        table = route_table(eni.device_number, eni.network_card)
        try:
            if not eni.is_primary:
                table = await self._netconf.apply_eni(eni, table, self._eni_mtu, timeout)
        except ReasonError as error:
            self._owner.tally.error("increaseIPPoolsetupENIFailed")
            tries = self._failed[eni.eni_id].tries + 1 if eni.eni_id in self._failed else 1
            delay = min(_FIRST_RETRY_S * 2 ** (tries - 1), _LAST_RETRY_S)
            self._failed[eni.eni_id] = _Failed(tries, self._owner.now().mono + delay, error)
            aside = tries >= _TRIES_BEFORE_ASIDE
            pool.set_state(eni.eni_id, EniState.QUARANTINED if aside else EniState.ATTACHING)
            log.warning(
                "ENI %s is not set up: %s", eni.eni_id, error, extra={"eni": eni.eni_id, "reason": str(error.reason)}
            )
            return
        self._failed.pop(eni.eni_id, None)
        if eni.eni_id in pool.enis:
            pool.add_eni(
                eni, table or route_table(eni.device_number, eni.network_card), EniState.USABLE, self._owner.now()
            )
            log.info(
                "ENI %s is usable", eni.eni_id, extra={"eni": eni.eni_id, "addresses": pool.enis[eni.eni_id].total}
            )
