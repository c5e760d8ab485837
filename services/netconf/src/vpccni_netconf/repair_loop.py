"""Keeps the kernel as it should be while the process runs: listens, looks at everything now and then, puts right, reports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit import telemetry

from vpccni_netconf.domain.drift import (
    FIGHT_REPAIRS,
    FIGHT_WINDOW_S,
    Change,
    Interests,
    concerns,
    is_about,
    is_due_again,
    is_fight,
    latest,
)
from vpccni_netconf.domain.objects import LinkFacts, Object, Route
from vpccni_netconf.drift_events import DriftEvent
from vpccni_netconf.ports import Events, SysctlValues
from vpccni_netconf.repair import Mended, repair
from vpccni_netconf.service import Service

log = logging.getLogger(__name__)
GATHER_S: Final = 0.05
"""Events come in storms (`ip rule flush`): they are gathered this long and answered by one comparison."""
FIGHT_PAUSE_S: Final = 2.0
"""Least time between repairs of what something keeps undoing; all else is put right at once."""
_SYSCTL_PODS: Final = 25
"""Pods whose sysctls are read in one complete comparison."""
_FILTER_TICK_S: Final = 0.5
_SYSCTL_TICK_S: Final = 0.5
_SYSCTL_AGAIN_S: Final = 0.25
"""Setting one sysctl for all links changes others: what was put right is looked at again soon."""
_FILTER_COST_FACTOR: Final = 20.0
"""A check of the packet filter may take at most one twentieth of a processor (listings of large nodes take a second)."""


class Watcher:
    """``interval``: seconds between two complete comparisons. ``listen`` opens the events, given which links matter."""

    def __init__(
        self,
        service: Service,
        interval: float,
        listen: Callable[[Callable[[str], bool]], Events],
        sysctls: SysctlValues,
    ) -> None:
        self._service = service
        self._interval = interval
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._interests = Interests({}, frozenset())
        self._repaired_at: dict[str, deque[float]] = {}
        self._fights: dict[str, Object | str | None] = {}
        self._failed: set[str] = set()
        self._hears_ipv6 = False
        self._turn = 0
        self._sysctls = sysctls
        self._sysctls_strayed = False
        self.look_into: Callable[[Sequence[str]], None] = lambda _: None
        """Asks for a look into some pods, as part of a complete comparison; set by whoever makes the watcher of pods."""
        self._events = listen(self.is_watched)

    def look_again(self) -> None:
        """Compare soon."""
        self._urgent.set()
        self._dirty.set()

    def fought_over(self) -> frozenset[Object | str | None]:
        """What something keeps undoing: objects of the host's namespace, and host links of pods for what is inside theirs."""
        return frozenset(self._fights.values())

    def is_watched(self, link: str) -> bool:
        """True of links whose settings matter."""
        return link in self._interests.links or link in self._service.desired.pod_links

    async def watch_kernel(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._events.fileno(), self._wake)
        try:
            due = loop.time() + self._interval
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._dirty.wait()
                        await when_due(self._urgent)
                self._dirty.clear()
                self._urgent.clear()
                whole = loop.time() >= due
                if whole:
                    due = loop.time() + self._interval
                await self._compare(whole=whole)
        finally:
            loop.remove_reader(self._events.fileno())

    def _wake(self) -> None:
        """Reads what has come only after a moment, so that a burst of our own pods costs few wake-ups."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._events.fileno())
        loop.call_later(GATHER_S, self._drain)

    def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        if self._events.fileno() < 0:
            return
        changes, lost = self._events.drain()
        loop.add_reader(self._events.fileno(), self._wake)
        if any(isinstance(change.item, LinkFacts) and not change.gone for change in changes):
            self._service.link_changed.changed()
        ours = [change for change in latest(changes) if self._concerns(change)]
        if lost or ours:
            fights = self._fights.values()
            if lost or not all(any(isinstance(f, Object) and is_about(c, f) for f in fights) for c in ours):
                self._urgent.set()
            self._dirty.set()

    def _concerns(self, change: Change) -> bool:
        # Single look-ups: the kernel thread may be changing the pods meanwhile.
        desired = self._service.desired
        if isinstance(change.item, Route):
            route = change.item
            pods_route = route.dev in desired.pod_links or desired.owner_of(route.dst.partition("/")[0]) is not None
            return concerns(change, self._interests, pods_route=pods_route)
        name = change.item.name if isinstance(change.item, LinkFacts) else ""
        return concerns(change, self._interests, desired.pod_links.get(name))

    async def _compare(self, *, whole: bool) -> None:
        service = self._service
        pods: list[str] | None = self._next_pods() if whole else []
        if pods:
            self.look_into(pods)
        if self._sysctls_strayed:
            self._sysctls_strayed, pods = False, None
        try:
            repaired = await service.kernel_thread.run(repair, service.kernel, service.desired, sysctls_of_pods=pods)
        except ReasonError as error:
            log.error("comparison failed: %s", error, extra={"reason": str(error.reason)})
            return
        self._interests = repaired.interests
        if repaired.ipv6 and not self._hears_ipv6:
            self._events.listen_to(6)
            self._hears_ipv6 = True
        self.report(repaired.mended)

    def _next_pods(self) -> list[str]:
        """Some pods, others each time, until all have had their turn."""
        names = sorted(self._service.desired.pods.copy())
        self._turn = 0 if self._turn >= len(names) else self._turn
        chosen = names[self._turn : self._turn + _SYSCTL_PODS]
        self._turn += _SYSCTL_PODS
        return chosen

    def report(self, mended: Iterable[Mended]) -> None:
        now = time.monotonic()
        for item in mended:
            if item.problem:
                if item.line not in self._failed:
                    self._publish(item, "failed", f"{item.line}: {item.problem}")
                self._failed.add(item.line)
                continue
            self._failed.discard(item.line)
            self._service.repairs.labels(item.kind).inc()
            moments = self._repaired_at.setdefault(item.line, deque(maxlen=FIGHT_REPAIRS))
            moments.append(now)
            if not is_fight(tuple(moments), now):
                self._publish(item, "repaired", item.line)
            elif item.line not in self._fights:
                self._fights[item.line] = item.about
                self._publish(item, "fight", f"something keeps undoing: {item.line}")
        self._forget(now)

    def _forget(self, now: float) -> None:
        quiet = [line for line, moments in self._repaired_at.items() if now - moments[-1] > FIGHT_WINDOW_S]
        for line in quiet:
            del self._repaired_at[line]
            self._fights.pop(line, None)

    def _publish(self, item: Mended, action: str, message: str) -> None:
        about = {"vpccni.kind": item.kind, "vpccni.object": item.line, "vpccni.action": action}
        with telemetry.span("netconf.repair", attributes=about) as span:
            span.keep()
            if action == "failed":
                span.fail("KERNEL_REFUSED", message)
            log.warning("drift %s: %s", action, message, extra={"kind": item.kind, "object": item.line})
        self._service.drift.publish(DriftEvent(item.kind, item.line, action, message, time.time_ns()))

    async def watch_sysctls(self) -> None:
        in_a_row: dict[str, int] = {}
        while True:
            again = any(looks < FIGHT_REPAIRS for looks in in_a_row.values())
            await asyncio.sleep(min(_SYSCTL_AGAIN_S if again else _SYSCTL_TICK_S, self._interval))
            # A copy: the kernel thread may be changing the pods meanwhile.
            wanted = {**self._interests.sysctls, **self._service.desired.sysctls.copy()}
            in_a_row = {path: in_a_row.get(path, 0) + 1 for path in self._sysctls.strayed(wanted)}
            if any(map(is_due_again, in_a_row.values())):
                self._sysctls_strayed = True
                self.look_again()

    async def watch_filter(self) -> None:
        """The kernel tells of no change of iptables rules: a number that changes with them is looked at instead."""
        service = self._service
        checked_at = time.monotonic()
        pause = 0.0
        while True:
            await asyncio.sleep(_FILTER_TICK_S)
            started, cost = time.monotonic(), _spent_by_tools()
            due = started - checked_at >= self._interval
            if not service.filter_wanted or not (due or service.filter_touched()) or started - checked_at < pause:
                continue
            try:
                changed = await service.check_filter()
            except ReasonError as error:
                self.report([Mended("chain", "packet filter", str(error))])
                await service.health.down("datapath", str(error.reason), error.message)
            else:
                self.report(Mended("set" if line.startswith("table ") else "chain", line) for line in changed)
                await service.health.up("datapath")
            checked_at = time.monotonic()
            pause = (_spent_by_tools() - cost) * _FILTER_COST_FACTOR


async def when_due(urgent: asyncio.Event) -> None:
    """Waits until a repair is due: at once, or after a pause when it is only about what is fought over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIGHT_PAUSE_S):
            await urgent.wait()
    await asyncio.sleep(GATHER_S)


def _spent_by_tools() -> float:
    """Seconds of processor time that iptables and nft have taken so far. On a busy machine they wait far longer than that."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
