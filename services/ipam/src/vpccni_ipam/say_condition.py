"""VPCCNI_NODE_CONDITION: the condition PodAddressesExhausted on the Node's status, kept as the pool is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.address_condition import TYPE, NodeCondition, SteadyCondition, condition_of

log = logging.getLogger(__name__)
_LOOK_S: Final = 2.0
_AGAIN_S: Final = 15.0


class ConditionBoard(Protocol):
    """The own Node's status. False: there is no such Node. Raises ReasonError."""

    async def say(self, condition: NodeCondition) -> bool: ...


class SayCondition:
    """``refusal``: of an ADD now, None while an address is free. ``node_uid``: a Node that was made anew is told again."""

    def __init__(
        self,
        board: ConditionBoard,
        clock: Clock,
        refusal: Callable[[], ReasonError | None],
        node_uid: Callable[[], str],
    ) -> None:
        self._board = board
        self._clock = clock
        self._refusal = refusal
        self._node_uid = node_uid
        self._said: tuple[str, bool, str] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        steady = SteadyCondition()
        while True:
            found = steady.look(condition_of(self._refusal()), self._clock.monotonic())
            pause = _LOOK_S
            if found is not None and self._said != (state := (self._node_uid(), found.exhausted, found.reason)):
                try:
                    if await self._board.say(found):
                        self._said = state
                        log.info("node condition %s=%s: %s", TYPE, found.exhausted, found.message)
                except ReasonError as error:
                    log.warning(
                        "node condition %s is not said yet: %s", TYPE, error, extra={"reason": str(error.reason)}
                    )
                    pause = _AGAIN_S
            await asyncio.sleep(pause)
