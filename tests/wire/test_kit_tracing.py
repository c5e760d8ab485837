"""Which spans leave a process, over a real OTLP connection: sampling, what is kept in any case, a collector that goes and comes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_kit.otel import OtelBackend

pytestmark = pytest.mark.wire
PARENT = "00-{:032x}-00f067aa0ba902b7-00"


class Otlp(otlp_grpc.TraceServiceServicer):
    """Keeps (trace id, name) of what is exported."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        self.changed = threading.Condition()

    def Export(self, request: Any, context: Any) -> Any:
        with self.changed:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.names += [(span.trace_id.hex(), span.name) for span in scope.spans]
            self.changed.notify_all()
        return otlp.ExportTraceServiceResponse()

    def wait_for(self, name: str) -> list[tuple[str, str]]:
        with self.changed:
            assert self.changed.wait_for(lambda: name in [one for _, one in self.names], 20), self.names
            return list(self.names)


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[tuple[Otlp, int]]:
    servicer = Otlp()
    server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
    otlp_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield servicer, bound
    finally:
        server.stop(None).wait()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def begin(port: int, sampler: str = "", ratio: str = "", slow: str = "60") -> None:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_TRACES_SAMPLER": sampler,
            "OTEL_TRACES_SAMPLER_ARG": ratio,
            "VPCCNI_TRACE_SLOW": slow,
        }
        for key, value in env.items():
            if value:
                monkeypatch.setenv(key, value)
            else:
                monkeypatch.delenv(key, raising=False)
        assert telemetry.setup("ipam", {"k8s.node.name": "n"})

    yield begin
    telemetry.shutdown()
    telemetry._backend = None


def add(trace: int, child: Callable[[telemetry.Span], None]) -> None:
    """A call of a plugin that was given no trace: its part and one step below it."""
    with (
        telemetry.span(f"add-{trace}", parent=PARENT.format(trace), server=True, undecided=True),
        telemetry.span(f"step-{trace}") as span,
    ):
        child(span)


def fails(span: telemetry.Span) -> None:
    raise ReasonError(Reason.ENI_LIMIT, "3 of 3")


def test_a_sampler_that_takes_nothing_still_lets_failed_and_kept_traces_through(start: Callable[..., None]) -> None:
    flags: list[str] = []
    with serving() as (collector, port):
        start(port, "parentbased_always_off")
        add(1, lambda span: flags.append(span.traceparent[-2:]))
        with pytest.raises(ReasonError):
            add(2, fails)

        def waits(span: telemetry.Span) -> None:
            span.keep()
            flags.append(span.traceparent[-2:])

        add(3, waits)
        names = [name for _, name in collector.wait_for("add-3")]
    assert sorted(names) == ["add-2", "add-3", "step-2", "step-3"]
    assert flags == ["00", "01"]  # the peers of a kept trace are told


def test_slow_traces_are_kept_with_their_parts(start: Callable[..., None]) -> None:
    with serving() as (collector, port):
        start(port, "parentbased_always_off", slow="0.05")
        add(1, lambda span: None)
        add(2, lambda span: time.sleep(0.06))
        names = [name for _, name in collector.wait_for("add-2")]
    assert sorted(names) == ["add-2", "step-2"]


def test_services_choose_the_same_traces(start: Callable[..., None]) -> None:
    with serving() as (_, port):
        start(port, "parentbased_traceidratio", "0.5")
        here = telemetry._backend
        assert here is not None
        other = OtelBackend("netconf", {}, f"http://127.0.0.1:{port}", 60)
        chosen = [here.begin(PARENT.format(i * 2**120 // 200 + i * 2**56))[-2:] for i in range(1, 200)]
        assert chosen == [other.begin(PARENT.format(i * 2**120 // 200 + i * 2**56))[-2:] for i in range(1, 200)]
        assert {"00", "01"} == set(chosen)
        other.shutdown()


def test_a_runtime_that_samples_is_obeyed(start: Callable[..., None]) -> None:
    with serving() as (collector, port):
        start(port, "parentbased_always_off")
        with telemetry.span("asked", parent=PARENT.format(7)[:-2] + "01", server=True):
            pass
        assert collector.wait_for("asked") == [(f"{7:032x}", "asked")]


def test_without_a_collector_no_spans_are_made_until_it_comes(start: Callable[..., None]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    start(port)
    wait_for(lambda: not telemetry.exporting())
    with telemetry.span("unseen", parent=PARENT.format(9)) as span:
        assert span.traceparent[3:35] == f"{9:032x}"  # logs and peers still get the trace id
        assert type(span).__name__ == "_LightSpan"
    with serving(port) as (collector, _):
        wait_for(telemetry.exporting)
        with telemetry.span("seen"):
            pass
        assert [name for _, name in collector.wait_for("seen")] == ["seen"]


def test_a_collector_that_takes_connections_and_nothing_else(start: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        start(int(deaf.getsockname()[1]))
        with telemetry.span("lost"):
            pass
        wait_for(lambda: not telemetry.exporting())


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
