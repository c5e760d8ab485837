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
    """Keeps what is exported. ``names``: (trace id, name)."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.names: list[tuple[str, str]] = []
        self.changed = threading.Condition()

    def Export(self, request: Any, context: Any) -> Any:
        with self.changed:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.spans += scope.spans
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
    def begin(port: int, sampler: str = "", ratio: str = "", slow: str = "60", delay: str = "50") -> None:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": delay,
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


def test_of_a_failed_trace_the_parts_that_went_well_are_kept_and_the_plugins_span(start: Callable[..., None]) -> None:
    with serving() as (collector, port):
        start(port, "parentbased_always_off")
        for trace, end in ((1, lambda span: None), (2, fails)):
            plugin = PARENT.format(trace)[:-2] + "01"
            with contextlib.suppress(ReasonError), telemetry.span(f"add-{trace}", parent=plugin, undecided=True):
                with telemetry.span(f"well-{trace}"):
                    pass
                telemetry.record(f"cni-{trace}", plugin, parent="", start_ns=1, end_ns=2, attributes={})
                with telemetry.span(f"step-{trace}") as span:
                    end(span)
        names = [name for _, name in collector.wait_for("add-2")]
    assert sorted(names) == ["add-2", "cni-2", "step-2", "well-2"]


def test_what_the_collector_gets_of_a_span(start: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back as OTLP: identity, kinds, attributes, events, links, status; cut as the standard limits say."""
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "6")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "2")
    plugin, runtime = f"00-{5:032x}-{6:016x}-01", f"00-{5:032x}-{7:016x}-01"
    with serving() as (collector, port):
        start(port)
        with (
            pytest.raises(ReasonError),
            telemetry.span("add", parent=plugin, attributes={"rpc.system": "grpc"}, server=True),
        ):
            telemetry.record("cni", plugin, parent=runtime, start_ns=10, end_ns=20, attributes={"n": 1}, failed="X")
            with telemetry.span("ec2", client=True, links=[PARENT.format(3)]) as span:
                span.link(PARENT.format(4))
                span.set("address", "10.0.0.17")
                for number in range(3):
                    span.event("paced", {"number": number})
                fails(span)
        collector.wait_for("add")
        add, cni, ec2 = (next(one for one in collector.spans if one.name == name) for name in ("add", "cni", "ec2"))
    assert {one.trace_id.hex() for one in (add, cni, ec2)} == {f"{5:032x}"}
    assert [cni.parent_span_id.hex(), cni.span_id, ec2.parent_span_id] == [f"{7:016x}", add.parent_span_id, add.span_id]
    assert [add.kind, cni.kind, ec2.kind] == [2, 3, 3]  # server, client
    assert (cni.start_time_unix_nano, cni.end_time_unix_nano) == (10, 20)
    assert add.start_time_unix_nano <= ec2.start_time_unix_nano <= ec2.end_time_unix_nano <= add.end_time_unix_nano
    known = {item.key: item.value.string_value for item in ec2.attributes}
    assert known == {"address": "10.0.0", "vpccni.reason": "ENI_LI", "error.type": "ENI_LI"}
    assert [event.attributes[0].value.int_value for event in ec2.events] == [1, 2]
    assert ec2.dropped_events_count == 1
    assert [link.trace_id.hex() for link in ec2.links] == [f"{number:032x}" for number in (3, 4)]
    assert [(one.status.code, one.status.message) for one in (ec2, cni)] == [(2, "ENI_LIMIT: 3 of 3"), (2, "X")]


def test_what_is_queued_when_the_process_ends_is_sent(start: Callable[..., None]) -> None:
    with serving() as (collector, port):
        start(port, delay="60000")
        for number in range(400):
            with telemetry.span(f"span-{number}"):
                pass
        telemetry.shutdown()
        assert {name for _, name in collector.names} == {f"span-{number}" for number in range(400)}


def test_services_choose_the_same_traces(start: Callable[..., None]) -> None:
    with serving() as (_, port):
        start(port, "parentbased_traceidratio", "0.5")
        here = telemetry._backend
        assert here is not None
        other = OtelBackend("netconf", {}, f"http://127.0.0.1:{port}", 60)

        def flags(backend: OtelBackend) -> list[str]:
            parents = [PARENT.format(i * 2**120 // 200 + i * 2**56) for i in range(1, 200)]
            return [backend.start("add", parent, undecided=True).traceparent[-2:] for parent in parents]

        chosen = flags(here)
        assert chosen == flags(other)
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
