"""The metrics endpoint over HTTP."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from vpccni_kit.metrics import Metrics

pytestmark = pytest.mark.wire


def test_metrics_are_served_without_asking_for_this_machines_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> str:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getfqdn", asked)
    metrics = Metrics("ipam")
    metrics.rpc_seconds.labels("AddPod", "ok").observe(0.01)
    server, _ = metrics.serve(0, "127.0.0.1")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as reply:
            body = reply.read().decode()
    finally:
        server.socket.close()
    assert 'vpccni_rpc_duration_seconds_count{method="AddPod",reason="ok"} 1.0' in body
