"""A node loses everything but its disk, and comes back."""

from __future__ import annotations

from typing import Any

from cluster import release, workloads
from cluster.cluster import CONTROL, LAB, Cluster
from cluster.net import Net
from cluster.sh import run, until
from vpccni_lab.fabric import namespaces

NODE = "node-a"
PODS = 8


def test_reboot(cluster: Cluster) -> None:
    """A node reboots: its pods come back with addresses of EC2's, no address leaked, no stale rule"""
    cluster.apply(workloads.deployment("survivor", PODS, node=NODE))
    release.wait_pods(cluster, "survivor", PODS)
    worker = cluster.workers[NODE]
    worker.stop()
    worker.flush_kernel()
    worker.start()
    until("kubelet reports again", 120, lambda: _boots(cluster) > 0)
    release.wait_nodes_ready(cluster, 180)
    pods = release.wait_pods(cluster, "survivor", PODS, seconds=240)
    until("every container of ours is ready", 180, lambda: release.all_ready(cluster))

    addresses = {pod["status"]["podIP"] for pod in pods}
    expected = {pod["status"]["podIP"] for pod in cluster.get("pods", "-A") if _is_ours(pod)}
    held = {item.get("ipv4") for item in release.ipam_json(cluster, NODE)["allocations"]}
    assert addresses <= expected
    assert held == expected
    assert _ruled(worker.netns) == expected
    with Net(namespaces.path(LAB, CONTROL)) as net:
        answers = net.each(f"http://{ip}:8080/" for ip in addresses)
    assert {answer["source"] for answer in answers} == {cluster.lab.node(CONTROL).address}


def _boots(cluster: Cluster) -> int:
    return sum(
        e.get("reason") == "Rebooted" or e.get("reason") == "Starting"
        for e in cluster.get("events", "-A")
        if e["involvedObject"].get("name") == NODE
    )


def _is_ours(pod: dict[str, Any]) -> bool:
    running = pod["status"].get("phase") == "Running" and "podIP" in pod["status"]
    return running and pod["spec"].get("nodeName") == NODE and not pod["spec"].get("hostNetwork")


def _ruled(netns: object) -> set[str]:
    """Addresses that have a rule of ours (to the pod: priority 512)."""
    lines = run("nsenter", f"--net={netns}", "ip", "rule").splitlines()
    return {line.split(" to ")[1].split()[0] for line in lines if line.startswith("512:")}


def test_clean_up(cluster: Cluster) -> None:
    """The pods go, and nothing of them stays in the kernel or the checkpoint"""
    cluster.kubectl("delete", "deployment", "survivor")
    release.wait_gone(cluster, "survivor")
    kept = {pod["status"]["podIP"] for pod in cluster.get("pods", "-A") if _is_ours(pod)}
    until("rules are those of the pods that run", 30, lambda: _ruled(cluster.workers[NODE].netns) == kept)
    assert {item.get("ipv4") for item in release.ipam_json(cluster, NODE)["allocations"]} == kept
