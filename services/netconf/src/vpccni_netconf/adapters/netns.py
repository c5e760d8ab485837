"""Network namespaces of pods: the only place that calls setns(2). Nothing here creates a namespace or forks."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.kernel_time import in_kernel

log = logging.getLogger(__name__)
_CLONE_NEWNET: Final = 0x40000000
_NS_GET_NSTYPE: Final = 0xB703
_EXIT_LOST: Final = 70

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int) -> None:
    with in_kernel:
        failed = _libc.setns(fd, _CLONE_NEWNET)
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class HostNamespace:
    """The namespace of the thread that makes this: the node's own."""

    def __init__(self) -> None:
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._identity = _identity(self.fd)

    def close(self) -> None:
        os.close(self.fd)

    def open_pod(self, path: str) -> int:
        """A file descriptor of the pod's namespace; the caller closes it.

        Raises NETNS_GONE when nothing is there, NETNS_INVALID when it is something else than a network namespace, or the
        node's own (a pod with hostNetwork must never be wired).
        """
        try:
            # Looked at before it is opened: opening a device or a FIFO has effects of its own.
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise ReasonError(Reason.NETNS_INVALID, f"netns {path}: not a network namespace")
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
            raise ReasonError(
                Reason.NETNS_GONE if gone else Reason.NETNS_INVALID, f"netns {path}: {error.strerror}"
            ) from error
        try:
            if fcntl.ioctl(fd, _NS_GET_NSTYPE) != _CLONE_NEWNET:
                raise ReasonError(Reason.NETNS_INVALID, f"netns {path}: a namespace, but not of the network")
        except OSError as error:
            os.close(fd)
            # A bind mount whose namespace is gone leaves the plain file that it was mounted on.
            raise ReasonError(Reason.NETNS_INVALID, f"netns {path}: not a network namespace") from error
        except ReasonError:
            os.close(fd)
            raise
        if _identity(fd) == self._identity:
            os.close(fd)
            raise ReasonError(Reason.NETNS_INVALID, f"netns {path}: is the node's own namespace")
        return fd

    @contextlib.contextmanager
    def inside(self, fd: int) -> Iterator[None]:
        """The calling thread is in the namespace of ``fd`` for the time of the block. Keep the block short."""
        try:
            _setns(fd)
        except OSError as error:
            # The file is a network namespace, as was seen when it was opened: this is about us.
            hint = "; the container needs CAP_SYS_ADMIN" if error.errno == errno.EPERM else ""
            raise ReasonError(Reason.KERNEL_REFUSED, f"setns: {error.strerror}{hint}") from error
        try:
            yield
        finally:
            self._return()

    def _return(self) -> None:
        try:
            _setns(self.fd)
        except OSError:
            # A thread that is lost in a pod's namespace would wire the next pod there: better no service than that.
            log.critical("cannot return to the node's network namespace", exc_info=True)
            os._exit(_EXIT_LOST)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
