"""Tells when the name of a network namespace goes (inotify on the directories that hold them)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_IN_DELETE: Final = 0x200
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class NetnsNames:
    """See ``ports.NetnsNames``."""

    def __init__(self) -> None:
        self._fd = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._directories: dict[int, str] = {}

    def fileno(self) -> int:
        return self._fd

    def watch(self, path: str) -> bool:
        """False for names that nobody deletes (/proc/PID/ns/net), and where the directory cannot be watched."""
        directory = os.path.dirname(path)
        if directory.startswith("/proc/"):
            return False
        if directory not in self._directories.values():
            number = int(_libc.inotify_add_watch(self._fd, directory.encode(), _IN_DELETE))
            if number < 0:
                return False
            self._directories[number] = directory
        return os.path.exists(path)

    def gone(self) -> frozenset[str]:
        """Paths of names that went since the last call. Never blocks."""
        found: set[str] = set()
        while True:
            try:
                read = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return frozenset(found)
            at = 0
            while at < len(read):
                number, _, _, length = _EVENT.unpack_from(read, at)
                name = read[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0").decode(errors="replace")
                found.add(os.path.join(self._directories.get(number, ""), name))
                at += _EVENT.size + length
