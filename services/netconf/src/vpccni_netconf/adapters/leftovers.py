"""Work after a teardown's answer, on the slow thread: the kernel takes milliseconds to let go of a device."""

from __future__ import annotations

import logging

from vpccni_netconf.adapters import encode
from vpccni_netconf.adapters.conntrack import ConntrackSocket
from vpccni_netconf.adapters.rtnl import RtnlSocket
from vpccni_netconf.domain.ops import DeleteLink
from vpccni_netconf.worker import Worker

log = logging.getLogger(__name__)


class Leftovers:
    """See ``ports.Background``. Failures are logged: the link goes with the pod's namespace anyway."""

    def __init__(self, slow_thread: Worker) -> None:
        self._slow_thread = slow_thread
        self._rtnl = RtnlSocket()
        self._conntrack = ConntrackSocket()

    def close(self) -> None:
        self._rtnl.close()
        self._conntrack.close()

    def delete_link(self, index: int, name: str) -> None:
        self._slow_thread.submit(self._delete_link, DeleteLink(index, name))

    def flush_connections(self, address: str) -> None:
        self._slow_thread.submit(self._flush, address)

    def _delete_link(self, op: DeleteLink) -> None:
        for _, number, text in self._rtnl.batch([encode.delete_link_message(op)]):
            log.debug("%s: errno %d %s", op, number, text)

    def _flush(self, address: str) -> None:
        try:
            flushed = self._conntrack.flush(address)
        except OSError as error:
            log.warning("connections of %s not flushed: %s", address, error)
        else:
            if flushed:
                log.debug("flushed %d connections of %s", flushed, address)
