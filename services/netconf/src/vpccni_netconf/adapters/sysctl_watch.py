"""Looks at sysctls over and over. The kernel tells nobody when most of them change, and inotify does not work on /proc/sys."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vpccni_netconf.adapters import sysctl

_KEEP_SURPLUS = 100


class SysctlFiles:
    """See ``ports.SysctlValues``. The files stay open: to read one again costs a sixth of opening it each time."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def strayed(self, wanted: Mapping[str, str]) -> bool:
        if len(self._open) > len(wanted) + _KEEP_SURPLUS:
            for path in [path for path in self._open if path not in wanted]:
                os.close(self._open.pop(path))
        return any(self._read(path) not in (value.encode(), b"") for path, value in wanted.items())

    def _read(self, path: str) -> bytes:
        """b"" when this kernel has no such file (any more), or will not let us look."""
        fd = self._open.get(path)
        if fd is not None:
            try:
                return os.pread(fd, 64, 0).strip()
            except OSError:  # its link was made anew
                os.close(self._open.pop(path))
        try:
            fd = self._open[path] = os.open(sysctl.root() + path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(fd, 64, 0).strip()
        except OSError:
            return b""
