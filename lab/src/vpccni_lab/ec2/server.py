"""The EC2 endpoint: HTTP on a socket that somebody else opened (in a node's network namespace, say)."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import Final

from aiohttp import web

from vpccni_lab.ec2 import errors, wire
from vpccni_lab.ec2.api.actions import ACTIONS
from vpccni_lab.ec2.api.dispatch import Reply
from vpccni_lab.ec2.credentials import owner_of
from vpccni_lab.ec2.httpd import Handle, listen
from vpccni_lab.ec2.model import Ec2

_XML: Final = "text/xml"


class Ec2Server:
    """Any number of listeners over one model; all in one event loop, which is the model's thread."""

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2

    async def serve(self, sock: socket.socket, caller: str | None = None) -> Handle:
        """Answer on this bound socket. ``caller``: what faults and log call the clients; None: by their credentials."""

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(request, caller)

        return await listen(sock, handler, lambda: self._refuse(errors.internal()))

    async def _handle(self, request: web.BaseRequest, caller: str | None) -> web.StreamResponse:
        if request.method not in ("GET", "POST"):
            return self._refuse(errors.Ec2Error("InvalidRequest", f"The method {request.method} is not allowed", 405))
        values = wire.form(request.query_string)
        if request.method == "POST":
            values |= wire.form(await request.text())
        action = values.get("Action", "")
        if not action:
            return self._refuse(errors.Ec2Error("MissingAction", "The request must contain the parameter Action"))
        key = wire.access_key(request.headers.get("Authorization", ""), values)
        if caller is None and not key:
            return self._refuse(
                errors.Ec2Error("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
            )
        who = caller if caller is not None else self._name_of(key)
        try:
            params = wire.parse(action, values) if action in ACTIONS else {}
        except errors.Ec2Error as error:
            return self._refuse(error)
        reply = self._ec2.call(who, action, params)
        return await self._send(request, action, reply)

    def _name_of(self, key: str) -> str:
        instance = owner_of(self._ec2.instances(), key)
        return instance.name if instance else key

    async def _send(self, request: web.BaseRequest, action: str, reply: Reply) -> web.StreamResponse:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if reply.error is not None:
            return self._refuse(reply.error, reply.request_id)
        body = wire.answer(action, reply.result, reply.request_id)
        return web.Response(text=body, content_type=_XML, headers={"x-amzn-RequestId": reply.request_id})

    def _refuse(self, error: errors.Ec2Error, request_id: str = "") -> web.Response:
        request_id = request_id or str(uuid.uuid4())
        return web.Response(
            status=error.status,
            text=wire.error_answer(error, request_id),
            content_type=_XML,
            headers={"x-amzn-RequestId": request_id},
        )
