"""What the process holds while it runs: the kernel and its thread, desired state, and who is told of drift."""

from __future__ import annotations

import asyncio
import logging

from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics

from vpccni_netconf.apply_filter import FilterResult, apply_filter
from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.spec import HostSpec
from vpccni_netconf.drift import DriftBoard
from vpccni_netconf.ports import Background, Kernel, PacketFilter
from vpccni_netconf.worker import Worker

log = logging.getLogger(__name__)


class Service:
    """``kernel_thread`` is the only user of ``kernel`` and ``desired``; ``slow_thread`` runs iptables and leftovers."""

    def __init__(
        self,
        kernel: Kernel,
        packet_filter: PacketFilter,
        background: Background,
        slow_thread: Worker,
        health: HealthBoard,
        metrics: Metrics,
        forced_backend: str,
    ) -> None:
        self.kernel = kernel
        self.background = background
        self.health = health
        self.desired = Desired()
        self.drift = DriftBoard()
        self.kernel_thread = Worker("kernel")
        self.slow_thread = slow_thread
        self.link_changed = LinkSignal()
        self._packet_filter = packet_filter
        self._forced_backend = forced_backend
        self.repairs = metrics.counter("vpccni_netconf_repairs", "Objects put right after they strayed", ("kind",))
        self._backend = metrics.gauge("awscni_connmark_backend", "1 for the connmark backend in use", ("backend",))
        self._reconciled = metrics.counter("awscni_connmark_reconcile", "Packet filter reconciliations", ("result",))

    async def apply_filter(self, spec: HostSpec, primary_link: str, prefixes: tuple[str, ...]) -> FilterResult:
        """Raises PACKET_FILTER_FAILED."""
        try:
            result = await self.slow_thread.run(
                apply_filter, self._packet_filter, spec, primary_link, prefixes, self._forced_backend
            )
        except Exception:
            self._reconciled.labels("error").inc()
            raise
        self._reconciled.labels("success").inc()
        self._backend.clear()
        self._backend.labels(str(result.backend)).set(1)
        return result


class LinkSignal:
    """Wakes whoever waits for a link to appear."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    async def wait(self, timeout: float) -> None:
        """Until the next change of links, at most ``timeout`` seconds."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=timeout)
        finally:
            self._waiters.discard(waiter)

    def changed(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
