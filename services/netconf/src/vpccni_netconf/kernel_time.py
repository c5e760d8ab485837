"""How much of a job's time the kernel takes: the adapters count their system calls, the kernel thread tells its span."""

from __future__ import annotations

import threading
import time


class KernelTime(threading.local):
    """Nanoseconds that the thread has spent in blocks ``with in_kernel:``, which must not nest. The wait for Python's lock
    after a system call counts, too."""

    ns = 0
    _began = 0

    def __enter__(self) -> None:
        self._began = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self.ns += time.perf_counter_ns() - self._began


in_kernel = KernelTime()
