"""grpc.health.v1: ``startup``, ``live``, ``ready`` and one service per dependency.

live: the event loop answers. startup: start-up has finished once. ready: startup, and every required dependency is up.
A dependency may be optional: shown by its name, not part of ready. The empty service name answers as ``ready``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from grpc_health.v1 import health, health_pb2

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclasses.dataclass(frozen=True, slots=True)
class Dependency:
    """State of one dependency. ``reason`` and ``message`` say why it is down."""

    ok: bool
    reason: str = ""
    message: str = ""


class HealthBoard:
    """The one place where a process's health is kept."""

    def __init__(self, required: Iterable[str] = (), optional: Iterable[str] = ()) -> None:
        self.servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs leave the aio module out
        self._required = tuple(required)
        unknown = Dependency(False, "NOT_READY", "not checked yet")
        self.dependencies: dict[str, Dependency] = dict.fromkeys((*self._required, *optional), unknown)
        self._started = False
        self._draining = False
        self._shown: dict[str, bool] = {}

    async def publish(self) -> None:
        """Sends what changed to the health servicer; call once after construction (live answers from then on)."""
        wanted = {name: dep.ok for name, dep in self.dependencies.items()}
        wanted |= {"live": True, "startup": self._started, "ready": self.ready, "": self.ready}
        for name, up in wanted.items():
            if self._shown.get(name) != up:
                self._shown[name] = up
                await self.servicer.set(name, _SERVING if up else _NOT_SERVING)

    @property
    def ready(self) -> bool:
        return self._started and not self._draining and all(self.dependencies[name].ok for name in self._required)

    @property
    def why_not_ready(self) -> Dependency:
        """The first required dependency that is down; ok when ready."""
        if self._draining:
            return Dependency(False, "DRAINING", "the service is shutting down")
        for name in self._required:
            if not self.dependencies[name].ok:
                return self.dependencies[name]
        return Dependency(True) if self._started else Dependency(False, "NOT_READY", "start-up has not finished")

    async def started(self) -> None:
        self._started = True
        await self.publish()

    async def draining(self) -> None:
        self._draining = True
        await self.publish()

    async def up(self, name: str) -> None:
        await self._set(name, Dependency(True))

    async def down(self, name: str, reason: str, message: str) -> None:
        await self._set(name, Dependency(False, reason, message))

    async def _set(self, name: str, state: Dependency) -> None:
        if self.dependencies.get(name) != state:
            self.dependencies[name] = state
            await self.publish()
