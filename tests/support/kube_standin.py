"""A small API server over real HTTP: list, watch, get, create, merge patch, JSON patch; for what needs no real one.

The tests against a real kube-apiserver are in tests/contract/test_ipam_apiserver.py.
"""

from __future__ import annotations

import asyncio
import copy
import json
import pathlib
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

NODES = "/api/v1/nodes"
ENI_CONFIGS = "/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs"
CNI_NODES = "/apis/vpcresources.k8s.aws/v1alpha1/cninodes"


class Api:
    """``token``: what clients must send. ``objects``: path -> object. ``requests``: "METHOD path" of everything asked, without the query."""

    def __init__(self, token: str = "secret") -> None:
        self.token = token
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.queries: list[dict[str, list[str]]] = []
        self.refuse: dict[str, int] = {}
        self._version = 100
        self._changed = asyncio.Condition()
        self._log: list[tuple[int, str, str, dict[str, Any]]] = []
        self._oldest = 0
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Every connection ends; what is stored stays."""
        if self._server is not None:
            self._server.close()
            clients = list(self._clients)
            for writer in clients:
                writer.transport.abort()
            await asyncio.gather(*(writer.wait_closed() for writer in clients), return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def kubeconfig(self, path: pathlib.Path) -> str:
        named = {"name": "x"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "contexts": [named | {"context": {"cluster": "x", "user": "x"}}],
            "clusters": [named | {"cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [named | {"user": {"token": self.token}}],
        }
        path.write_text(json.dumps(config))
        return str(path)

    async def put(self, path: str, body: dict[str, Any]) -> None:
        kind = "MODIFIED" if path in self.objects else "ADDED"
        collection, _, name = path.rpartition("/")
        made = copy.deepcopy(body)
        self._version += 1
        made.setdefault("metadata", {}).update(name=name, resourceVersion=str(self._version))
        if "/namespaces/" in path:
            made["metadata"]["namespace"] = path.split("/namespaces/")[1].split("/")[0]
        self.objects[path] = made
        await self._tell(kind, collection, made)

    async def delete(self, path: str) -> None:
        self._version += 1
        gone = self.objects.pop(path)
        gone["metadata"]["resourceVersion"] = str(self._version)
        await self._tell("DELETED", path.rpartition("/")[0], gone)

    async def forget_history(self) -> None:
        """Watches from before now are answered with 410, as after a compaction."""
        self._oldest = self._version + 1
        self._version += 2
        self._log.clear()
        async with self._changed:
            self._changed.notify_all()

    async def _tell(self, kind: str, collection: str, body: dict[str, Any]) -> None:
        self._log.append((self._version, kind, collection, copy.deepcopy(body)))
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert f"Authorization: Bearer {self.token}\r\n" in head
            method, target, _ = head.split("\r\n")[0].split(" ")
            length = next(
                (int(x.split(":")[1]) for x in head.split("\r\n") if x.lower().startswith("content-length")), 0
            )
            body = json.loads(await reader.readexactly(length)) if length else None
            url = urlsplit(target)
            path, query = unquote(url.path), parse_qs(url.query)
            self.requests.append(f"{method} {path}")
            self.queries.append(query)
            if path in self.refuse:
                self._answer(writer, self.refuse[path], {"message": "refused by the test"})
            elif "watch" in query:
                await self._watch(writer, path, query)
            else:
                self._answer(writer, *await self._do(method, path, query, body, head))
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(text))
        )
        writer.write(text)

    async def _do(
        self, method: str, path: str, query: dict[str, list[str]], body: Any, head: str
    ) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            name = body["metadata"]["name"]
            await self.put(f"{path}/{name}", body)
            return 201, self.objects[f"{path}/{name}"]
        if method == "PATCH" and path.endswith("/status") and path.removesuffix("/status") in self.objects:
            assert "strategic-merge-patch" in head
            path = path.removesuffix("/status")
            await self.put(path, _with_conditions(self.objects[path], body["status"]["conditions"]))
            return 200, self.objects[path]
        if path in self.objects:
            if method == "GET":
                return 200, self.objects[path]
            patched = _patched(self.objects[path], body, json_patch="json-patch" in head)
            if patched is None:
                return 422, {"message": "the test of the patch failed"}
            await self.put(path, patched)
            return 200, self.objects[path]
        if method == "GET" and path.endswith(("nodes", "pods", "eniconfigs", "cninodes")):
            items = [item for where, item in self.objects.items() if _listed(where, path) and _selected(item, query)]
            return 200, {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        return 404, {"message": f"{path} not found"}

    async def _watch(self, writer: asyncio.StreamWriter, path: str, query: dict[str, list[str]]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        seen = int(query["resourceVersion"][0])
        while True:
            if seen < self._oldest:
                gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
                _chunk(writer, {"type": "ERROR", "object": gone})
                writer.write(b"0\r\n\r\n")
                return
            for version, kind, collection, body in list(self._log):
                if version > seen and _listed(f"{collection}/x", path) and _selected(body, query):
                    _chunk(writer, {"type": kind, "object": body})
            seen = self._version
            await writer.drain()
            async with self._changed:
                while self._version == seen:
                    await self._changed.wait()


def _chunk(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    """In two pieces: a line may come in any number of chunks."""
    text = json.dumps(event).encode() + b"\n"
    for piece in (text[:7], text[7:]):
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))


def _listed(where: str, collection: str) -> bool:
    """Whether a list of ``collection`` has what is at ``where``, in any namespace."""
    base, _, plural = collection.rpartition("/")
    parent = where.rpartition("/")[0]
    return parent == collection or (parent.startswith(f"{base}/namespaces/") and parent.endswith(f"/{plural}"))


def _selected(item: dict[str, Any], query: dict[str, list[str]]) -> bool:
    for term in query.get("fieldSelector", []):
        field, _, wanted = term.partition("=")
        value: Any = item
        for part in field.split("."):
            value = value.get(part, {})
        if value != wanted:
            return False
    return True


def _with_conditions(found: dict[str, Any], given: list[dict[str, Any]]) -> dict[str, Any]:
    """As a strategic merge does: the lists of conditions merge by their type."""
    made = copy.deepcopy(found)
    status = made.setdefault("status", {})
    merged = {item["type"]: item for item in (*status.get("conditions", ()), *given)}
    status["conditions"] = list(merged.values())
    return made


def _patched(found: dict[str, Any], body: Any, *, json_patch: bool) -> dict[str, Any] | None:
    made = copy.deepcopy(found)
    if not json_patch:
        uid = body.get("metadata", {}).get("uid")
        if uid and uid != made["metadata"].get("uid"):
            return None
        return _merged(made, body)
    for step in body:
        *parents, last = [p.replace("~1", "/").replace("~0", "~") for p in step["path"].split("/")[1:]]
        at = made
        for part in parents:
            at = at.get(part, {})
        if step["op"] == "test" and at.get(last) != step["value"]:
            return None
        if step["op"] == "replace":
            at[last] = step["value"]
    return made


def _merged(found: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    for key, value in body.items():
        if isinstance(value, dict):
            found[key] = _merged(dict(found.get(key) or {}), value)
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found
