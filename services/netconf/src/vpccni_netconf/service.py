"""What the process holds while it runs: the kernel and its thread, desired state, and who is told of drift."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vpccni_api.reasons import ReasonError
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics

from vpccni_netconf.apply_filter import FilterResult, apply_filter
from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.backend import Backend, choose, mixture
from vpccni_netconf.domain.spec import HostSpec
from vpccni_netconf.drift_events import DriftBoard
from vpccni_netconf.ports import Background, Kernel, PacketFilter
from vpccni_netconf.worker import Worker


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
        self.look_again: Callable[[], None] = lambda: None
        """Asks the watcher for a comparison soon; set by whoever makes the watcher."""
        self.leave_pod: Callable[[str], None] = lambda _: None
        """Tells the watcher of pods that one (its host link) is about to be unwired; set by whoever makes it."""
        self._packet_filter = packet_filter
        self._forced_backend = forced_backend
        self._filter_wish: tuple[HostSpec, str, tuple[str, ...]] | None = None
        self._fingerprint: tuple[int, ...] = ()
        self.repairs = metrics.counter("vpccni_netconf_repairs", "Objects put right after they strayed", ("kind",))
        self._backend = metrics.gauge("awscni_connmark_backend", "1 for the connmark backend in use", ("backend",))
        self._reconciled = metrics.counter("awscni_connmark_reconcile", "Packet filter reconciliations", ("result",))

    async def apply_filter(self, spec: HostSpec, primary_link: str, prefixes: tuple[str, ...]) -> FilterResult:
        """Raises PACKET_FILTER_FAILED; health says so until it has worked."""
        self._filter_wish = (spec, primary_link, prefixes)
        try:
            result = await self._run_filter()
        except ReasonError as error:
            await self.health.down("datapath", str(error.reason), error.message)
            raise
        await self.health.up("datapath")
        return result

    async def check_filter(self) -> tuple[str, ...]:
        """As last asked for; the lines that had to be written. Raises PACKET_FILTER_FAILED."""
        return (await self._run_filter()).changed

    @property
    def filter_wanted(self) -> bool:
        return self._filter_wish is not None

    def filter_touched(self) -> bool:
        """True when somebody may have changed the packet filter since it was last looked at."""
        return self._packet_filter.fingerprint() != self._fingerprint

    async def look_at_filter(self) -> tuple[Backend, str]:
        """Which packet filter is ours, and why the host's do not fit together (empty: they do). Changes nothing. Raises
        PACKET_FILTER_FAILED."""
        host = await self.slow_thread.run(self._packet_filter.survey)
        chosen = choose(host, self._forced_backend)
        return chosen, mixture(host, chosen)

    async def _run_filter(self) -> FilterResult:
        assert self._filter_wish is not None
        spec, primary_link, prefixes = self._filter_wish
        try:
            fingerprint = self._packet_filter.fingerprint()
            result = await self.slow_thread.run(
                apply_filter, self._packet_filter, spec, primary_link, prefixes, self._forced_backend
            )
        except ReasonError:
            self._reconciled.labels("error").inc()
            raise
        # Only that of a listing which was right may stand for "nothing has changed": after a repair it is looked at again.
        self._fingerprint = () if result.changed else fingerprint
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
