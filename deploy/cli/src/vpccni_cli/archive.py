"""A support archive: gathers by name, notes what could not be had, masks everything on its way in."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from vpccni_api.reasons import ReasonError
from vpccni_api.version import VERSION

from vpccni_cli import mask


class Archive:
    """A gzipped tar. ``folder``: where everything is in it."""

    def __init__(self, out: BinaryIO, folder: str) -> None:
        self._folder = folder
        self._missing: dict[str, str] = {}
        self._names: list[str] = []
        self._tar = tarfile.open(fileobj=out, mode="w|gz")  # noqa: SIM115  # close() ends it

    def value(self, name: str, gather: Callable[[], Any]) -> Any:
        """Adds what ``gather`` gives, as JSON; returns it unmasked. None: it could not be had."""
        found = self._had(name, gather)
        if found is not None:
            self._add(name, json.dumps(mask.value(found), indent=1) + "\n")
        return found

    def text(self, name: str, gather: Callable[[], str]) -> None:
        found = self._had(name, gather)
        if found is not None:
            self._add(name, mask.text(found))

    def close(self, **about: str) -> dict[str, Any]:
        """Writes the manifest and ends the archive; returns the manifest."""
        manifest = {"version": VERSION, "at": _utc(), **about, "files": self._names, "missing": self._missing}
        self._add("manifest.json", json.dumps(mask.value(manifest), indent=1) + "\n")
        self._tar.close()
        return manifest

    def _had(self, name: str, gather: Callable[[], Any]) -> Any:
        try:
            return gather()
        except (ReasonError, OSError, ValueError) as error:
            self._missing[name] = str(error) or type(error).__name__
            return None

    def _add(self, name: str, content: str) -> None:
        data = content.encode()
        info = tarfile.TarInfo(f"{self._folder}/{name}")
        info.size, info.mtime, info.mode = len(data), int(time.time()), 0o600
        self._tar.addfile(info, io.BytesIO(data))
        self._names.append(name)


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
