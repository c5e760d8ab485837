"""The release goes, by choice with everything that it put on the nodes."""

from __future__ import annotations

import json
from typing import Any

from cluster import release
from cluster.cluster import WORKERS, Cluster
from cluster.sh import run, until


def test_workloads_go(cluster: Cluster) -> None:
    """All pods are deleted: no link, rule or allocation of theirs is left"""
    for kind in ("deployments", "daemonsets", "pods", "services"):
        for item in cluster.get(kind):
            if item["metadata"]["name"] != "kubernetes":
                cluster.kubectl("delete", kind, item["metadata"]["name"], "--wait=false", "--ignore-not-found")
    until("no pod is left", 120, lambda: not cluster.get("pods"))
    for worker in cluster.workers.values():
        until(f"nothing of a pod is left on {worker.name}", 30, lambda w=worker: _clean(cluster, w))


def _clean(cluster: Cluster, worker: Any) -> bool:
    links = run("nsenter", f"--net={worker.netns}", "ip", "-o", "link")
    rules = run("nsenter", f"--net={worker.netns}", "ip", "rule")
    held: list[object] = release.ipam_json(cluster, worker.name)["allocations"]
    return " eni" not in links and "512:" not in rules and "1536:" not in rules and not held


def test_uninstall(cluster: Cluster) -> None:
    """helm uninstall: no object of the release is left in the cluster"""
    cluster.helm("uninstall", release.NAME, "-n", release.NAMESPACE, "--wait", "--timeout", "120s")
    until("the DaemonSet's pods are gone", 120, lambda: not release.pods(cluster))
    left = []
    for kind in ("daemonsets", "serviceaccounts", "configmaps", "secrets", "jobs", "pods"):
        left += [
            f"{kind}/{item['metadata']['name']}"
            for item in cluster.get(kind, "-n", release.NAMESPACE)
            if _of_release(item)
        ]
    for kind in ("clusterroles", "clusterrolebindings"):
        left += [f"{kind}/{item['metadata']['name']}" for item in cluster.get(kind) if _of_release(item)]
    assert not left, left


def _of_release(item: dict[str, Any]) -> bool:
    labels: dict[str, str] = item["metadata"].get("labels", {})
    return labels.get("app.kubernetes.io/instance") == release.NAME or labels.get("k8s-app") == "aws-node"


def test_nodes_are_kept_working(cluster: Cluster) -> None:
    """The conflist stays unless it is asked for: an uninstall by mistake takes no node down"""
    for name in WORKERS:
        assert cluster.workers[name].file("/etc/cni/net.d/10-aws.conflist").exists()
    assert all(release.nodes_ready(cluster).values())


def test_clean_nodes(cluster: Cluster) -> None:
    """Cleaning a node removes conflist, plugins and state, and the node is NotReady as before the install"""
    pods = [_cleaner(name) for name in WORKERS]
    cluster.apply(*pods)
    names = [pod["metadata"]["name"] for pod in pods]
    until("the cleaners have finished", 90, lambda: all(_phase(cluster, name) == "Succeeded" for name in names))
    cluster.kubectl("delete", "pod", "-n", release.NAMESPACE, *names)
    for name in WORKERS:
        assert not cluster.workers[name].file("/etc/cni/net.d/10-aws.conflist").exists()
        assert not cluster.workers[name].file("/opt/cni/bin/aws-cni").exists()
        assert not list(cluster.workers[name].file("/run/aws-node").iterdir())
    until("nodes say that they have no network", 60, lambda: not any(release.nodes_ready(cluster).values()))


def _phase(cluster: Cluster, name: str) -> str:
    return str(
        json.loads(cluster.kubectl("get", "pod", "-n", release.NAMESPACE, name, "-o", "json"))["status"]["phase"]
    )


def _cleaner(node: str) -> dict[str, Any]:
    """What docs/e2e.md shows: one pod per node, with the host's directories."""
    paths = {"conf": "/etc/cni/net.d", "bin": "/opt/cni/bin"}
    mounts = [{"name": name, "mountPath": f"/host{path}"} for name, path in paths.items()]
    volumes = [
        {"name": name, "hostPath": {"path": path}} for name, path in (paths | {"run": "/var/run/aws-node"}).items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"clean-{node}", "namespace": release.NAMESPACE},
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "restartPolicy": "Never",
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "clean",
                    "image": "localhost/vpccni/init:0.1.0",
                    "args": ["clean", "--plugins", "--state"],
                    "volumeMounts": [*mounts, {"name": "run", "mountPath": "/var/run/aws-node"}],
                }
            ],
            "volumes": volumes,
        },
    }
