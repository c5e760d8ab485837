"""Keeps the two leaves connected: notices when one goes, and brings it up to date when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit.health import HealthBoard

from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.domain.model import Inventory, NodeFacts
from vpccni_ipam.kernel_sync import KernelSync
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import Drift, EniManager, Netconf

log = logging.getLogger(__name__)
_RETRY_S: Final = 0.25
_DESCRIBE_TIMEOUT_S: Final = 10.0


class NetconfLink:
    """Watches netconf's stream. While it stands, netconf has what it was sent; when it breaks, everything is sent again."""

    def __init__(
        self,
        owner: PoolOwner,
        netconf: Netconf,
        sync: KernelSync,
        del_pod: DelPod,
        health: HealthBoard,
        on_drift: Callable[[Drift], None],
    ) -> None:
        self._owner = owner
        self._netconf = netconf
        self._sync = sync
        self._del_pod = del_pod
        self._health = health
        self._on_drift = on_drift

    async def run(self) -> None:
        """From the end of start-up until cancelled."""
        await self._owner.started.wait()
        while True:
            stream = self._netconf.watch_drift()
            first = asyncio.ensure_future(anext(stream))
            try:
                # Sent over the stream's connection: if netconf restarts in between, the stream breaks and we start over.
                await self._sync.everything()
                if not self._health.dependencies["netconf"].ok:
                    log.info("netconf is back and has everything")
                await self._health.up("netconf")
                await self._del_pod.drain()
                self._on_drift(await first)
                async for event in stream:
                    self._on_drift(event)
            except (ReasonError, StopAsyncIteration) as error:
                await self._lost(error)
            finally:
                first.cancel()
                with contextlib.suppress(asyncio.CancelledError, ReasonError, StopAsyncIteration):
                    await first
                await _close(stream)
            await asyncio.sleep(_RETRY_S)

    async def _lost(self, error: Exception) -> None:
        reason = str(error.reason) if isinstance(error, ReasonError) else "NETCONF_UNREACHABLE"
        message = error.message if isinstance(error, ReasonError) else "netconf ended its stream"
        if self._health.dependencies["netconf"].ok:
            log.warning("netconf is away: %s", message, extra={"reason": reason})
        await self._health.down("netconf", reason, message)


class EniManagerLink:
    """Watches eni-manager's inventory stream and hands what comes to the keeper."""

    def __init__(
        self,
        owner: PoolOwner,
        manager: EniManager,
        health: HealthBoard,
        push: Callable[[Inventory], None],
        on_return: Callable[[NodeFacts], None],
    ) -> None:
        self._owner = owner
        self._manager = manager
        self._health = health
        self._push = push
        self._on_return = on_return

    async def run(self) -> None:
        """From the end of start-up until cancelled."""
        await self._owner.started.wait()
        while True:
            stream = self._manager.watch_inventory()
            first = asyncio.ensure_future(anext(stream))
            try:
                facts = await self._manager.describe(_DESCRIBE_TIMEOUT_S)
                if not self._health.dependencies["eni-manager"].ok:
                    log.info("eni-manager is back")
                    await self._health.up("eni-manager")
                    self._on_return(facts)
                self._push(await first)
                async for inventory in stream:
                    self._push(inventory)
            except (ReasonError, StopAsyncIteration) as error:
                await self._lost(error)
            finally:
                first.cancel()
                with contextlib.suppress(asyncio.CancelledError, ReasonError, StopAsyncIteration):
                    await first
                await _close(stream)
            await asyncio.sleep(_RETRY_S)

    async def _lost(self, error: Exception) -> None:
        reason = str(error.reason) if isinstance(error, ReasonError) else "ENI_MANAGER_UNREACHABLE"
        message = error.message if isinstance(error, ReasonError) else "eni-manager ended its stream"
        if self._health.dependencies["eni-manager"].ok:
            log.warning("eni-manager is away: %s", message, extra={"reason": reason})
        await self._health.down("eni-manager", reason, message)


async def _close(stream: object) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        with contextlib.suppress(RuntimeError):
            await close()
