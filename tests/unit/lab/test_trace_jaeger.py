"""Jaeger's answers as spans, and a trace as a picture."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab.trace import jaeger, waterfall
from vpccni_lab.trace.spans import Span, tree

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# The shape of /api/traces/<id> of Jaeger 1.76.
ANSWER: dict[str, Any] = {
    "data": [
        {
            "traceID": TRACE,
            "processes": {"p1": {"serviceName": "ipam"}, "p2": {"serviceName": "aws-cni"}},
            "spans": [
                {
                    "traceID": TRACE,
                    "spanID": "b" * 16,
                    "operationName": "ipam.AddPod",
                    "references": [
                        {"refType": "FOLLOWS_FROM", "traceID": "c" * 32, "spanID": "d" * 16},
                        {"refType": "CHILD_OF", "traceID": TRACE, "spanID": "a" * 16},
                    ],
                    "startTime": 1_700_000_000_000_500,
                    "duration": 9_000,
                    "tags": [
                        {"key": "error", "type": "bool", "value": True},
                        {"key": "otel.status_description", "type": "string", "value": "3 of 3 ENIs"},
                        {"key": "vpccni.reason", "type": "string", "value": "ENI_LIMIT"},
                    ],
                    "logs": [
                        {
                            "timestamp": 1_700_000_000_004_000,
                            "fields": [
                                {"key": "event", "type": "string", "value": "throttled"},
                                {"key": "attempt", "type": "int64", "value": 2},
                            ],
                        }
                    ],
                    "processID": "p1",
                },
                {
                    "traceID": TRACE,
                    "spanID": "a" * 16,
                    "operationName": "cni.add",
                    "references": [],
                    "startTime": 1_700_000_000_000_000,
                    "duration": 10_000,
                    "tags": [],
                    "logs": None,
                    "processID": "p2",
                },
            ],
        }
    ]
}


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == f"/api/traces/{TRACE}"
            body = json.dumps(ANSWER if known else {"errors": [{"code": 404}]}).encode()
            self.send_response(200 if known else 404 if "/traces/" in self.path else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/"
    made.shutdown()
    made.server_close()
    thread.join()


def test_spans_parents_links_events_and_errors(server: str) -> None:
    root, child = jaeger.trace(server, TRACE)
    assert (root.name, root.service, root.parent_id, root.error) == ("cni.add", "aws-cni", "", "")
    assert (child.parent_id, child.links) == ("a" * 16, [f"{'c' * 32}-{'d' * 16}"])
    (event,) = child.events
    assert (event.name, event.at_ns - root.start_ns, event.attributes) == ("throttled", 4_000_000, {"attempt": 2})
    assert Span.from_dict(dataclasses.asdict(child)) == dataclasses.replace(child, events=(event,))
    assert child.error == "3 of 3 ENIs"
    assert (child.start_ns - root.start_ns, child.milliseconds) == (500_000, 9.0)
    shown = tree([root, child])
    assert shown[1].startswith("  ipam.AddPod")
    assert shown[2:] == ["    · throttled +4.00 ms attempt=2", f"    · linked to {'c' * 32}"]


def test_an_unknown_trace_is_empty_and_a_jaeger_that_is_away_is_said(server: str) -> None:
    assert jaeger.trace(server, "f" * 32) == []
    with pytest.raises(ReasonError) as failed:
        jaeger.search(server, "ipam", "ipam.AddPod", {})
    assert failed.value.reason is Reason.NOT_READY
    with pytest.raises(ReasonError) as away:
        jaeger.trace("http://127.0.0.1:9", TRACE)
    assert away.value.reason is Reason.NOT_READY


def test_the_picture_has_a_row_for_every_span_and_red_for_a_failed_one(server: str, tmp_path: Path) -> None:
    spans = jaeger.trace(server, TRACE)
    waterfall.draw(spans, tmp_path / "a.png", "a failed ADD")
    waterfall.draw(spans[:1], tmp_path / "b.png", "one span")
    with Image.open(tmp_path / "a.png") as two, Image.open(tmp_path / "b.png") as one:
        assert two.height - one.height == 26
        colours = {colour for _, colour in two.getcolors(1 << 16) or ()}
    assert {(0xC6, 0x28, 0x28), (0x19, 0x76, 0xA3), (0x6A, 0x4C, 0x93)} <= colours
    quiet = [dataclasses.replace(span, events=(), error="") for span in spans]
    waterfall.draw(quiet, tmp_path / "c.png", "no event")
    with Image.open(tmp_path / "c.png") as image:
        assert (0xC6, 0x28, 0x28) not in {colour for _, colour in image.getcolors(1 << 16) or ()}


def test_spans_of_no_length_and_unknown_services_are_drawn(tmp_path: Path) -> None:
    waterfall.draw([Span(TRACE, "a" * 16, "", "x", "other", 5, 5)], tmp_path / "a.png", "t")
    assert (tmp_path / "a.png").stat().st_size > 0
    with pytest.raises(ValueError, match="without spans"):
        waterfall.draw([], tmp_path / "b.png", "t")
