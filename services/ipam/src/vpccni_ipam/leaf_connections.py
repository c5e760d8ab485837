"""Keeps ipam connected to its two leaves: notices when one goes, and brings it up to date when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Final, Generic, TypeVar

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.health import HealthBoard

from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.domain.model import Inventory, NodeFacts
from vpccni_ipam.kernel_sync import KernelSync
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import Drift, EniManager, Netconf

log = logging.getLogger(__name__)
_RETRY_S: Final = 0.25
_DESCRIBE_TIMEOUT_S: Final = 10.0
_Item = TypeVar("_Item")


class _Connection(ABC, Generic[_Item]):
    """Holds a leaf's stream open: what the leaf must know is sent over the stream's connection, so that a leaf that restarts
    in between breaks the stream and is told again."""

    name: str
    away: Reason

    def __init__(self, owner: PoolOwner, health: HealthBoard) -> None:
        self._owner = owner
        self._health = health

    @abstractmethod
    def _watch(self) -> AsyncIterator[_Item]: ...

    @abstractmethod
    async def _connected(self, *, was_away: bool) -> None:
        """Brings the leaf up to date. Raises ReasonError."""

    @abstractmethod
    def _take(self, item: _Item) -> None: ...

    async def run(self) -> None:
        """From the end of start-up until cancelled."""
        await self._owner.started.wait()
        while True:
            stream = self._watch()
            first = asyncio.ensure_future(_next(stream))
            try:
                await self._connected(was_away=not self._health.dependencies[self.name].ok)
                self._take(await first)
                async for item in stream:
                    self._take(item)
            except (ReasonError, StopAsyncIteration) as error:
                await self._lost(error)
            finally:
                first.cancel()
                with contextlib.suppress(asyncio.CancelledError, ReasonError, StopAsyncIteration):
                    await first
                await _close(stream)
            await asyncio.sleep(_RETRY_S)

    async def _lost(self, error: Exception) -> None:
        reason = str(error.reason) if isinstance(error, ReasonError) else str(self.away)
        message = error.message if isinstance(error, ReasonError) else f"{self.name} ended its stream"
        if self._health.dependencies[self.name].ok:
            log.warning("%s is away: %s", self.name, message, extra={"reason": reason})
        await self._health.down(self.name, reason, message)


class NetconfConnection(_Connection[Drift]):
    """Watches netconf's stream. While it stands, netconf has what it was sent; when it breaks, everything is sent again."""

    name = "netconf"
    away = Reason.NETCONF_UNREACHABLE

    def __init__(
        self,
        owner: PoolOwner,
        netconf: Netconf,
        sync: KernelSync,
        del_pod: DelPod,
        health: HealthBoard,
        on_drift: Callable[[Drift], None],
    ) -> None:
        super().__init__(owner, health)
        self._netconf = netconf
        self._sync = sync
        self._del_pod = del_pod
        self._on_drift = on_drift

    def _watch(self) -> AsyncIterator[Drift]:
        return self._netconf.watch_drift()

    async def _connected(self, *, was_away: bool) -> None:
        await self._sync.everything()
        if was_away:
            log.info("netconf is back and has everything")
        await self._health.up(self.name)
        await self._del_pod.drain()

    def _take(self, item: Drift) -> None:
        self._on_drift(item)


class EniManagerConnection(_Connection[Inventory]):
    """Watches eni-manager's inventory stream and hands what comes to the keeper."""

    name = "eni-manager"
    away = Reason.ENI_MANAGER_UNREACHABLE

    def __init__(
        self,
        owner: PoolOwner,
        manager: EniManager,
        health: HealthBoard,
        push: Callable[[Inventory], None],
        on_return: Callable[[NodeFacts], None],
    ) -> None:
        super().__init__(owner, health)
        self._manager = manager
        self._push = push
        self._on_return = on_return

    def _watch(self) -> AsyncIterator[Inventory]:
        return self._manager.watch_inventory()

    async def _connected(self, *, was_away: bool) -> None:
        facts = await self._manager.describe(_DESCRIBE_TIMEOUT_S)
        if was_away:
            log.info("eni-manager is back")
            await self._health.up(self.name)
            self._on_return(facts)

    def _take(self, item: Inventory) -> None:
        self._push(item)


async def _next(stream: AsyncIterator[_Item]) -> _Item:
    return await anext(stream)


async def _close(stream: object) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        with contextlib.suppress(RuntimeError):
            await close()
