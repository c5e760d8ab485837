"""What pods feel when services die, are away, or run out: real services, real packets, one node."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from vpccni_lab.client import LabClient
from vpccni_lab.demo import leftovers
from vpccni_lab.nodes.node import Node
from vpccni_lab.probe import reach
from vpccni_lab.probe.ping import PingStream
from vpccni_lab.probe.reach import Probe
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.runtime.pods import Pod, Pods

from .conftest import FAST, ONE_NODE

pytestmark = pytest.mark.lab
SERVICES = ("netconf", "eni-manager", "ipam")


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    return make_lab(nodes=ONE_NODE, env={**FAST, "WARM_IP_TARGET": "2"})


@pytest.fixture
def node(lab: LabClient) -> Node:
    return lab.node("node-a")


def started(pods: Pods, *names: str) -> list[Pod]:
    outcomes = pods.run([podlib.new_pod("node-a", name) for name in names])
    assert all(isinstance(outcome, Pod) for outcome in outcomes), outcomes
    return outcomes


def settles(look: Callable[[], bool], within: float = 15.0) -> bool:
    deadline = time.monotonic() + within
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)
    return look()


def health(node: Node, socket: str, service: str) -> int:
    with grpc.insecure_channel(f"unix:{node.file(socket)}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


def test_killing_services_loses_no_packet_and_no_address(lab: LabClient, node: Node) -> None:
    with Pods(node) as pods:
        running = started(pods, *(f"kill-{i}" for i in range(8)))
        ends = podlib.endpoints(node, running)
        with PingStream(ends[0], ends[7]) as ping:
            for victims in (("netconf",), ("eni-manager",), ("ipam",), SERVICES):
                for victim in victims:
                    lab.service("node-a", victim, "kill")
                for victim in victims:
                    lab.service("node-a", victim, "start")
                lab.wait_ready("node-a")
                (extra,) = started(pods, f"after-{'-'.join(victims)}")
                assert extra.address not in {pod.address for pod in running}
                assert reach.udp([Probe(podlib.endpoint(node, extra), ends[0])])[0].ok
                assert pods.remove([extra]) == [extra]
        assert ping.result.sent > 50
        assert ping.result.lost == ()
        checkpoint = json.loads(node.file("/run/aws-node/ipam.json").read_text())
        recorded = {entry["ipv4"] for entry in checkpoint["allocations"]}
        assert recorded == {pod.address for pod in running}
        rules = node.run(["ip", "-4", "rule", "show", "priority", "512"]).stdout
        assert {words[words.index("to") + 1] for words in map(str.split, rules.splitlines())} == recorded
        routes = json.loads(node.run(["ip", "-4", "-j", "route", "show", "table", "main"]).stdout)
        assert {route["dst"] for route in routes if route["dev"].startswith("eni")} == recorded
        view = leftovers.inspect(node)
        assert view.assigned == len(running)
        assert pods.remove(running) == running


def test_del_while_ipam_is_down_succeeds_and_is_done_at_its_start(lab: LabClient, node: Node) -> None:
    with Pods(node) as pods:
        running = started(pods, "down-1", "down-2")
        lab.service("node-a", "ipam", "kill")
        assert pods.remove(running) == running
        lab.service("node-a", "ipam", "start")
        lab.wait_ready("node-a")
    addresses = {pod.address for pod in running}
    assert settles(lambda: leftovers.inspect(node).assigned == 0)
    assert settles(lambda: leftovers.in_kernel(node, addresses, "eni") == [])
    assert settles(lambda: not list(node.file("/run/aws-node/pending-del").glob("*.json")))


def test_add_while_ipam_is_down_fails_with_its_reason_and_leaves_nothing(lab: LabClient, node: Node) -> None:
    lab.service("node-a", "ipam", "kill")
    try:
        with Pods(node) as pods:
            (failed,) = pods.run([podlib.new_pod("node-a", "nobody-home")])
            assert pods.recorded() == []
    finally:
        lab.service("node-a", "ipam", "start")
        lab.wait_ready("node-a")
    assert isinstance(failed, podlib.Failure)
    assert isinstance(failed.error, CniError)
    assert "IPAM_UNREACHABLE" in failed.error.msg
    assert failed.error.code == 11


def test_readiness_follows_eni_manager_and_liveness_does_not(lab: LabClient, node: Node) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    ipam = "/run/aws-node/ipam.sock"
    assert health(node, ipam, "ready") == serving
    lab.service("node-a", "eni-manager", "kill")
    try:
        assert settles(lambda: health(node, ipam, "ready") == not_serving)
        assert health(node, ipam, "live") == serving
    finally:
        lab.service("node-a", "eni-manager", "start")
        lab.wait_ready("node-a")
    for socket in ("/run/vpccni/netconf.sock", "/run/vpccni/eni-manager.sock", ipam):
        assert health(node, socket, "live") == serving


def test_check_and_its_failure(lab: LabClient, node: Node) -> None:
    with Pods(node) as pods:
        (pod,) = started(pods, "checked")
        pods.check(pod)
        node.run(["ip", "rule", "del", "to", pod.address, "priority", "512"])
        node.run(["ip", "route", "del", f"{pod.address}/32"])
        try:
            pods.check(pod)
        except CniError as exc:
            assert "STATE_DIFFERS" in exc.msg
            assert pod.address in exc.msg
        else:  # repaired in between, which is its job
            assert pod.address in node.run(["ip", "rule"]).stdout
        assert pods.remove([pod]) == [pod]


BAD_ENV = [
    ({"CNI_NETNS": ""}, "CNI_NETNS"),
    ({"CNI_NETNS": "/var/run/netns/not-there"}, "NETNS_GONE"),
    ({"CNI_NETNS": "/etc/hosts"}, "NETNS_INVALID"),
    ({"CNI_IFNAME": "sixteen-chars-xx"}, "CNI_IFNAME"),
    ({"CNI_IFNAME": "a/b"}, "CNI_IFNAME"),
    ({"CNI_IFNAME": "lo"}, "LINK_EXISTS"),
]


@pytest.mark.parametrize(("env", "says"), BAD_ENV)
def test_bad_requests_say_what_is_wrong_and_change_nothing(node: Node, env: dict[str, str], says: str) -> None:
    with Pods(node) as pods:
        pod = podlib.new_pod("node-a", "bad")
        pods.make_sandbox(pod)
        try:
            before = leftovers.inspect(node).assigned
            rules = node.run(["ip", "rule"]).stdout
            # the last one wins: what the test sets overrides what the runtime derives from the pod
            outcome = node.run(
                ["env", *(f"{k}={v}" for k, v in {**environment(pod), **env}.items()), "/opt/cni/bin/aws-cni"],
                stdin=json.dumps(
                    {"cniVersion": "1.0.0", "name": "aws-cni", "type": "aws-cni", "pluginLogFile": "stderr"}
                ),
            )
            assert outcome.returncode == 1
            error = json.loads(outcome.stdout)
            assert says in error["msg"], error
            assert node.run(["ip", "rule"]).stdout == rules
            assert leftovers.inspect(node).assigned == before
        finally:
            pods.drop_sandbox(pod)


def environment(pod: Pod) -> dict[str, str]:
    return {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": pod.container_id,
        "CNI_NETNS": pod.netns,
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": pod.attachment.cni_args,
        "CNI_PATH": "/opt/cni/bin",
    }


def test_status_and_gc(node: Node) -> None:
    conf = node.inside(podlib.load_conf)
    with Pods(node, dataclasses.replace(conf, cni_version="1.1.0")) as pods:
        pods.status()
        kept, lost = started(pods, "kept", "lost")
        pods.drop_sandbox(lost)  # a runtime that forgot it
        pods.gc()
        assert settles(lambda: leftovers.in_kernel(node, {lost.address}, "none") == [])
        assert leftovers.inspect(node).assigned == 1
        assert reach.udp([Probe(node.endpoint, podlib.endpoint(node, kept))])[0].ok
        assert pods.remove([kept]) == [kept]


def capabilities(pid: int) -> dict[str, int]:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    lines = (line.split() for line in status if line.startswith("Cap"))
    return {name.rstrip(":"): int(value, 16) for name, value in lines}


def test_each_service_has_only_its_own_capabilities(lab: LabClient) -> None:
    # bits of capabilities(7): CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_SYS_ADMIN 21
    allowed = {"netconf": 1 << 12 | 1 << 13 | 1 << 21, "eni-manager": 0, "ipam": 0}
    (node,) = (node for node in lab.status()["nodes"] if node["name"] == "node-a")
    for service, bits in allowed.items():
        held = capabilities(node["services"][service]["pid"])
        assert {held["CapPrm"], held["CapEff"], held["CapBnd"]} == {bits}, service
        assert held["CapInh"] == held["CapAmb"] == 0
