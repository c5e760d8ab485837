"""Keeps the pool at its target. Driven by events: the pool changed, an ADD waits, an inventory came, a timer is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from vpccni_kit.health import HealthBoard

from vpccni_ipam.domain.model import Inventory
from vpccni_ipam.enis import Enis
from vpccni_ipam.grow import Grow
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import PendingDels
from vpccni_ipam.reconcile import Reconcile
from vpccni_ipam.shrink import Shrink

log = logging.getLogger(__name__)
_LULL_S: Final = 0.05
_LONGEST_ROW_S: Final = 0.25


class Chores:
    """What the keeper does beside its pool: nothing."""

    async def before(self, seen: Inventory | None) -> None:
        """Of a round. ``seen``: an inventory that eni-manager has sent."""

    async def after(self) -> None:
        """Of a round."""


class NodeChores(Chores):
    """What concerns the node, and is done beside the pool of network card 0."""

    def __init__(
        self,
        owner: PoolOwner,
        health: HealthBoard,
        vpc_cidrs_changed: Callable[[tuple[str, ...]], Awaitable[None]],
        pending: PendingDels,
        drain_queue: Callable[[], Awaitable[int]],
    ) -> None:
        self._owner = owner
        self._health = health
        self._vpc_cidrs_changed = vpc_cidrs_changed
        self._pending = pending
        self._drain_queue = drain_queue

    async def before(self, seen: Inventory | None) -> None:
        """The plugin may queue a DEL while we live (a full socket backlog): seen when the next call comes."""
        if self._pending.changed() and self._health.dependencies["netconf"].ok:
            await self._drain_queue()
        if seen is not None and seen.vpc_cidrs:
            await self._vpc_cidrs_changed(seen.vpc_cidrs)

    async def after(self) -> None:
        """The dependency "pool": up while the node holds any address for pods, however many of them are in use."""
        if self._owner.supply().total:
            await self._health.up("pool")
            return
        error = self._owner.why_none()
        await self._health.down("pool", str(error.reason), error.message)


class Keeper:
    """One task per network card, the only one that asks EC2 (through eni-manager) for anything on it, so that no two changes of
    capacity overlap."""

    def __init__(self, owner: PoolOwner, enis: Enis, grow: Grow, shrink: Shrink, reconcile: Reconcile) -> None:
        self._owner = owner
        self._enis = enis
        self._grow = grow
        self._shrink = shrink
        self._reconcile = reconcile
        self.chores = Chores()
        self._seen: Inventory | None = None

    def push(self, inventory: Inventory) -> None:
        """The latest inventory that eni-manager sent on its own."""
        self._seen = inventory
        self._owner.wake()

    async def run(self) -> None:
        """Until cancelled."""
        changed = self._owner.changed
        while True:
            changed.clear()
            self._owner.urgent.clear()
            again = await self._round()
            await self.chores.after()
            if again:
                continue
            timers = (
                self._grow.next_try(),
                self._shrink.next_try(),
                self._shrink.unsure_at,
                self._reconcile.next_try(),
                self._enis.next_retry(),
                self._owner.pool.next_expiry(),
            )
            due = [timer for timer in timers if timer is not None]
            timeout = max(0.0, min(due) - self._owner.now().mono) + 0.001 if due else None
            try:
                async with asyncio.timeout(timeout):
                    await changed.wait()
            except TimeoutError:
                continue
            await lull(changed, self._owner.urgent)

    async def _round(self) -> bool:
        """One look at everything. True: look again at once."""
        self._owner.serve()
        seen, self._seen = self._seen, None
        await self.chores.before(seen)
        unsure = self._unsure()
        if await self._reconcile(seen, unsure=unsure):
            return True
        await self._enis.retry_failed()
        if await self._shrink.make_room():
            return True
        if await self._grow():
            return True
        return await self._shrink()

    def _unsure(self) -> bool:
        """True when it is time to ask EC2 what became of a release whose answer was lost."""
        at = self._shrink.unsure_at
        if at is None or self._owner.now().mono < at:
            return False
        self._shrink.unsure_at = None
        return True


async def lull(changed: asyncio.Event, urgent: asyncio.Event) -> None:
    """Waits until nothing has changed for 50 ms, at most 250 ms, or until it is urgent (``changed`` is set with it): ADDs and DELs
    that find what they need are not held up by looks at the targets, and a row of them is answered by one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_ROW_S):
            while not urgent.is_set():
                changed.clear()
                async with asyncio.timeout(_LULL_S):
                    await changed.wait()
