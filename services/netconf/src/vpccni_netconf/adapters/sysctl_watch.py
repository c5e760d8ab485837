"""Looks at sysctls over and over. The kernel tells nobody when most of them change, and inotify does not work on /proc/sys."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import Final

from vpccni_netconf.adapters import sysctl

_TRIED_AGAIN: Final = 10
"""Files that were not there, per look: they come with their link; without IPv6 in the kernel all are missing, always."""


class SysctlFiles:
    """See ``ports.SysctlValues``. The files stay open: to read one again costs a sixth of opening it each time."""

    def __init__(self) -> None:
        self._wanted: dict[str, str] = {}
        self._open: dict[str, int] = {}
        self._missing: deque[str] = deque()
        self._expected: list[tuple[str, int, bytes]] = []

    def strayed(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        if self._wanted != wanted:
            self._take_over(dict(wanted))
        if self._missing:
            self._open_some(min(len(self._missing), _TRIED_AGAIN))
        try:
            return self._differs()
        except OSError:  # a link was made anew under its old name: its files are others
            self._take_over({})
            return ()

    def _differs(self) -> tuple[str, ...]:
        pread = os.pread  # a microsecond for each of a thousand files
        return tuple(path for path, fd, value in self._expected if pread(fd, 64, 0) != value)

    def _take_over(self, wanted: dict[str, str]) -> None:
        for path in self._open.keys() - wanted.keys():
            os.close(self._open.pop(path))
        self._missing = deque(path for path in wanted if path not in self._open)
        self._wanted = wanted
        self._expected = [(path, fd, _text(wanted[path])) for path, fd in self._open.items()]
        self._open_some(len(self._missing))

    def _open_some(self, number: int) -> None:
        """Those that this kernel does not have, or will not let us read, go to the end of the queue."""
        for _ in range(number):
            path = self._missing.popleft()
            try:
                fd = self._open[path] = os.open(sysctl.root() + path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._missing.append(path)
            else:
                self._expected.append((path, fd, _text(self._wanted[path])))


def _text(value: str) -> bytes:
    """As the kernel shows it."""
    return f"{value}\n".encode()
