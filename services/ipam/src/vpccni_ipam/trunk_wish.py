"""Asks the VPC resource controller for a trunk ENI, and says when it is there: CNINode features and the node's label."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from vpccni_api.reasons import ReasonError

log = logging.getLogger(__name__)
_AGAIN_S: Final = 3.0
_REST_S: Final = 600.0


class TrunkBoard(Protocol):
    """Where wishes are written. Raises ReasonError."""

    async def features(self, wanted: Mapping[str, str]) -> bool:
        """False: there is no CNINode yet, or someone else changed it meanwhile."""
        ...

    async def label(self, attached: bool) -> None: ...


class TrunkWish:
    """``wanted``: the features that the node asks for, none while it has no slot for a trunk. ``attached``: is there one?"""

    def __init__(
        self, board: TrunkBoard, wanted: Callable[[], Mapping[str, str]], attached: Callable[[], bool]
    ) -> None:
        self._board = board
        self._wanted = wanted
        self._attached = attached

    async def run(self) -> None:
        """Until cancelled: looks often until the trunk is there, then now and then."""
        while True:
            done = False
            try:
                wanted = self._wanted()
                written = not wanted or await self._board.features(wanted)
                attached = self._attached()
                await self._board.label(attached)
                done = written and attached
            except ReasonError as error:
                log.warning("trunk ENI is not asked for yet: %s", error, extra={"reason": str(error.reason)})
            await asyncio.sleep(_REST_S if done else _AGAIN_S)
