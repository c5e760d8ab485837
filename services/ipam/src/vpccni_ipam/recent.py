"""The last ADDs, for the node page."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

KEPT: Final = 50


@dataclasses.dataclass(frozen=True, slots=True)
class AddRecord:
    """``seconds`` in ipam; ``reason`` empty: it succeeded; ``trace_id`` empty: the plugin sent none."""

    at_unix: float
    pod: str
    seconds: float
    reason: str
    trace_id: str


class RecentAdds:
    """At most KEPT records, the newest last."""

    def __init__(self) -> None:
        self.records: collections.deque[AddRecord] = collections.deque(maxlen=KEPT)

    @contextlib.contextmanager
    def noted(self, pod: str, traceparent: str) -> Iterator[None]:
        """Records how the block ends."""
        at, started, reason = time.time(), time.monotonic(), str(Reason.INTERNAL)
        try:
            yield
            reason = ""
        except ReasonError as error:
            reason = str(error.reason)
            raise
        except asyncio.CancelledError:
            reason = str(Reason.DEADLINE_EXCEEDED)  # the caller has given up
            raise
        finally:
            parts = traceparent.split("-")
            trace_id = parts[1] if len(parts) > 1 else ""
            self.records.append(AddRecord(at, pod, time.monotonic() - started, reason, trace_id))
