"""What a node depends on goes away: EC2, then the API server. Pods come and go meanwhile."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Final

from cluster import release, workloads
from cluster.cluster import CONTROL, LAB, WORKERS, Cluster
from cluster.sh import CommandError, run, until
from vpccni_api.sockets import ENI_MANAGER_HEALTH_PORT, IPAM_HEALTH_PORT
from vpccni_lab.fabric import namespaces

API_AWAY_S: Final = float(os.environ.get("VPCCNI_E2E_API_AWAY") or 45)


def test_ec2_and_metadata_away(cluster: Cluster) -> None:
    """EC2 (node-b) and the metadata service (node-a) fail: nodes stay Ready, pods start from the warm pool, health and kubelet's events tell why"""
    cluster.lab.add_fault({"kind": "reset", "callers": ["node-b"]})
    cluster.lab.add_fault({"kind": "imds-error", "status": 503, "callers": ["node-a"]})
    try:
        cluster.apply(*(workloads.pod(f"warm-{node}", node=node) for node in WORKERS))
        for node in WORKERS:
            release.wait_pods(cluster, f"warm-{node}", 1)
        # The pool is to be filled up again, which fails: eni-manager says so, and goes on serving.
        until("health names ec2", 120, lambda: not _healthy(cluster, "node-b", ENI_MANAGER_HEALTH_PORT, "ec2"), pause=1)
        until("eni-manager of node-a is not ready", 180, lambda: not _container_ready(cluster, "node-a"), pause=0.5)
        assert all(_healthy(cluster, node, IPAM_HEALTH_PORT, "live") for node in WORKERS)
        assert all(release.nodes_ready(cluster).values())
        said = [e["message"] for e in cluster.get("events", "-n", release.NAMESPACE) if e.get("reason") == "Unhealthy"]
        assert any("Readiness probe failed" in message for message in said)
    finally:
        cluster.lab.clear_faults()
    cluster.kubectl("delete", "pod", *(f"warm-{node}" for node in WORKERS), "--wait=false")


def test_api_server_away(cluster: Cluster) -> None:
    """The API server is away: pods still come and go (kubelet's static pods); all is ready when it returns, and so are EC2 and metadata"""
    cluster.control.stop_apiserver()
    began = time.monotonic()
    rounds = 0
    try:
        while time.monotonic() - began < API_AWAY_S or rounds < 2:
            rounds += 1
            name = f"static-{rounds}"
            for worker in cluster.workers.values():
                manifest = workloads.pod(name)
                manifest["spec"].pop("automountServiceAccountToken")
                (worker.state / "manifests" / f"{name}.yaml").write_text(json.dumps(manifest))
            for worker in cluster.workers.values():
                until(
                    f"{name} has an address on {worker.name}",
                    90,
                    lambda w=worker, n=name: f"{n}-{w.name}" in _held(cluster, w.name),
                )
            for worker in cluster.workers.values():
                (worker.state / "manifests" / f"{name}.yaml").unlink()
            for worker in cluster.workers.values():
                until(
                    f"{name} is gone from {worker.name}",
                    90,
                    lambda w=worker, n=name: f"{n}-{w.name}" not in _held(cluster, w.name),
                )
    finally:
        cluster.control.start_apiserver()
    until("the API server is ready", 90, lambda: cluster.api.text("/readyz"))
    release.wait_nodes_ready(cluster)
    until("all containers are ready", 180, lambda: release.all_ready(cluster))


def _held(cluster: Cluster, node: str) -> set[str]:
    """Names of the pods that ipam's checkpoint gives an address."""
    return {str(item["metadata"]["k8sPodName"]) for item in release.ipam_json(cluster, node)["allocations"]}


def _healthy(cluster: Cluster, node: str, port: int, service: str) -> bool:
    """What the health service of a node answers, asked from another host of the VPC."""
    target = f"grpc://{cluster.workers[node].address}:{port}/{service}"
    place = ("nsenter", f"--net={namespaces.path(LAB, CONTROL)}")
    try:
        run(*place, sys.executable, "-m", "vpccni_kit.probe", "--timeout", "3", target)
    except CommandError:
        return False
    return True


def _container_ready(cluster: Cluster, node: str, container: str = "eni-manager") -> bool:
    return any(
        status["ready"]
        for pod in release.pods(cluster)
        if pod["spec"]["nodeName"] == node
        for status in pod["status"]["containerStatuses"]
        if status["name"] == container
    )
