"""The checkpoint on disk: written whole to a temporary file, synced, renamed. One write covers every change that was made
before it started; callers wait for the write that covers theirs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import glob
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

log = logging.getLogger(__name__)
# An ADD's write starts this long after it is asked for: netconf works meanwhile, and a burst of ADDs shares one write.
GATHER_S: Final = 0.0005
_RETRY_S: Final = 5.0
_TMPFS: Final = 0x01021994  # statfs(2), TMPFS_MAGIC


def path_of_card(path: str, card: int) -> str:
    """``ipam.json`` and, for further network cards, ``ipam-nic-1.json`` … beside it (the original's names)."""
    return f"{path.removesuffix('.json')}-nic-{card}.json" if card else path


def cards_on_disk(path: str) -> list[int]:
    """Further network cards that have a checkpoint."""
    stem = path.removesuffix(".json") + "-nic-"
    numbers = [name[len(stem) : -len(".json")] for name in glob.glob(glob.escape(stem) + "*.json")]
    return sorted(int(number) for number in numbers if number.isdecimal() and number != "0")


class CheckpointFile:
    """ports.Store. ``render`` gives the whole text. ``on_state(error)`` tells of every change between working and not."""

    def __init__(self, path: str, render: Callable[[], bytes], on_state: Callable[[ReasonError | None], None]) -> None:
        self.path = path
        self._temporary = path + ".tmp"
        self._directory = os.path.dirname(path) or "."
        self._render = render
        self._on_state = on_state
        self._waiting: list[asyncio.Future[None]] = []
        self._busy = False
        self._inline = False
        self._failed = False
        self.writes = 0

    def load(self) -> bytes | None:
        """The text, or None when there is no file. Removes temporary files of a crashed write. Raises ReasonError(STORE_FAILED)."""
        try:
            os.makedirs(self._directory, exist_ok=True)
            for left in glob.glob(glob.escape(self.path) + ".tmp*"):
                os.unlink(left)
            self._inline = _on_tmpfs(self._directory)
            with open(self.path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReasonError(Reason.STORE_FAILED, f"{self.path}: {error.strerror}") from error

    def set_aside(self) -> str:
        """Moves an unreadable file out of the way; returns its new name."""
        aside = f"{self.path}.corrupt-{int(time.time())}"
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
        return aside

    def commit(self, *, gather: bool) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if not self._busy:
            self._busy = True
            if gather:
                loop.call_later(GATHER_S, self._start)
            else:
                loop.call_soon(self._start)
        return future

    def _start(self) -> None:
        """Writes what is recorded now for everybody who waits now."""
        covered, self._waiting = self._waiting, []
        text = self._render()
        if self._inline:
            self._finish(covered, self._try_write(text))
            return
        job = asyncio.get_running_loop().run_in_executor(None, self._try_write, text)
        job.add_done_callback(lambda done: self._finish(covered, done.result()))

    def _finish(self, covered: list[asyncio.Future[None]], error: OSError | None) -> None:
        for future in covered:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(ReasonError(Reason.STORE_FAILED, f"{self.path}: {error.strerror or error}"))
        loop = asyncio.get_running_loop()
        if self._failed != (error is not None):
            self._failed = error is not None
            self._on_state(None if error is None else ReasonError(Reason.STORE_FAILED, f"{self.path}: {error}"))
        if self._waiting:
            loop.call_soon(self._start)
            return
        self._busy = False
        if error is not None:
            loop.call_later(_RETRY_S, self._again)

    def _again(self) -> None:
        """Until a write succeeds the disk lags behind; nobody waits for this one."""
        if self._failed and not self._busy:
            self._busy = True
            self._start()

    def _try_write(self, text: bytes) -> OSError | None:
        try:
            self._write(text)
        except OSError as error:
            return error
        return None

    def _write(self, text: bytes) -> None:
        fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(text)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(self._temporary, self.path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.writes += 1


def _on_tmpfs(directory: str) -> bool:
    """On tmpfs a write takes 0.1 ms and is made on the loop; on a disk fsync may take long and gets a thread."""
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(directory.encode(), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value == _TMPFS
