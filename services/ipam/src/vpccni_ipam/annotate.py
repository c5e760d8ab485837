"""ANNOTATE_POD_IP: the pod's address in the annotation vpc.amazonaws.com/pod-ips, for readers that cannot wait for kubelet.

Written in the background at once and until it is done: an API server that is away fails no ADD and no DEL.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from typing import Final, Protocol

from vpccni_api.reasons import ReasonError
from vpccni_kit.backoff import full_jitter

from vpccni_ipam.domain.model import PodIdentity

log = logging.getLogger(__name__)
_PAUSE: Final = (0.2, 15.0)
_MOST: Final = 4096


class Annotations(Protocol):
    """The pods' annotations. False: nothing to do any more. Raises ReasonError."""

    async def set(self, pod: PodIdentity, address: str) -> bool: ...
    async def clear(self, pod: PodIdentity, address: str) -> bool: ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Wish:
    pod: PodIdentity
    address: str
    set: bool


class Annotate:
    """One per process. Of several wishes for one pod the last counts."""

    def __init__(self, annotations: Annotations) -> None:
        self._annotations = annotations
        self._wishes: dict[PodIdentity, _Wish] = {}
        self._more = asyncio.Event()

    def added(self, pod: PodIdentity, address: str) -> None:
        self._wish(_Wish(pod, address, True))

    def deleted(self, pod: PodIdentity, address: str) -> None:
        self._wish(_Wish(pod, address, False))

    def _wish(self, wish: _Wish) -> None:
        if wish.pod.known and len(self._wishes) < _MOST:
            self._wishes[wish.pod] = wish
            self._more.set()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._more.clear()
            try:
                while self._wishes:
                    await self._one(next(iter(self._wishes.values())))
                    failures = 0
            except ReasonError as error:
                if not failures:
                    log.warning(
                        "annotation of %d pods waits: %s", len(self._wishes), error, extra={"reason": str(error.reason)}
                    )
                failures += 1
                await asyncio.sleep(
                    _PAUSE[0] / 2 + full_jitter(failures, random.random(), base_s=_PAUSE[0], cap_s=_PAUSE[1])
                )
                continue
            await self._more.wait()

    async def _one(self, wish: _Wish) -> None:
        act = self._annotations.set if wish.set else self._annotations.clear
        if not await act(wish.pod, wish.address) and wish.set:
            log.info("pod %s/%s has gone before it was annotated", wish.pod.namespace, wish.pod.name)
        if self._wishes.get(wish.pod) is wish:
            del self._wishes[wish.pod]
