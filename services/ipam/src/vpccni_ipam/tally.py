"""Counts of what happened, by the original's metric names; adapters/metrics.py shows them."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

DRIFT: Final = "vpccni_drift_total"


class Tally:
    """Counters by (metric, label value), and what is being done now by the original's function names."""

    def __init__(self) -> None:
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.in_progress: collections.Counter[str] = collections.Counter()
        self.observe_wait: Callable[[float], None] = lambda seconds: None

    def add(self, metric: str, label: str = "", by: int = 1) -> None:
        if by:
            self.counts[metric, label] += by

    def asked(self, verb: str) -> None:
        """One more request of the plugin: "add" or "del"."""
        if verb == "add":
            self.add("awscni_add_ip_req_count")
        else:
            self.add("awscni_del_ip_req_count", "PodDeleted")

    def drift(self) -> dict[str, int]:
        """Repairs by kind of kernel object."""
        return {kind: count for (metric, kind), count in self.counts.items() if metric == DRIFT}

    def drifted(self, kind: str) -> None:
        self.add(DRIFT, kind)

    def error(self, function: str) -> None:
        """One more of awscni_ipamd_error_count{fn}."""
        self.add("awscni_ipamd_error_count", function)

    def reconciled(self, function: str, by: int = 1) -> None:
        """More of awscni_reconcile_count{fn}."""
        self.add("awscni_reconcile_count", function, by)

    @contextlib.contextmanager
    def doing(self, function: str) -> Iterator[None]:
        """awscni_ipamd_action_inprogress{fn} is 1 meanwhile."""
        self.in_progress[function] += 1
        try:
            yield
        finally:
            self.in_progress[function] -= 1
