"""Files of the host, replaced in one step: a reader sees the old file or the new one, never half of it."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_TEMPORARY = ".vpccni-tmp"


def replace(path: Path, text: str, mode: int = 0o644) -> bool:
    """Writes ``text`` by a temporary file in the same directory and rename (containerd only notices that). True: it changed.

    A file that already has this text is left alone. Raises OSError.
    """
    try:
        if path.read_text() == text:
            return False
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    temporary = path.with_name(path.name + _TEMPORARY)
    with temporary.open("w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync_directory(path.parent)
    return True


def install(source: Path, directory: Path, mode: int = 0o755) -> bool:
    """Copies a program into ``directory`` likewise; a running one keeps the file it has. True: it changed. Raises OSError."""
    target = directory / source.name
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return False
    temporary = target.with_name(target.name + _TEMPORARY)
    shutil.copyfile(source, temporary)
    temporary.chmod(mode)
    temporary.rename(target)
    return True


def remove(paths: Iterable[Path]) -> list[Path]:
    """Removes files and whole directories; those that were there. Raises OSError."""
    gone = []
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()
        else:
            continue
        gone.append(path)
    return gone


def sweep(directory: Path) -> None:
    """Removes what an interrupted copy left in ``directory``."""
    remove(directory.glob(f"*{_TEMPORARY}"))


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
