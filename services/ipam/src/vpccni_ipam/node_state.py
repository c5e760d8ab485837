"""The own node as Kubernetes has it: watched, or given by settings where there is no Kubernetes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from vpccni_ipam.domain.node_state import NodeState

log = logging.getLogger(__name__)


class OwnNode:
    """``changed``: called after every change of what matters. ``state`` is None until it is known."""

    def __init__(self, changed: Callable[[], None], state: NodeState | None = None) -> None:
        self._changed = changed
        self.state = state
        self.known = asyncio.Event()
        if state is not None:
            self.known.set()

    @property
    def why_unschedulable(self) -> str:
        """Why the scheduler puts no pods here; empty: it does, or nobody knows."""
        return self.state.why_unschedulable if self.state else ""

    def take(self, found: Mapping[tuple[str, str], NodeState]) -> None:
        """What the watch of the one node has; a node that is not there keeps what was known of it."""
        state = next(iter(found.values()), None)
        if state is None or state == self.state:
            return
        before, self.state = self.why_unschedulable, state
        if state.why_unschedulable != before:
            log.info("node: %s", state.why_unschedulable or "schedulable again")
        self.known.set()
        self._changed()
