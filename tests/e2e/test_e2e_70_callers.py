"""Other callers of the installed network than containerd: the CNI project's own tool, and CRI-O's order of calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import parts, release
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
