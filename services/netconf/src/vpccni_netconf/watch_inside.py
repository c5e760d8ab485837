"""Keeps what is ours inside pods' namespaces while the process runs: listens in each, puts right what was taken away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.drift import Change, concerns_inside, latest
from vpccni_netconf.domain.plan_pod import plan_pod_inside
from vpccni_netconf.ports import Kernel, NetnsNames, PodEvents
from vpccni_netconf.repair_inside import repair_inside
from vpccni_netconf.repair_loop import GATHER_S, Watcher, when_due
from vpccni_netconf.service import Service

_TICK_S: Final = 0.5
"""How often it is seen to that every pod is listened to, and none that is gone."""
_AT_ONCE: Final = 25
"""Pods that are opened, or looked into, in one go of the kernel thread: an ADD waits no longer than some milliseconds."""


class InsideWatcher:
    """``names``: a socket keeps a namespace alive, so it must go when the namespace's name does."""

    def __init__(self, service: Service, watcher: Watcher, events: PodEvents, names: NetnsNames) -> None:
        self._service = service
        self._watcher = watcher
        self._events = events
        self._names = names
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._strayed: set[str] = set()
        self._deaf: set[tuple[str, str]] = set()

    def look_into(self, pods: Iterable[str]) -> None:
        """Soon. ``pods``: their host links."""
        self._strayed.update(pods)
        if self._strayed - self._watcher.fought_over():
            self._urgent.set()
        if self._strayed:
            self._dirty.set()

    def leave(self, pod: str) -> None:
        """The pod is about to be unwired."""
        self._events.leave(pod)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._events.fileno(), self._wake)
        loop.add_reader(self._names.fileno(), self._let_go)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_S):
                        await self._dirty.wait()
                        await when_due(self._urgent)  # the tick ends a fight's pause early: it is 0.5 s here
                await self._keep_up()
                await self._mend()
        finally:
            loop.remove_reader(self._events.fileno())
            loop.remove_reader(self._names.fileno())

    def _wake(self) -> None:
        """Reads what has come only after a moment, as one deletion often brings several events."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._events.fileno())
        loop.call_later(GATHER_S, self._drain)

    def _drain(self) -> None:
        found = self._events.drain()
        asyncio.get_running_loop().add_reader(self._events.fileno(), self._wake)
        self.look_into([pod for pod, changes in found.items() if changes is None or self._concerns(pod, changes)])

    def _concerns(self, pod: str, changes: list[Change]) -> bool:
        held = self._service.desired.pods.get(pod)
        if held is None:
            return False
        wanted = plan_pod_inside(held.spec, held.host_mac)
        return any(concerns_inside(change, wanted) for change in latest(changes))

    def _let_go(self) -> None:
        gone = self._names.gone()
        for pod in self._events.listened_to():
            held = self._service.desired.pods.get(pod)
            if held is None or held.spec.netns in gone:
                self._events.leave(pod)

    async def _keep_up(self) -> None:
        service, events = self._service, self._events
        held = {name: pod.spec.netns for name, pod in service.desired.pods.copy().items()}
        listened = events.listened_to()
        for name in listened - held.keys():
            events.leave(name)
        self._deaf &= set(held.items())
        lacking = [
            (name, path)
            for name, path in held.items()
            if path and name not in listened and (name, path) not in self._deaf
        ]
        names = []
        for name, path in lacking[:_AT_ONCE]:
            if self._names.watch(path):
                names.append(name)
            else:
                self._deaf.add((name, path))
        if not names:
            return
        opened = await service.kernel_thread.run(open_sockets, service.kernel, service.desired, names)
        for name, (path, made) in opened.items():
            now = service.desired.pods.get(name)
            if now is not None and now.spec.netns == path and os.path.exists(path):
                events.listen_to(name, made)
            else:
                made.close()

    async def _mend(self) -> None:
        self._dirty.clear()
        self._urgent.clear()
        pods = sorted(self._strayed)[:_AT_ONCE]
        self._strayed.difference_update(pods)
        self.look_into(())
        if not pods:
            return
        service = self._service
        mended = await service.kernel_thread.run(repair_inside, service.kernel, service.desired, pods)
        self._watcher.report(mended)


def open_sockets(kernel: Kernel, desired: Desired, pods: Iterable[str]) -> dict[str, tuple[str, socket.socket]]:
    """(path of the namespace, socket) by pod. One that cannot be opened is left out: its namespace is going."""
    found: dict[str, tuple[str, socket.socket]] = {}
    for name in pods:
        held = desired.pods.get(name)
        if held is None:
            continue
        with contextlib.suppress(ReasonError), kernel.pod(held.spec.netns) as pod:
            found[name] = (held.spec.netns, pod.listen())
    return found
