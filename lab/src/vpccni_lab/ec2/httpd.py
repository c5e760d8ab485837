"""HTTP on sockets that are already bound: what the EC2 and the IMDS endpoint share."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

_log = logging.getLogger(__name__)
_GRACE: Final = 0.1  # seconds that open connections get at close; every client here can retry

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Handle:
    """A running listener."""

    def __init__(self, runner: web.ServerRunner) -> None:
        self._runner = runner

    async def close(self) -> None:
        """Stop listening, close the socket and all connections. Twice is fine."""
        await self._runner.cleanup()


async def listen(sock: socket.socket, handler: Handler, failed: Callable[[], web.Response]) -> Handle:
    """Serve on ``sock`` (bound; made non-blocking and closed in the end) in the running loop.

    ``failed`` makes the answer where the handler has a defect; the log has the stack.
    """
    sock.setblocking(False)

    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return error
        except Exception:  # noqa: BLE001 (logged with its stack; the listener must live on)
            _log.exception("request failed: %s %s", request.method, request.path_qs)
            return failed()

    runner = web.ServerRunner(web.Server(guarded), handle_signals=False, shutdown_timeout=_GRACE)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return Handle(runner)
