"""Other callers of the installed network than containerd: the CNI project's own tool, and CRI-O's order of calls."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cluster import parts, release, workloads
from cluster.cluster import Cluster

NODE = "node-b"
NETNS = "/run/netns/e2e-caller"


@pytest.fixture
def netns(cluster: Cluster) -> Iterator[str]:
    """A network namespace on the node that no runtime made."""
    worker = cluster.workers[NODE]
    worker.exec("ip", "netns", "add", NETNS.rsplit("/", 1)[1])
    yield NETNS
    worker.exec("ip", "netns", "del", NETNS.rsplit("/", 1)[1])


def say(text: str) -> None:
    print(f"           ... {text}", flush=True)


def addresses(cluster: Cluster) -> set[str]:
    return {str(item.get("ipv4")) for item in release.ipam_json(cluster, NODE)["allocations"]}


@pytest.mark.parametrize("mode", ["crio", "all"])
def test_libcni(cluster: Cluster, netns: str, mode: str) -> None:
    """libcni: ADD, CHECK right after it, DEL twice, as CRI-O does; and the verbs of CNI 1.1"""
    before = addresses(cluster)
    program = parts.go_program("cnicall", say)
    said = cluster.workers[NODE].exec(program, mode, "/etc/cni/net.d", "/opt/cni/bin", netns)
    lines = [line.split()[0] for line in said.splitlines()]
    assert lines == (
        ["ADD", "CHECK", "DEL", "DEL"] if mode == "crio" else ["STATUS", "ADD", "CHECK", "ADD", "DEL", "DEL"]
    )
    assert addresses(cluster) == before


def test_cnitool(cluster: Cluster, netns: str) -> None:
    """cnitool adds, checks and removes a namespace on a node of the cluster"""
    before = addresses(cluster)
    tool = parts.go_program("cnitool", say)
    environment = ("env", "NETCONFPATH=/etc/cni/net.d", "CNI_PATH=/opt/cni/bin", "CNI_IFNAME=eth0")
    worker = cluster.workers[NODE]
    for verb in ("add", "check", "del", "del"):
        worker.exec(*environment, tool, verb, "aws-cni", netns)
        assert (addresses(cluster) == before) == (verb in ("del",)), verb


def test_gc(cluster: Cluster, netns: str) -> None:
    """GC through libcni: what is listed stays with its rules, what is not is released like by DEL"""
    cluster.apply(*(workloads.pod(f"listed-{number}", node=NODE) for number in range(3)))
    for number in range(3):
        release.wait_pods(cluster, f"listed-{number}", 1)
    held = release.ipam_json(cluster, NODE)["allocations"]
    worker = cluster.workers[NODE]
    rules = release.pod_rules(worker.netns)
    assert len(held) >= 3
    listed = json.dumps([{"containerID": item["containerID"], "ifname": item["ifName"]} for item in held])
    program = parts.go_program("cnicall", say)
    said = worker.exec(program, "gc", "/etc/cni/net.d", "/opt/cni/bin", netns, stdin=listed)
    assert [line.partition(" {")[0] for line in said.splitlines()] == [
        "STATUS ok", "ADD", "GC ok", "CHECK ok", "GC without own ok", "CHECK refused",
    ]  # fmt: skip
    assert release.ipam_json(cluster, NODE)["allocations"] == held
    assert release.pod_rules(worker.netns) == rules
    cluster.kubectl("delete", "pod", *(f"listed-{number}" for number in range(3)))
