"""The original's introspection pages: JSON over HTTP/1.1 on a loopback address or a unix socket. GET only."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from vpccni_ipam.domain.model import PodIdentity, PodKey
from vpccni_ipam.inspect import AddressLine, CidrLines, Overview

log = logging.getLogger(__name__)
Page = Callable[[], object]
_TIMEOUT_S: Final = 5.0
_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


class Introspection:
    """``pages``: path -> what to show. Unknown paths list the known ones, as the original does. ``browser``: HTML of ``/``
    for whoever accepts text/html."""

    def __init__(
        self, address: str, pages: Mapping[str, Page], browser: Callable[[], Awaitable[str]] | None = None
    ) -> None:
        self._address = address
        self._pages = dict(pages)
        self._browser = browser
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError or ValueError when the address cannot be bound."""
        if self._address.startswith("unix:"):
            path = self._address.removeprefix("unix:")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._server = await asyncio.start_unix_server(self._serve, path)
            os.chmod(path, 0o600)
            return
        host, _, port = self._address.rpartition(":")
        self._server = await asyncio.start_server(self._serve, host.strip("[]") or "127.0.0.1", int(port))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(request))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone or talks something else
        finally:
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or words[0] not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", {"error": "GET only"})
        path = words[1].split("?")[0].rstrip("/") or "/"
        if path == "/" and self._browser is not None and _accepts_html(request):
            return _html(await self._browser())
        page = self._pages.get(path)
        if page is None:
            return _response("200 OK", {"AvailableCommands": sorted(self._pages)})
        try:
            return _response("200 OK", page())
        except LookupError as error:
            return _response("404 Not Found", str(error))


def _accepts_html(request: bytes) -> bool:
    headers = (line.partition(b":") for line in request.split(b"\r\n")[1:])
    return any(name.strip().lower() == b"accept" and b"text/html" in value.lower() for name, _, value in headers)


def _html(text: str) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nVary: Accept\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _response(status: str, body: object) -> bytes:
    text = json.dumps(body, indent=1).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    return head.encode() + text


def enis_page(found: Overview) -> dict[str, Any]:
    """The original's /v1/enis: network card -> pool. Container ids and interface names are left out, as there."""
    cards: dict[str, Any] = {}
    for lines in found.enis:
        facts = lines.eni.facts
        card = cards.setdefault(str(facts.network_card), {"TotalIPs": 0, "AssignedIPs": 0, "ENIs": {}})
        card["TotalIPs"] += lines.eni.total
        card["AssignedIPs"] += lines.eni.used
        families: dict[str, dict[str, Any]] = {"4": {}, "6": {}}
        for cidr in lines.cidrs:
            families["6" if ":" in cidr.cidr else "4"][cidr.cidr] = _cidr(cidr)
        card["ENIs"][facts.eni_id] = {
            "ID": facts.eni_id,
            "IsPrimary": facts.is_primary,
            "IsTrunk": facts.is_trunk,
            "IsEFA": facts.is_efa,
            "DeviceNumber": facts.device_number,
            "AvailableIPv4Cidrs": families["4"],
            "IPv6Cidrs": families["6"],
            "IsExcludedForPodIPs": False,
            "RouteTableID": lines.eni.route_table,
            "SubnetID": facts.subnet_id,
        }
    return cards or {"0": {"TotalIPs": 0, "AssignedIPs": 0, "ENIs": {}}}


def _cidr(cidr: CidrLines) -> dict[str, Any]:
    network = ipaddress.ip_network(cidr.cidr)
    return {
        "Cidr": {"IP": str(network.network_address), "Mask": base64.b64encode(network.netmask.packed).decode()},
        "IPAddresses": {line.address: _address(line) for line in cidr.addresses},
        "IsPrefix": cidr.is_prefix,
        "AddressFamily": "",
    }


def _address(line: AddressLine) -> dict[str, Any]:
    key = line.key or PodKey("", "", "")
    pod = line.pod or PodIdentity()
    metadata = (
        {"k8sPodNamespace": pod.namespace, "k8sPodName": pod.name, "interfacesCount": line.interfaces}
        if line.key
        else {}
    )
    since = _time(line.since_unix)
    return {
        "Address": line.address,
        "IPAMKey": {"networkName": key.network_name, "containerID": "", "ifName": ""},
        "IPAMMetadata": {name: value for name, value in metadata.items() if value},
        "AssignedTime": since if line.key else _ZERO_TIME,
        "UnassignedTime": _ZERO_TIME if line.key else since,
    }


def _time(unix: float) -> str:
    if not unix:
        return _ZERO_TIME
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).isoformat().replace("+00:00", "Z")
