"""The journal of cloud actions: one small JSON file, replaced atomically and fsynced before an effect starts."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib
from typing import Any

from vpccni_api.reasons import Reason, ReasonError

from vpccni_eni_manager.domain.eni_steps import Action, Step

log = logging.getLogger(__name__)
_SCHEMA = "vpccni-eni-journal/1"


class FileJournal:
    """Implements ports.Journal. Raises ReasonError(STORE_FAILED) when the file cannot be written."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._entries: dict[str, Action] = {action.token: action for action in _load(path)}

    def entries(self) -> tuple[Action, ...]:
        return tuple(self._entries.values())

    def put(self, action: Action) -> None:
        self._entries[action.token] = action
        self._write()

    def drop(self, token: str) -> None:
        if self._entries.pop(token, None) is not None:
            self._write()

    def _write(self) -> None:
        document = {"version": _SCHEMA, "actions": [dataclasses.asdict(action) for action in self._entries.values()]}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, json.dumps(document) + "\n")
        except OSError as error:
            raise ReasonError(Reason.STORE_FAILED, f"journal {self._path}: {error.strerror}") from error


def write_durably(path: pathlib.Path, text: str) -> None:
    """Temporary file in the same directory, fsync, rename, fsync of the directory. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _load(path: pathlib.Path) -> list[Action]:
    """An unreadable journal is set aside: what it knew, the leaked-ENI job finds by tag after five minutes."""
    try:
        document = json.loads(path.read_text())
        if document["version"] != _SCHEMA:
            raise ValueError(f"version {document['version']!r}, expected {_SCHEMA}")
        return [_action(entry) for entry in document["actions"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        aside = path.with_name(path.name + ".corrupt")
        log.error("journal %s is unreadable (%s); set aside as %s", path, error, aside)
        if path.exists():
            os.replace(path, aside)
        return []


def _action(entry: dict[str, Any]) -> Action:
    return Action(**{**entry, "step": Step(entry["step"])})
