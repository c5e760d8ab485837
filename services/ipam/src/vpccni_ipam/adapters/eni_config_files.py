"""ENIConfigs from a directory of YAML or JSON files, for hosts without Kubernetes; read again when a file changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.eni_config import EniConfig, eni_config

log = logging.getLogger(__name__)
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_POLL_S: Final = 2.0


class EniConfigFiles:
    """``taken``: called with all of them, by name; what is malformed is there with its error."""

    def __init__(self, directory: str, taken: Callable[[Mapping[str, EniConfig | ReasonError]], None]) -> None:
        self._directory = Path(directory)
        self._taken = taken
        self._seen: list[tuple[str, int, int]] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_POLL_S)

    def look(self) -> None:
        """Reads the files if anything changed."""
        try:
            files = sorted(path for path in self._directory.iterdir() if path.suffix in _SUFFIXES)
            seen = [(path.name, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files]
        except OSError as error:
            if self._seen != []:
                log.error("ENIConfigs: %s", error, extra={"reason": str(Reason.ENI_CONFIG_MISSING)})
            files, seen = [], []
        if seen == self._seen:
            return
        self._seen = seen
        found: dict[str, EniConfig | ReasonError] = {}
        for path in files:
            for name, one in _read(path):
                found[name] = one
                if isinstance(one, ReasonError):
                    log.error("%s: %s", path.name, one.message, extra={"reason": str(one.reason)})
        self._taken(found)


def _read(path: Path) -> Iterator[tuple[str, EniConfig | ReasonError]]:
    """Every ENIConfig of the file; a file that cannot be read stands under its own name."""
    import yaml

    try:
        documents: list[Any] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        yield path.stem, ReasonError(Reason.ENI_CONFIG_INVALID, f"file {path.name}: {error}")
        return
    for document in documents:
        if document is None or (isinstance(document, dict) and document.get("kind") != "ENIConfig"):
            continue
        yield kept(document, path.stem)


def kept(found: object, name: str = "") -> tuple[str, EniConfig | ReasonError]:
    """(name, what it says or what is wrong with it). ``name``: where the object has none."""
    if not isinstance(found, Mapping):
        return name, ReasonError(Reason.ENI_CONFIG_INVALID, f"{name}: not an object")
    metadata = found.get("metadata")
    own = str(metadata.get("name") or name) if isinstance(metadata, Mapping) else name
    try:
        return own, eni_config(found)
    except ReasonError as error:
        return own, error
