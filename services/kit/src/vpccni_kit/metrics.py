"""Prometheus metrics of one process and the HTTP endpoint that serves them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, start_http_server

# Seconds: an ADD is some 10 ms, one that waits for an ENI some 10 s.
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Makes metrics in one registry; names are given whole (``awscni_…`` for the original's, ``vpccni_…`` for ours)."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.rpc_seconds = self.histogram(
            "vpccni_rpc_duration_seconds", "Duration of served calls in seconds", ("method", "reason")
        )
        self.bad_settings = self.counter(
            "vpccni_bad_settings", "Malformed settings that fell back to their default", ("name",)
        )

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)

    def histogram(
        self, name: str, help_text: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        return Histogram(name, help_text, labels, buckets=buckets, registry=self.registry)

    def summary(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Summary:
        return Summary(name, help_text, labels, registry=self.registry)

    def serve(self, port: int, address: str = "0.0.0.0") -> tuple[WSGIServer, threading.Thread]:
        """Serves /metrics on a thread of its own. Raises OSError if the port is taken."""
        return start_http_server(port, addr=address, registry=self.registry)
