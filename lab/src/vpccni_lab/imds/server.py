"""The IMDS endpoint of one instance: IMDSv2 over HTTP, the tree made anew from the model at every request."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import socket
import struct
from typing import Final

from aiohttp import web

from vpccni_lab.ec2.calls import Call
from vpccni_lab.ec2.faults import Kind, Scope
from vpccni_lab.ec2.httpd import Handle, listen
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni, Instance
from vpccni_lab.imds import tree

TTL_HEADER: Final = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER: Final = "X-aws-ec2-metadata-token"
_MAX_TTL: Final = 21600
_VERSION: Final = re.compile(r"latest|\d{4}-\d{2}-\d{2}|1\.0")
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class ImdsServer:
    """``v1``: whether a request without a token is answered too (HttpTokens=optional)."""

    def __init__(self, ec2: Ec2, *, v1: bool = False) -> None:
        self._ec2 = ec2
        self._v1 = v1

    async def serve(self, sock: socket.socket, instance_id: str) -> Handle:
        """Answer on this bound socket for this instance. Raises Ec2Error for an unknown instance."""
        self._ec2.instance(instance_id)

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(request, instance_id)

        return await listen(sock, handler, lambda: _status(500))

    async def _handle(self, request: web.BaseRequest, instance_id: str) -> web.StreamResponse:
        self._ec2.advance()
        version, _, path = request.path.lstrip("/").partition("/")
        path = path.strip("/")
        instance = self._ec2.world.instances.get(instance_id)
        if instance is None or instance.state == "terminated":
            return _cut(request)  # the machine is gone
        scope = Scope((instance.name, instance.id), path)
        now = self._ec2.world.now()
        stuck = self._ec2.faults.find(Kind.IMDS_TIMEOUT, scope, now)
        if stuck:
            await asyncio.sleep(stuck.seconds)
            return _cut(request)
        failing = self._ec2.faults.find(Kind.IMDS_ERROR, scope, now)
        reply = web.Response(status=failing.status) if failing else self._answer(request, instance, version, path)
        code = "OK" if reply.status == 200 else str(reply.status)
        action = _MAC.sub("{mac}", path) or "/"
        self._ec2.imds_calls.add(Call(now, instance.name, action, request.path, code, 0.0, ""))
        return reply

    def _answer(self, request: web.BaseRequest, instance: Instance, version: str, path: str) -> web.Response:
        if request.headers.get("X-Forwarded-For"):
            return web.Response(status=403)
        if request.method == "PUT":
            return self._token(request, instance) if (version, path) == ("latest", "api/token") else _status(404)
        if request.method not in ("GET", "HEAD"):
            return _status(405)
        token = request.headers.get(TOKEN_HEADER)
        if token is None and not self._v1:
            return _status(401)
        if token is not None and not self._token_valid(token, instance):
            return _status(401)
        if version == "":
            return _text("latest")
        if not _VERSION.fullmatch(version):
            return _status(404)
        found = tree.find(tree.build(self._view(instance, path)), path)
        return _status(404) if found is None else _text(found, document=path.endswith("document"))

    # tokens carry their own expiry, so nothing is remembered and a restart forgets none

    def _token(self, request: web.BaseRequest, instance: Instance) -> web.Response:
        try:
            seconds = int(request.headers.get(TTL_HEADER, ""))
        except ValueError:
            return _status(400)
        if not 1 <= seconds <= _MAX_TTL:
            return _status(400)
        stamp = struct.pack(">d", self._ec2.world.now() + seconds)
        token = base64.urlsafe_b64encode(stamp + _sign(stamp, instance)).decode()
        reply = _text(token)
        reply.headers[TTL_HEADER] = str(seconds)
        return reply

    def _token_valid(self, token: str, instance: Instance) -> bool:
        try:
            raw = base64.urlsafe_b64decode(token.encode())
        except (ValueError, binascii.Error):
            return False
        stamp, signature = raw[:8], raw[8:]
        if len(stamp) != 8 or not hmac.compare_digest(signature, _sign(stamp, instance)):
            return False
        expires: float = struct.unpack(">d", stamp)[0]
        return self._ec2.world.now() < expires

    # the past that lag and the staleness fault show

    def _view(self, instance: Instance, path: str) -> tree.View:
        world = self._ec2.world
        now = world.now()
        scope = Scope((instance.name, instance.id), path)
        stale = self._ec2.faults.find(Kind.IMDS_STALE, scope, now)
        age = max(world.timings.imds_lag, stale.seconds if stale else 0.0)
        shown, enis = instance, self._ec2.enis_of(instance.id)
        if age:
            # Never older than the launch: there was no IMDS to be stale before it.
            moment = max(now - age, instance.launch_time)
            shown = world.instances.as_of(instance.id, moment) or instance
            enis = [e for e in world.enis.all_as_of(moment) if e.instance_id == instance.id]
        return tree.View(
            instance=shown,
            enis=tuple(sorted((e for e in enis if e.on_wire), key=_order)),
            subnets=world.subnets,
            vpcs=world.vpcs,
            group_names={group.id: group.name for group in world.groups.values()},
            now=now,
        )


def _order(eni: Eni) -> tuple[int, int]:
    assert eni.attachment is not None
    return eni.attachment.network_card, eni.attachment.device_index


def _sign(stamp: bytes, instance: Instance) -> bytes:
    return hmac.new(b"imds " + instance.id.encode(), stamp, hashlib.sha256).digest()[:24]


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _status(status: int) -> web.Response:
    return web.Response(status=status)


def _text(text: str, *, document: bool = False) -> web.Response:
    return web.Response(text=text, content_type="application/json" if document else "text/plain")
