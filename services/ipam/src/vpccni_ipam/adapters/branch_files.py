"""Pods with a branch ENI, one JSON file each: they are none of the pool's, and the original's checkpoint has no place for them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.egress import Egress
from vpccni_ipam.domain.model import Assignment, Branch, PodIdentity, PodKey, Wiring

log = logging.getLogger(__name__)
_SUFFIX: Final = ".json"


class BranchFiles:
    """pod_eni.BranchStore."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def load(self) -> list[Assignment]:
        """What cannot be read is set aside under a hidden name, and logged."""
        found: list[Assignment] = []
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self._directory)):
                if name.startswith(".") or not name.endswith(_SUFFIX):
                    continue
                path = os.path.join(self._directory, name)
                try:
                    with open(path, encoding="utf-8") as file:
                        found.append(_assignment(json.load(file)))
                except (OSError, KeyError, TypeError, ValueError) as error:
                    log.error("record %s cannot be read and is set aside: %s", name, error)
                    with contextlib.suppress(OSError):
                        os.rename(path, os.path.join(self._directory, f".bad-{name}"))
        return found

    def put(self, item: Assignment) -> None:
        """Durable when it returns. Raises ReasonError(STORE_FAILED)."""
        path = self._path(item.key)
        temporary = os.path.join(self._directory, f".{os.path.basename(path)}")
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(dataclasses.asdict(item) | {"key": item.key._asdict()}, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except OSError as error:
            raise ReasonError(Reason.STORE_FAILED, f"{path}: {error.strerror}") from error

    def drop(self, key: PodKey) -> None:
        """Raises ReasonError(STORE_FAILED)."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(key))
        except OSError as error:
            raise ReasonError(Reason.STORE_FAILED, f"{self._path(key)}: {error.strerror}") from error

    def _path(self, key: PodKey) -> str:
        return os.path.join(self._directory, f"{key.container_id}-{key.ifname}{_SUFFIX}")


def _assignment(found: dict[str, Any]) -> Assignment:
    wiring = found["wiring"]
    egress = Egress(**wiring["egress"]) if wiring.get("egress") else None
    parts = found | {
        "key": PodKey(**found["key"]),
        "pod": PodIdentity(**found["pod"]),
        "wiring": Wiring(**wiring | {"egress": egress}),
        "branch": Branch(**found["branch"]),
    }
    return Assignment(**parts)
