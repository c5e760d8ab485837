"""Work after a teardown's answer, on a thread of its own: the kernel takes some 20 ms to let go of a device, whether of one or of
many at once, and walks its whole connection table to find one address."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_netconf.adapters import encode_links
from vpccni_netconf.adapters.conntrack import ConntrackSocket
from vpccni_netconf.adapters.rtnl import RtnlSocket
from vpccni_netconf.domain.ops import DeleteLink

log = logging.getLogger(__name__)
_GATHER_S: Final = 2.0
"""How long addresses are gathered before their connections are flushed; well below any cooldown."""


_LET_ANSWER_S: Final = 0.02
"""The caller's answer goes out first, and calls that come together are done together."""


class Leftovers:
    """See ``ports.Background``. Failures are logged and left: a link goes with its pod's namespace anyway."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[DeleteLink | str | None] = queue.SimpleQueue()
        self._leaving: set[int] = set()
        self._rtnl = RtnlSocket()
        self._conntrack = ConntrackSocket()
        self._thread = threading.Thread(target=self._run, name="leftovers", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._rtnl.port

    def delete_link(self, index: int, name: str) -> None:
        self._leaving.add(index)
        self._queue.put(DeleteLink(index, name))

    def is_leaving(self, index: int) -> bool:
        return index in self._leaving

    def flush_connections(self, address: str) -> None:
        self._queue.put(address)

    def close(self) -> None:
        """Finishes what is queued."""
        self._queue.put(None)
        self._thread.join()
        self._rtnl.close()
        self._conntrack.close()

    def _run(self) -> None:
        addresses: set[str] = set()
        due = 0.0
        closing = False
        while not closing:
            items = self._next(max(0.0, due - time.monotonic()) if addresses else None)
            closing = None in items
            links = [item for item in items if isinstance(item, DeleteLink)]
            found = {item for item in items if isinstance(item, str)}
            if found and not addresses:
                due = time.monotonic() + _GATHER_S
            addresses |= found
            if links:
                self._delete(links)
            if addresses and (closing or time.monotonic() >= due):
                self._flush(addresses)
                addresses = set()

    def _next(self, timeout: float | None) -> list[DeleteLink | str | None]:
        """All that is queued; waits for the first at most ``timeout`` seconds (None: for ever)."""
        found: list[DeleteLink | str | None] = []
        try:
            found.append(self._queue.get(timeout=timeout))
            if found[0] is not None:
                time.sleep(_LET_ANSWER_S)
            while True:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            return found

    def _delete(self, links: Sequence[DeleteLink]) -> None:
        """Several at once as a group, so that the kernel waits once for all of them."""
        try:
            if len(links) == 1:
                self._rtnl.batch([encode_links.delete_link_message(links[0])])
            else:
                self._rtnl.batch([encode_links.doom_link_message(op.index) for op in links])
                self._rtnl.batch([encode_links.delete_doomed_message()])
        except ReasonError as error:
            log.warning("links of torn down pods not deleted: %s", error)
        self._leaving.difference_update(op.index for op in links)

    def _flush(self, addresses: set[str]) -> None:
        try:
            flushed = self._conntrack.flush(addresses)
        except OSError as error:
            log.warning("connections of %d torn down pods not flushed: %s", len(addresses), error)
        else:
            log.debug("flushed %d connections of %d torn down pods", flushed, len(addresses))
