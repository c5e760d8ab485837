"""Kubernetes events, sent in the background: nothing waits for them, and what cannot be sent soon is dropped."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam.domain.event_filter import Event, EventFilter, Subject
from vpccni_ipam.domain.model import PodIdentity

log = logging.getLogger(__name__)
_QUEUE: Final = 100
_ACTION_MAX: Final = 128  # characters that the API takes (events.k8s.io/v1)
_OF_THE_CALLER: Final = frozenset({Reason.DEADLINE_EXCEEDED, Reason.REQUEST_INVALID, Reason.POD_BUSY, Reason.DRAINING})
"""Failures that say nothing of pod or node: no event."""
MISSING_PERMISSION: Final = "MissingIAMPermissions"
"""The original's name of this event."""


class EventSink(Protocol):
    """Where events go. Raises ReasonError."""

    async def post(self, event: Event) -> None: ...


class Events:
    """One per process. ``node`` and ``own_pod``: subjects of what concerns no pod in particular."""

    def __init__(self, sink: EventSink, clock: Clock, node: Subject, own_pod: Subject) -> None:
        self._sink = sink
        self._clock = clock
        self.node = node
        self._own_pod = own_pod
        self._filter = EventFilter()
        self._bad_settings: set[tuple[str, str]] = set()
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)

    def pod_failed(self, pod: PodIdentity, error: ReasonError) -> None:
        """An ADD of this pod failed."""
        if pod.known and error.reason not in _OF_THE_CALLER:
            subject = Subject("Pod", pod.name, pod.namespace, pod.uid)
            self._put(Event(subject, str(error.reason), "AddPod", error.message))

    def growth_failed(self, error: ReasonError) -> None:
        """The node gets no further address."""
        if error.reason is Reason.IAM_DENIED:
            self._put(Event(self._own_pod, MISSING_PERMISSION, "EnsureCapacity", error.message))
        elif error.reason not in _OF_THE_CALLER and not error.retryable:
            self._put(Event(self.node, str(error.reason), "EnsureCapacity", error.message))

    def bad_setting(self, name: str, text: str) -> None:
        """Once in the life of the process, however often a service that restarts says it again."""
        if (name, text) in self._bad_settings:
            return
        self._bad_settings.add((name, text))
        self._put(Event(self._own_pod, str(Reason.CONFIG_INVALID), f"Read{name}"[:_ACTION_MAX], text))

    def _put(self, event: Event) -> None:
        if self._queue.full() or not self._filter.lets_through(event, self._clock.monotonic()):
            return
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Sends what is queued, until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._sink.post(event)
            except ReasonError as error:
                subject = f"{event.subject.kind} {event.subject.namespace}/{event.subject.name}"
                log.info("event %s of %s is not sent: %s", event.reason, subject, error, extra={"reason": event.reason})
