"""Prometheus metrics of one process and the HTTP endpoint that serves them."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Sequence
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    make_wsgi_app,
)
from prometheus_client.metrics_core import Metric

from vpccni_kit.health import HealthBoard

# Seconds: an ADD is some 10 ms, one that waits for an ENI some 10 s.
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


# How often the server looks whether it should end; it never should, so this only keeps an idle process from waking up.
_POLL_S = 60.0

# The moments at which series were made would double what is scraped and tell nobody anything.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _CounterType(str):
    """The type "counter" of a metric whose name does not end in _total: prometheus_client renames what compares equal to
    "counter"."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return False


def counter_as_named(metric: Metric) -> Metric:
    """The same metric as a counter that keeps its name."""
    metric.type = _CounterType("counter")
    return metric


class NamedCounter(Gauge):
    """A counter whose name does not end in ``_total``: the original's names are what dashboards ask for. Only ``inc``."""

    def _get_metric(self) -> Metric:
        return counter_as_named(super()._get_metric())  # type: ignore[no-untyped-call]


class _HttpServer(ThreadingMixIn, WSGIServer):
    """One thread per request."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Binds without looking up this machine's name: with a silent name server that alone holds up the start by seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A scrape is no event."""


class _DependencyCollector:
    """``vpccni_dependency_up`` from the board of the health service."""

    def __init__(self, board: HealthBoard) -> None:
        self._board = board

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        up = Metric("vpccni_dependency_up", "1 while a dependency of the service answers, else 0", "gauge")
        for name, state in self._board.dependencies.items():
            up.add_sample("vpccni_dependency_up", {"dependency": name}, int(state.ok))
        ready = Metric("vpccni_ready", "1 while the service is ready, else 0", "gauge")
        ready.add_sample("vpccni_ready", {}, int(self._board.ready))
        return [up, ready]


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

    def named_counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> NamedCounter:
        """A counter shown under exactly this name, for those of the original that have no ``_total``."""
        return NamedCounter(name, help_text, labels, registry=self.registry)

    def watch_health(self, board: HealthBoard) -> None:
        """Shows the state of each dependency."""
        self.registry.register(_DependencyCollector(board))

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
        app = make_wsgi_app(self.registry)
        server = make_server(address, port, app, server_class=_HttpServer, handler_class=_QuietHandler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, daemon=True)
        thread.start()
        return server, thread
