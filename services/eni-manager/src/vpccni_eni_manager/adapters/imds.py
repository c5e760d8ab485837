"""A small IMDSv2 client: one kept connection, a cached session token, three tries."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from vpccni_api.reasons import Reason, ReasonError

from vpccni_eni_manager.adapters import imds_read
from vpccni_eni_manager.domain.model import Eni, Node

T = TypeVar("T")
_TOKEN_TTL_S: Final = 21600  # the most that IMDS grants
_TOKEN_RENEW_S: Final = 600
_TIMEOUT_S: Final = 2.0
_TRIES: Final = 3
_PAUSE_S: Final = 0.1
_IPV4: Final = "http://169.254.169.254"
_IPV6: Final = "http://[fd00:ec2::254]"
_NO_V2: Final = (403, 404, 405)


def endpoint_from(environ: Mapping[str, str]) -> str:
    """The SDKs' own variables: AWS_EC2_METADATA_SERVICE_ENDPOINT, else …_ENDPOINT_MODE (IPv4, IPv6)."""
    given = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").strip()
    if given:
        return given.rstrip("/")
    return _IPV6 if environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6" else _IPV4


class _AttemptError(Exception):
    """An attempt that failed and may be made again."""


class ImdsClient:
    """Blocking; one request at a time. ``get`` raises ReasonError(IMDS_UNREACHABLE)."""

    def __init__(self, endpoint: str) -> None:
        parts = urllib.parse.urlsplit(endpoint)
        if parts.scheme != "http" or not parts.hostname:
            raise ReasonError(Reason.CONFIG_INVALID, f"metadata endpoint {endpoint!r}: allowed is http://host[:port]")
        self._endpoint = endpoint
        self._host, self._port = parts.hostname, parts.port or 80
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""
        self._token_until = 0.0

    def get(self, path: str) -> str | None:
        """The text at /latest/``path``; None for 404."""
        with self._lock:
            problem = ""
            for attempt in range(_TRIES):
                if attempt:
                    time.sleep(_PAUSE_S * 2**attempt)
                try:
                    return self._get_once(path)
                except (OSError, http.client.HTTPException, _AttemptError) as error:
                    self._drop()
                    problem = str(error) or type(error).__name__
            raise ReasonError(Reason.IMDS_UNREACHABLE, f"{self._endpoint}/latest/{path}: {problem}")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _get_once(self, path: str) -> str | None:
        headers = {"X-aws-ec2-metadata-token": token} if (token := self._session_token()) else {}
        status, body = self._exchange("GET", f"/latest/{path}", headers)
        if status == 404:
            return None
        if status == 401:
            self._token_until = 0.0
        if status != 200:
            raise _AttemptError(f"HTTP status {status}")
        return body

    def _session_token(self) -> str:
        """Empty where only IMDSv1 is served."""
        if self._token_until - _TOKEN_RENEW_S < time.monotonic():
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL_S)}
            status, body = self._exchange("PUT", "/latest/api/token", headers)
            if status != 200 and status not in _NO_V2:
                raise _AttemptError(f"session token: HTTP status {status}")
            self._token = body if status == 200 else ""
            self._token_until = time.monotonic() + _TOKEN_TTL_S
        return self._token

    def _exchange(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        self._connection.request(method, path, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()


class Imds:
    """Implements ports.Imds: whole reads, each in one thread job. ``on_outcome`` hears of each (None: success)."""

    def __init__(
        self,
        client: ImdsClient,
        threads: ThreadPoolExecutor,
        on_outcome: Callable[[ReasonError | None], Awaitable[None]],
    ) -> None:
        self._client = client
        self._threads = threads
        self._on_outcome = on_outcome

    async def _read(self, reader: Callable[[imds_read.Get], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, reader, self._client.get)
        except ReasonError as error:
            await self._on_outcome(error)
            raise
        await self._on_outcome(None)
        return found

    async def node(self) -> Node:
        return await self._read(imds_read.read_node)

    async def enis(self) -> tuple[Eni, ...]:
        return await self._read(imds_read.read_enis)

    async def macs(self) -> tuple[str, ...]:
        return await self._read(imds_read.read_macs)
