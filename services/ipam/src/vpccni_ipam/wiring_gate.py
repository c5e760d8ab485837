"""Keeps wiring of single pods and the re-send of all pods apart.

netconf removes what is ours and not listed when it is sent the complete set: a pod that is being wired while the list is
under way would be lost, one that is being unwired would come back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class WiringGate:
    """Many ``one_pod`` at a time, or one ``all_pods``. A waiting ``all_pods`` holds new ``one_pod`` back."""

    def __init__(self) -> None:
        self._busy = 0
        self._closed = False
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def one_pod(self) -> AsyncIterator[None]:
        if self._closed:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._closed)
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if self._closed:
                async with self._changed:
                    self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def all_pods(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            try:
                await self._changed.wait_for(lambda: self._busy == 0)
            except BaseException:
                self._closed = False
                self._changed.notify_all()
                raise
        try:
            yield
        finally:
            async with self._changed:
                self._closed = False
                self._changed.notify_all()
