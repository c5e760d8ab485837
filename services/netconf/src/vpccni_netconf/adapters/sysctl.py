"""Files below /proc/sys/net, of the namespace that the calling thread is in."""

from __future__ import annotations

import errno
import os

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.domain.objects import Sysctl
from vpccni_netconf.kernel_time import in_kernel

_root = "/proc/sys/"


def use(mounted: str) -> None:
    """``mounted``: another mount of /proc/sys/net, used when it is there. A runtime mounts /proc/sys read-only for a container
    that is not privileged; the host's own mount is writable, and shows the namespace of whoever looks just the same."""
    global _root
    net = mounted.rstrip("/")
    if os.path.isdir(net) and net.endswith("/net"):
        _root = net.removesuffix("net")


def root() -> str:
    """Where paths of sysctls begin."""
    return _root


def read(path: str) -> str:
    """The value, "" when this kernel has no such file."""
    try:
        with open(_root + path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def ensure(item: Sysctl) -> bool:
    """Writes only what differs (a write takes the kernel's configuration lock); True if it wrote.

    Raises KERNEL_REFUSED; an optional file that is missing is fine.
    """
    try:
        with in_kernel:
            return _ensure(_root + item.path, item.value.encode())
    except OSError as error:
        if error.errno == errno.ENOENT and item.optional:
            return False
        hint = "; the container needs a writable /proc/sys" if error.errno == errno.EROFS else ""
        raise ReasonError(
            Reason.KERNEL_REFUSED,
            f"sysctl -w {item}: {error.strerror} ({errno.errorcode.get(error.errno or 0)}){hint}",
        ) from error


def _ensure(path: str, value: bytes) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.read(fd, 64).strip() == value:
            return False
    finally:
        os.close(fd)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)
    return True
