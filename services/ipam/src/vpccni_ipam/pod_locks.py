"""One call at a time per pod interface, and an answer in time for those that wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.keyed_lock import KeyedLock

from vpccni_ipam.domain.model import PodKey


class PodLocks:
    """Serialises ADD, DEL, CHECK and GC of one pod interface; different ones run side by side."""

    def __init__(self) -> None:
        self._locks = KeyedLock()

    def busy(self, key: PodKey) -> bool:
        return self._locks.busy(key)

    @contextlib.asynccontextmanager
    async def hold(self, key: PodKey, timeout: float) -> AsyncIterator[None]:
        """Raises ReasonError(POD_BUSY) when the call before this one does not end within ``timeout`` seconds."""
        async with contextlib.AsyncExitStack() as stack:
            if self._locks.busy(key):
                try:
                    async with asyncio.timeout(timeout):
                        await stack.enter_async_context(self._locks.hold(key))
                except TimeoutError:
                    raise ReasonError(
                        Reason.POD_BUSY, f"another call for {key.ifname} of {key.container_id} is under way"
                    ) from None
            else:
                await stack.enter_async_context(self._locks.hold(key))
            yield
