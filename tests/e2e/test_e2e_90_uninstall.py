"""The release goes, by choice with everything that it put on the nodes."""

from __future__ import annotations

from typing import Any

from cluster import release, workloads
from cluster.cluster import WORKERS, Cluster
from cluster.node import Worker
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
    left = _objects(cluster)
    assert not left, left


def _objects(cluster: Cluster) -> list[str]:
    """What there is of the release and its clean-up."""
    kinds = ("daemonsets", "serviceaccounts", "configmaps", "secrets", "jobs", "pods")
    found = [(kind, item) for kind in kinds for item in cluster.get(kind, "-n", release.NAMESPACE)]
    found += [(kind, item) for kind in ("clusterroles", "clusterrolebindings") for item in cluster.get(kind)]
    return [f"{kind}/{item['metadata']['name']}" for kind, item in found if _of_release(item)]


def _of_release(item: dict[str, Any]) -> bool:
    labels: dict[str, str] = item["metadata"].get("labels", {})
    named = item["metadata"]["name"].startswith("aws-node-clean")
    return named or labels.get("app.kubernetes.io/instance") == release.NAME or labels.get("k8s-app") == "aws-node"


def test_nodes_are_kept_working(cluster: Cluster) -> None:
    """The conflist stays unless it is asked for: an uninstall by mistake takes no node down"""
    for name in WORKERS:
        assert cluster.workers[name].file("/etc/cni/net.d/10-aws.conflist").exists()
    assert all(release.nodes_ready(cluster).values())


def test_clean_nodes(cluster: Cluster) -> None:
    """Installed again over what is there, then uninstalled with clean, plugins, state and rules: a node is as before the install"""
    flags = ",".join(f"uninstall.{name}=true" for name in ("clean", "plugins", "state", "rules"))
    release.install(cluster, "--set", flags, version=4)
    assert all(release.nodes_ready(cluster).values())
    cluster.apply(*(workloads.pod(f"again-{node}", node=node) for node in WORKERS))
    for node in WORKERS:
        release.wait_pods(cluster, f"again-{node}", 1)
    cluster.kubectl("delete", "pod", *(f"again-{node}" for node in WORKERS))
    for worker in cluster.workers.values():
        assert our_kernel_state(worker)
    cluster.helm("uninstall", release.NAME, "-n", release.NAMESPACE, "--timeout", "180s", version=4)
    for worker in cluster.workers.values():
        assert not worker.file("/etc/cni/net.d/10-aws.conflist").exists()
        assert not worker.file("/opt/cni/bin/aws-cni").exists()
        assert not list(worker.file("/run/aws-node").iterdir())
        assert our_kernel_state(worker) == []
    until("nodes say that they have no network", 60, lambda: not any(release.nodes_ready(cluster).values()))
    until("the clean-up is gone itself", 60, lambda: not _objects(cluster))


def our_kernel_state(worker: Worker) -> list[str]:
    """Rules and chains on a node that are of our making. kube-proxy's, and the kernel's own, stay."""
    rules = run("nsenter", f"--net={worker.netns}", "ip", "rule").splitlines()
    filters = [
        line
        for tool in ("iptables-nft-save", "iptables-legacy-save")
        for line in run("nsenter", f"--net={worker.netns}", tool).splitlines()
    ]
    tables = run("nsenter", f"--net={worker.netns}", "nft", "list", "tables").splitlines()
    return [
        *(rule for rule in rules if rule.split(":")[0] not in ("0", "32766", "32767")),
        *(line for line in (*filters, *tables) if "AWS" in line or "aws-cni" in line),
    ]
