"""A node loses everything but its disk, and comes back."""

from __future__ import annotations

from typing import Any

from cluster import release, workloads
from cluster.cluster import CONTROL, LAB, Cluster
from cluster.net import Net
from cluster.sh import until
from vpccni_lab.fabric import namespaces

NODE = "node-a"
PODS = 8


def test_reboot(cluster: Cluster) -> None:
    """A node reboots: its pods come back with addresses of EC2's, no address leaked, no stale rule"""
    cluster.apply(workloads.deployment("survivor", PODS, node=NODE))
    release.wait_pods(cluster, "survivor", PODS)
    worker = cluster.workers[NODE]
    before = starts(cluster)
    worker.stop()
    worker.flush_kernel()
    worker.start()

    def everything_started_again() -> bool:
        now = starts(cluster)
        return all(now[key] > count for key, count in before.items())

    until("every container of the node has started once more", 300, everything_started_again, pause=1)
    release.wait_nodes_ready(cluster, 180)
    pods = release.wait_pods(cluster, "survivor", PODS, seconds=240)
    until("every container of ours is ready", 180, lambda: release.all_ready(cluster))
    addresses = {pod["status"]["podIP"] for pod in pods}
    until("checkpoint and rules are those of the pods that run", 60, lambda: state(cluster) == (expected(cluster),) * 2)
    assert len(addresses) == PODS
    assert addresses <= expected(cluster)
    with Net(namespaces.path(LAB, CONTROL)) as net:
        answers = net.each(f"http://{ip}:8080/" for ip in addresses)
    assert {answer["source"] for answer in answers} == {cluster.lab.node(CONTROL).address}


def starts(cluster: Cluster) -> dict[tuple[str, str], int]:
    """(pod, container) of the node -> how often it was started again."""
    return {
        (pod["metadata"]["name"], status["name"]): status["restartCount"]
        for pod in cluster.get("pods", "-A", "--field-selector", f"spec.nodeName={NODE}")
        for status in pod["status"].get("containerStatuses", ())
    }


def expected(cluster: Cluster) -> frozenset[str]:
    """Addresses of the node's pods that have a network of their own."""
    pods = cluster.get("pods", "-A", "--field-selector", f"spec.nodeName={NODE}")
    return frozenset(pod["status"]["podIP"] for pod in pods if is_ours(pod))


def is_ours(pod: dict[str, Any]) -> bool:
    running = pod["status"].get("phase") == "Running" and "podIP" in pod["status"]
    return running and not pod["spec"].get("hostNetwork")


def state(cluster: Cluster) -> tuple[frozenset[str], frozenset[str]]:
    """Addresses in the checkpoint, addresses with a rule."""
    held = frozenset(str(item.get("ipv4")) for item in release.ipam_json(cluster, NODE)["allocations"])
    return held, release.pod_rules(cluster.workers[NODE].netns)


def test_clean_up(cluster: Cluster) -> None:
    """The pods go, and nothing of them stays in the kernel or the checkpoint"""
    cluster.kubectl("delete", "deployment", "survivor")
    release.wait_gone(cluster, "survivor")
    until("checkpoint and rules are those of the pods that run", 60, lambda: state(cluster) == (expected(cluster),) * 2)
