"""The control protocol: one JSON object per line over a unix socket.

Request ``{"op": name, ...arguments}``. Answers: any number of ``{"progress": text}``, then ``{"result": value}`` or
``{"error": {"reason": name, "message": text}}``. A connection may carry any number of requests, one after another.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

log = logging.getLogger("vpclab.control")
LIMIT: Final = 64 << 20
"""Bytes of one line."""

Progress = Callable[[str], None]
Operation = Callable[[Mapping[str, Any], Progress], Awaitable[Any]]


class ControlServer:
    """Serves ``operations`` by name."""

    def __init__(self, path: Path, operations: Mapping[str, Operation]) -> None:
        self._path = path
        self._operations = operations
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Raises OSError."""
        self._server = await asyncio.start_unix_server(self._serve, path=str(self._path), limit=LIMIT)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Takes no more connections and breaks off what is under way."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(message: Mapping[str, Any]) -> None:
            if not writer.is_closing():
                writer.write(json.dumps(message, default=str).encode() + b"\n")

        own = asyncio.current_task()
        assert own is not None
        self._connections.add(own)
        try:
            while line := await reader.readline():
                send(await self._answer(line, lambda text: send({"progress": text})))
                await writer.drain()
        except OSError:
            pass  # the client went away
        finally:
            self._connections.discard(own)
            writer.close()

    async def _answer(self, line: bytes, progress: Progress) -> dict[str, Any]:
        try:
            request = json.loads(line)
            operation = self._operations.get(request.pop("op", ""))
            if operation is None:
                raise ReasonError(Reason.REQUEST_INVALID, f"op: one of {', '.join(sorted(self._operations))}")
            return {"result": await operation(request, progress)}
        except ReasonError as exc:
            return _error(exc.reason, exc.message)
        except (KeyError, TypeError, ValueError) as exc:
            return _error(Reason.REQUEST_INVALID, f"{type(exc).__name__}: {exc}")
        except Exception as exc:
            log.exception("operation failed")
            return _error(Reason.INTERNAL, f"{type(exc).__name__}: {exc}")


def _error(reason: Reason, message: str) -> dict[str, Any]:
    return {"error": {"reason": str(reason), "message": message}}
