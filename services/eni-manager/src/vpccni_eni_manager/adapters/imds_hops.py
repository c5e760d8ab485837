"""The hop limit of instance metadata, measured: its answers to PUT carry it as their IP time to live."""

from __future__ import annotations

import asyncio
import http.client
import socket
import urllib.parse
from concurrent.futures import Executor
from typing import Final

_IP_MINTTL: Final = 21  # linux/in.h; not in the socket module
_TIMEOUT_S: Final = 1.0
_TOKEN_PATH: Final = "/latest/api/token"
_TOKEN_HEADERS: Final = {"X-aws-ec2-metadata-token-ttl-seconds": "1"}


class ImdsHops:
    """Implements ports.HopLimit. Over IPv6 it is not known."""

    def __init__(self, endpoint: str, threads: Executor) -> None:
        parts = urllib.parse.urlsplit(endpoint)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._threads = threads

    async def __call__(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.measure)

    def measure(self) -> int:
        """Blocking, two seconds at most."""
        if ":" in self._host or not self._answers(least_ttl=1):
            return 0
        return 2 if self._answers(least_ttl=2) else 1

    def _answers(self, least_ttl: int) -> bool:
        """Whether a session token arrives when the kernel drops every packet that could not travel ``least_ttl`` hops."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, least_ttl)
            connection.request("PUT", _TOKEN_PATH, headers=_TOKEN_HEADERS)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
