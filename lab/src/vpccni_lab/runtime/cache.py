"""Cached results: what ADD gave, kept for CHECK, DEL and GC. Files as libcni writes them (kind ``cniCacheV1``)."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vpccni_lab.runtime.conflist import Attachment, ConfList

KIND: Final = "cniCacheV1"


@dataclasses.dataclass(frozen=True, slots=True)
class Cached:
    """One attachment that was added, with its result."""

    network: str
    attachment: Attachment
    result: dict[str, Any]


class ResultCache:
    """``directory``: as the calling thread sees it (libcni's default: /var/lib/cni)."""

    def __init__(self, directory: Path) -> None:
        self._results = directory / "results"

    def save(self, conf: ConfList, attachment: Attachment, result: dict[str, Any], config: bytes) -> None:
        """Keeps the result of an ADD. Raises OSError."""
        self._results.mkdir(parents=True, exist_ok=True)
        record = {
            "kind": KIND,
            "containerId": attachment.container_id,
            "config": base64.b64encode(config).decode(),
            "ifName": attachment.ifname,
            "networkName": conf.name,
            "netns": attachment.netns,
            "cniArgs": [list(pair) for pair in attachment.args],
            "capabilityArgs": dict(attachment.capability_args),
            "result": result,
        }
        path = self._path(conf.name, attachment)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(record))
        temporary.rename(path)

    def load(self, conf: ConfList, attachment: Attachment) -> dict[str, Any] | None:
        """The cached result; None when there is none or it is unreadable."""
        cached = _read(self._path(conf.name, attachment))
        return None if cached is None else cached.result

    def drop(self, conf: ConfList, attachment: Attachment) -> None:
        """Forgets the attachment. Not there: fine."""
        self._path(conf.name, attachment).unlink(missing_ok=True)

    def all(self, network: str = "") -> Iterator[Cached]:
        """Every cached attachment (of one network)."""
        for path in sorted(self._results.glob("[!.]*")):
            cached = _read(path)
            if cached is not None and network in ("", cached.network):
                yield cached

    def _path(self, network: str, attachment: Attachment) -> Path:
        return self._results / f"{network}-{attachment.container_id}-{attachment.ifname}"


def _read(path: Path) -> Cached | None:
    try:
        data = json.loads(path.read_text())
        if data["kind"] != KIND:
            return None
        attachment = Attachment(
            container_id=data["containerId"],
            netns=data.get("netns", ""),
            ifname=data["ifName"],
            args=tuple((key, value) for key, value in data["cniArgs"] or ()),
            capability_args=data.get("capabilityArgs") or {},
        )
        return Cached(data["networkName"], attachment, data["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
