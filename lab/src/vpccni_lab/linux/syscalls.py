"""Namespace and mount system calls (``os.setns`` and ``os.unshare`` came with Python 3.12).

A namespace belongs to a thread, not to a process. Everything here therefore acts on the calling thread; callers that
must stay where they are use :func:`in_new_thread` or :func:`in_netns`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, TypeVar

CLONE_FS: Final = 0x00000200
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWNET: Final = 0x40000000

MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def _check(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def unshare(flags: int) -> None:
    """Gives the calling thread new namespaces. Raises OSError."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int = 0) -> None:
    """Moves the calling thread into the namespace ``fd``. A mount namespace needs ``unshare(CLONE_FS)`` first."""
    _check(_libc.setns(fd, kind), f"setns {kind:#x}")


def mount(source: str, target: str, fstype: str = "none", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    result = _libc.mount(source.encode(), target.encode(), fstype.encode(), flags, data.encode() if data else None)
    _check(result, f"mount {source} on {target}")


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """Makes ``source`` visible at ``target`` too, in the calling thread's mount namespace."""
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))


def umount(target: str) -> None:
    """Detaches the mount at ``target``. Raises OSError (EINVAL: nothing is mounted there)."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def in_new_thread(function: Callable[[], _T]) -> _T:
    """Runs ``function`` in a thread of its own, which then ends, and hands back its result or its exception."""
    result: list[_T] = []
    error: list[BaseException] = []

    def target() -> None:
        try:
            result.append(function())
        except BaseException as exc:  # noqa: BLE001  handed to the caller, whatever it is
            error.append(exc)

    thread = threading.Thread(target=target, name="ns")
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return result[0]


def in_netns(path: str | os.PathLike[str], function: Callable[[], _T]) -> _T:
    """Runs ``function`` in a thread that sits in the network namespace at ``path``.

    A socket that it opens belongs to that namespace for good, whichever thread uses it afterwards.
    """

    def entered() -> _T:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd, CLONE_NEWNET)
        finally:
            os.close(fd)
        return function()

    return in_new_thread(entered)


def enter_process(pid: int) -> None:
    """Moves the calling thread into the network, mount and UTS namespaces of process ``pid``.

    Raises ProcessLookupError or FileNotFoundError when the process is gone.
    """
    fds = [
        (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind)
        for name, kind in (("net", CLONE_NEWNET), ("uts", CLONE_NEWUTS), ("mnt", CLONE_NEWNS))
    ]
    try:
        unshare(CLONE_FS)
        for fd, kind in fds:
            setns(fd, kind)
    finally:
        for fd, _ in fds:
            os.close(fd)


def make_netns(path: str) -> None:
    """Creates a network namespace, ``lo`` up, bound to the new file ``path``. The calling thread stays where it is.

    Raises FileExistsError when ``path`` is there already.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            loopback_up()
            bind("/proc/thread-self/ns/net", path)
        finally:
            setns(home, CLONE_NEWNET)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(home)


def loopback_up() -> None:
    """Brings ``lo`` of the calling thread's network namespace up (as the runtime's loopback plugin does)."""
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, siocgifflags, request))[1]
        fcntl.ioctl(sock, siocsifflags, struct.pack("16sH14x", b"lo", flags | iff_up))


def drop_netns(path: str) -> None:
    """Undoes :func:`make_netns`. Nothing there: no error. The namespace goes when its last user does."""
    with contextlib.suppress(OSError):  # never mounted, or gone: only the file is left
        umount(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
