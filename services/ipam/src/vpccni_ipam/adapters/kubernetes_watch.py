"""A list that is kept current: list, then watch from there, and list again when the server says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.backoff import full_jitter

from vpccni_ipam.adapters.kubernetes_http import Http

log = logging.getLogger(__name__)
T = TypeVar("T")
_PAUSE: Final = (0.5, 30.0)
_LIST_S: Final = 10.0
_WATCH_S: Final = (300, 600)
_GONE: Final = 410


class Watch(Generic[T]):
    """Objects below ``path`` that match ``selector``, by (namespace, name), each as what ``keep`` makes of it.

    ``changed``: called with all of them after every change, and once as soon as they are known. ``state``: called with
    None when the server answers, and with the error when it does not.
    """

    def __init__(
        self,
        http: Http,
        path: str,
        selector: Mapping[str, str],
        keep: Callable[[Mapping[str, Any]], T],
        changed: Callable[[Mapping[tuple[str, str], T]], None],
        state: Callable[[ReasonError | None], Awaitable[None]],
    ) -> None:
        self._http = http
        self._path = path
        self._selector = dict(selector)
        self._keep = keep
        self._changed = changed
        self._state = state
        self.items: dict[tuple[str, str], T] = {}
        self._version = ""

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._state(None)
                failures = 0
                async with asyncio.timeout(_WATCH_S[1] + _LIST_S):
                    await self._follow()
                await asyncio.sleep(_PAUSE[0])  # a server that ends every stream at once is not asked without end
            except TimeoutError:
                continue
            except ReasonError as error:
                self._version = ""
                await self._state(error)
                await asyncio.sleep(
                    _PAUSE[0] / 2 + full_jitter(failures, random.random(), base_s=_PAUSE[0], cap_s=_PAUSE[1])
                )
                failures += 1

    async def _list(self) -> None:
        reply = await self._http.call("GET", f"{self._path}?{urlencode(self._selector)}", timeout=_LIST_S)
        if reply.status != 200:
            raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{self._path}: HTTP {reply.status}: {reply.message}")
        try:
            found = reply.json()
            self.items = {_name(item): self._keep(item) for item in found.get("items") or ()}
            self._version = str(found["metadata"]["resourceVersion"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{self._path}: not a list: {error!r}") from error
        self._changed(self.items)

    async def _follow(self) -> None:
        """Until the server ends the stream, which it does every few minutes."""
        seconds = random.randint(*_WATCH_S)
        query = self._selector | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        async with contextlib.aclosing(self._http.lines(f"{self._path}?{urlencode(query)}")) as events:
            async for event in events:
                kind, item = event.get("type"), event.get("object") or {}
                if kind == "ERROR" and item.get("code") == _GONE:
                    self._version = ""
                    return
                if kind == "ERROR":
                    raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{self._path}: {item.get('message', item)}")
                self._take(str(kind), item)

    def _take(self, kind: str, item: Mapping[str, Any]) -> None:
        self._version = str(item.get("metadata", {}).get("resourceVersion", self._version))
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self.items.pop(_name(item), None)
        else:
            self.items[_name(item)] = self._keep(item)
        self._changed(self.items)


def _name(item: Mapping[str, Any]) -> tuple[str, str]:
    metadata = item["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])
