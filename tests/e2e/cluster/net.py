"""HTTP as seen from a place in the VPC: the requests' sockets are made inside that network namespace."""

from __future__ import annotations

import http.client
import json
import os
import urllib.parse
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from vpccni_lab.linux import syscalls

P = ParamSpec("P")
T = TypeVar("T")


class Net:
    """Threads that live in the network namespace ``netns``. Use as a context."""

    def __init__(self, netns: Path, workers: int = 16) -> None:
        def enter() -> None:
            handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                syscalls.setns(handle, syscalls.CLONE_NEWNET)
            finally:
                os.close(handle)

        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="net", initializer=enter)

    def __enter__(self) -> Net:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pool.shutdown()

    def submit(self, function: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
        """Runs a function there; its result or its exception."""
        return self._pool.submit(function, *arguments, **more).result()

    def get(self, url: str, timeout: float = 5.0, method: str = "GET") -> Any:
        """The answer's JSON. Raises OSError, http.client.HTTPException, ValueError."""
        return self.submit(_request, url, timeout, method)

    def each(self, urls: Iterable[str], timeout: float = 5.0, method: str = "GET") -> list[Any]:
        """Many at once, in order; a failed one is its exception."""

        def one(url: str) -> Any:
            try:
                return _request(url, timeout, method)
            except (OSError, http.client.HTTPException, ValueError) as error:
                return error

        return list(self._pool.map(one, urls))

    def via(self, pod: str, url: str, timeout: float = 5.0) -> dict[str, Any]:
        """What the probe at address ``pod`` got from ``url``: status and body, or error."""
        return dict(self.get(via(pod, url, timeout), timeout + 5))


def via(pod: str, url: str, timeout: float = 5.0) -> str:
    """The URL that makes the probe at ``pod`` (address, or address:port) ask ``url``."""
    where = pod if ":" in pod else f"{pod}:8080"
    return f"http://{where}/get?{urllib.parse.urlencode({'url': url, 'timeout': timeout})}"


def _request(url: str, timeout: float, method: str) -> Any:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        connection.request(method, f"{parts.path or '/'}?{parts.query}")
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body)
    finally:
        connection.close()
