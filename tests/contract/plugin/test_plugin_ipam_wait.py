"""An ADD that finds ipam away (an upgrade, a crash) waits as long as the configuration says."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from vpccni_api.ipam.v1 import ipam_pb2_grpc


def serve_later(plugin: Any, servicer: Any, seconds: float) -> tuple[threading.Timer, list[grpc.Server]]:
    """Starts ipam's server ``seconds`` from now."""
    started: list[grpc.Server] = []

    def start() -> None:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        ipam_pb2_grpc.add_IpamServicer_to_server(servicer, server)
        server.add_insecure_port(f"unix:{plugin.socket}")
        server.start()
        started.append(server)

    timer = threading.Timer(seconds, start)
    timer.start()
    return timer, started


@pytest.fixture
def late_ipam(plugin: Any) -> Iterator[Any]:
    """ipam's contract, served half a second from now."""
    servicer = sys.modules[type(plugin).__module__].Ipam()
    timer, started = serve_later(plugin, servicer, 0.5)
    yield servicer
    timer.join()
    for server in started:
        server.stop(None).wait()


def test_add_waits(plugin: Any, late_ipam: Any) -> None:
    outcome = plugin.run("ADD", plugin.config(ipamWaitSeconds="30"))
    assert (outcome.status, outcome.json["ips"][0]["address"]) == (0, "10.0.2.33/32")
    assert [method for method, *_ in late_ipam.calls] == ["AddPod"]
    assert plugin.log_lines()[-1]["waited_for_ipam"] is True


def test_other_verbs_do_not_wait(plugin: Any) -> None:
    outcome = plugin.run("STATUS", plugin.config(ipamWaitSeconds="30"))
    assert "IPAM_UNREACHABLE" in outcome.json["msg"]


def test_the_wait_ends(plugin: Any) -> None:
    outcome = plugin.run("ADD", plugin.config(ipamWaitSeconds=1))
    assert (outcome.status, outcome.json["code"]) == (1, 11)
    assert "IPAM_UNREACHABLE: " in outcome.json["msg"]


def test_draining_is_waited_for_and_other_refusals_are_not(plugin: Any, ipam: Any) -> None:
    refusals = iter(["DRAINING", "DRAINING", "SUBNET_FULL"])

    def answer(_: Any) -> Any:
        return ipam.refusal(grpc.StatusCode.UNAVAILABLE, "text", (("vpccni-reason", next(refusals)),))

    ipam.answers["AddPod"] = answer
    outcome = plugin.run("ADD", plugin.config(ipamWaitSeconds="30"))
    assert "SUBNET_FULL" in outcome.json["msg"]
    assert len(ipam.calls) == 3


@pytest.mark.parametrize("value", ["101", "-1", "x", "", 101, 1.5, True, []])
def test_malformed(plugin: Any, value: Any) -> None:
    outcome = plugin.run("ADD", plugin.config(ipamWaitSeconds=value))
    assert "CONFIG_INVALID: ipamWaitSeconds" in outcome.json["msg"]
    assert "0 to 100" in outcome.json["msg"]
