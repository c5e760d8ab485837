"""One round: pull, add up, show, and every second time send."""

from __future__ import annotations

import logging
import threading
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_metrics_helper.domain.aggregate import Pull, totals
from vpccni_metrics_helper.domain.catalog import CATALOG, Wanted
from vpccni_metrics_helper.ports import CloudWatch, Cluster

log = logging.getLogger(__name__)
SEND_EVERY: Final = 2
"""Pulls between two messages to CloudWatch, as the original: at 30 s one a minute, which is CloudWatch's resolution."""


class Collect:
    """``cloudwatch`` None: nothing is sent. ``shown`` is replaced whole: readers on other threads see one round."""

    def __init__(self, cluster: Cluster, cloudwatch: CloudWatch | None) -> None:
        self._cluster = cluster
        self._cloudwatch = cloudwatch
        self._sent_at: Pull | None = None
        self._pulls = 0
        self.shown: dict[Wanted, float] = {}
        self.last: Pull = Pull({}, {})
        self.send_failures = 0

    def once(self) -> None:
        """What fails is logged and tried again with the next round."""
        try:
            now = self._cluster.pull()
        except ReasonError as error:
            log.error("no metrics: %s", error, extra={"reason": str(error.reason)})
            return
        for pod, why in now.failed.items():
            log.warning("no metrics of %s: %s", pod, why, extra={"pod": pod})
        self.last, self.shown = now, totals(CATALOG, now, self._sent_at)
        self._pulls += 1
        if self._sent_at is None:
            self._sent_at = now  # increases are counted from here
        elif self._cloudwatch is not None and self._pulls % SEND_EVERY == 0:
            self._send(self._cloudwatch, now)

    def _send(self, cloudwatch: CloudWatch, now: Pull) -> None:
        values = {item.cloudwatch: value for item, value in self.shown.items() if item.cloudwatch}
        try:
            cloudwatch.put(values)
        except ReasonError as error:
            self.send_failures += 1
            log.error("CloudWatch: %s", error, extra={"reason": str(error.reason)})
            return  # the increases go with the next message
        self._sent_at = now
        log.info("sent %d metrics of %d nodes", len(values), len(now.nodes))

    def run(self, interval_s: float, stop: threading.Event) -> None:
        """Until ``stop``."""
        while not stop.is_set():
            self.once()
            stop.wait(interval_s)
