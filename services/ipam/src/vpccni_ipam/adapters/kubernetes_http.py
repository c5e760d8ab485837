"""HTTP/1.1 to the API server on the event loop: a connection per call, and streams of JSON lines.

The official client costs 29 MB of memory and a thread per watch; on every node of a cluster that is too much for a few
requests. It is imported only to read a kubeconfig file (KUBECONFIG), which may hold anything that kubectl understands.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from vpccni_api.reasons import Reason, ReasonError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONNECT_S: Final = 10.0
_LINE: Final = 1 << 16
_MOST: Final = 32 << 20
# A peer that is gone without a word is noticed after half a minute, also when nothing is being sent.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_FAILURES: Final = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is, and as whom it is spoken to. ``token_file`` is read for every call: kubelet renews it.

    ``authority``: file of certificates to trust; empty: the system's.
    """

    url: str
    authority: str = ""
    token_file: str = ""
    authorization: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True

    def header(self) -> str:
        """Raises OSError when the token is not there."""
        return f"Bearer {Path(self.token_file).read_text().strip()}" if self.token_file else self.authorization

    def tls(self) -> ssl.SSLContext | None:
        """Raises OSError (ssl.SSLError is one) when a certificate cannot be read."""
        if not self.url.startswith("https"):
            return None
        context = ssl.create_default_context(cafile=self.authority or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key or None)
        return context


def access(environ: Mapping[str, str], endpoint: str = "", account: Path = ACCOUNT) -> Access:
    """From KUBECONFIG, else the pod's own. ``endpoint``: a host or URL to use instead of the service address.
    Raises ReasonError(KUBERNETES_UNREACHABLE) when there is neither."""
    found = (
        _from_kubeconfig(environ["KUBECONFIG"])
        if environ.get("KUBECONFIG")
        else _in_cluster(environ, endpoint, account)
    )
    if not endpoint:
        return found
    return dataclasses.replace(found, url=endpoint if "://" in endpoint else f"https://{endpoint}")


def _in_cluster(environ: Mapping[str, str], endpoint: str, account: Path) -> Access:
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host and not endpoint:
        raise ReasonError(
            Reason.KUBERNETES_UNREACHABLE, "KUBERNETES_SERVICE_HOST, KUBECONFIG and CLUSTER_ENDPOINT are not set"
        )
    host = f"[{host}]" if ":" in host else host
    return Access(f"https://{host}:{port}", str(account / "ca.crt"), str(account / "token"))


def _from_kubeconfig(path: str) -> Access:
    from kubernetes import client, config

    settings: Any = client.Configuration()
    try:
        config.load_kube_config(path, client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"KUBECONFIG {path}: {error}") from error
    return Access(
        settings.host,
        settings.ssl_ca_cert or "",
        authorization=str(settings.auth_settings().get("BearerToken", {}).get("value", "")),
        certificate=settings.cert_file or "",
        key=settings.key_file or "",
        verify=bool(settings.verify_ssl),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """``body`` is JSON, or what stood in its place."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"null")

    @property
    def message(self) -> str:
        """What the API server says of an error."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return str(self.json()["message"])
        return self.body[:200].decode("utf-8", "replace")


class Http:
    """One per process."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tls: ssl.SSLContext | None = None
        self._tls_of = 0.0

    async def call(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", timeout: float = 5.0
    ) -> Reply:
        """Any status is a reply. Raises ReasonError(KUBERNETES_UNREACHABLE) when there is none."""
        try:
            async with asyncio.timeout(timeout), self._sent(method, path, body, kind) as (status, chunks):
                found = bytearray()
                async for chunk in chunks:
                    found += chunk
                    if len(found) > _MOST:
                        raise ValueError(f"more than {_MOST} bytes")
                return Reply(status, bytes(found))
        except _FAILURES as error:
            raise _unreachable(method, path, error) from error

    async def lines(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """The objects of a watch, until the server ends it. Raises ReasonError(KUBERNETES_UNREACHABLE). Close it when done."""
        try:
            async with self._sent("GET", path, None, "") as (status, chunks):
                rest = b""
                async for chunk in chunks:
                    rest += chunk
                    if len(rest) > _MOST:
                        raise ValueError(f"a line of more than {_MOST} bytes")
                    if status == 200 and b"\n" in chunk:
                        *whole, rest = rest.split(b"\n")
                        for line in filter(None, whole):
                            yield json.loads(line)
                if status != 200:
                    raise ValueError(f"HTTP {status}: {Reply(status, rest).message}")
        except _FAILURES as error:
            raise _unreachable("GET", path, error) from error

    @contextlib.asynccontextmanager
    async def _sent(
        self, method: str, path: str, body: object, kind: str
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        url = urlsplit(self._access.url)
        tls = self._context()
        port = url.port or (443 if tls else 80)
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(url.hostname, port, ssl=tls, limit=_LINE)
        try:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                raw.setsockopt(socket.IPPROTO_TCP, option, value)
            writer.write(self._request(method, url.path.rstrip("/") + path, url.netloc, body, kind))
            async with asyncio.timeout(_CONNECT_S):
                await writer.drain()
                status, headers = await _head(reader)
            yield status, _body(reader, headers)
        finally:
            # Nothing is kept for later, so there is nothing to say goodbye for.
            writer.transport.abort()

    def _context(self) -> ssl.SSLContext | None:
        """Made again when the file of certificates has changed."""
        file = self._access.authority
        changed = os.stat(file).st_mtime if file else 0.0
        if self._tls is None or changed != self._tls_of:
            self._tls, self._tls_of = self._access.tls(), changed
        return self._tls

    def _request(self, method: str, path: str, host: str, body: object, kind: str) -> bytes:
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept: application/json", "User-Agent: vpccni-ipam"]
        if header := self._access.header():
            lines.append(f"Authorization: {header}")
        if body is not None:
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
        lines += ["Connection: close", "", ""]
        return "\r\n".join(lines).encode() + content


def _unreachable(method: str, path: str, error: Exception) -> ReasonError:
    text = str(error) or type(error).__name__
    return ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{method} {path.split('?')[0]}: {text}")


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Raises ValueError or EOFError for what is not HTTP."""
    first = (await reader.readuntil(b"\r\n")).decode("latin-1").split(" ", 2)
    if len(first) < 2 or not first[0].startswith("HTTP/1.") or not first[1].isdigit():
        raise ValueError(f"not HTTP: {' '.join(first)[:60]!r}")
    headers: dict[str, str] = {}
    while (line := (await reader.readuntil(b"\r\n")).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(first[1]), headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Pieces as they come. Raises EOFError when the connection ends too early."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        return
    if "content-length" in headers:
        left = int(headers["content-length"])
        while left > 0:
            piece = await reader.read(min(left, _LINE))
            if not piece:
                raise EOFError(f"{left} bytes are missing")
            left -= len(piece)
            yield piece
        return
    while piece := await reader.read(_LINE):
        yield piece
