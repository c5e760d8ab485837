"""What an operator has at hand: `vpccni` in ipam's container, the metrics helper; and what the containers cost."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any, Final

from cluster import release
from cluster.cluster import WORKERS, Cluster
from cluster.parts import REPO
from cluster.sh import until

HELPER: Final = "cni-metrics-helper"
# MB of the three services of a node, by the design at 250 pods; here each has an image of its own, so that what the services
# share on one disk (Python, grpc) is there three times.
BUDGET_MB: Final = 165


def vpccni(cluster: Cluster, pod: str, *arguments: str) -> str:
    """As docs/operations.md shows. Raises CommandError when its status is not 0."""
    return cluster.kubectl("exec", "-n", release.NAMESPACE, pod, "-c", "ipam", "--", "vpccni", *arguments)


def test_vpccni(cluster: Cluster) -> None:
    """kubectl exec ds/aws-node -c ipam -- vpccni: status, verify, explain pod, on every node"""
    assert "addresses" in vpccni(cluster, "ds/aws-node", "status")
    for pod in release.pods(cluster):
        node, name = pod["spec"]["nodeName"], pod["metadata"]["name"]
        status = json.loads(vpccni(cluster, name, "status", "--output", "json"))
        assert status["assigned"] == len(release.ipam_json(cluster, node)["allocations"]), node
        vpccni(cluster, name, "verify")
        web = next(item for item in release.ready_pods(cluster, "web") if item["spec"]["nodeName"] == node)
        assert web["status"]["podIP"] in vpccni(cluster, name, "explain", "pod", f"default/{web['metadata']['name']}")


def test_kubectl_plugin(cluster: Cluster, tmp_path: Path) -> None:
    """kubectl vpccni: explain pod, status, top of both nodes, a support bundle with the logs of each container"""
    web = release.ready_pods(cluster, "web")[0]
    address = web["status"]["podIP"]
    assert address in cluster.kubectl_vpccni("explain", "pod", f"default/{web['metadata']['name']}")
    nodes = json.loads(cluster.kubectl_vpccni("top", "nodes", "--output", "json"))["nodes"]
    held = {node["node"]: node["assigned"] for node in nodes}
    assert held == {node: len(release.ipam_json(cluster, node)["allocations"]) for node in WORKERS}
    status = json.loads(cluster.kubectl_vpccni("--node", WORKERS[0], "status", "--output", "json"))
    assert status["assigned"] == held[WORKERS[0]]
    directory = tmp_path / "bundle"
    cluster.kubectl_vpccni("bundle", str(directory))
    for node in WORKERS:
        with tarfile.open(directory / f"{node}.tar.gz") as archive:
            assert any(name.endswith("manifest.json") for name in archive.getnames()), archive.getnames()
        for service in release.SERVICES:
            assert (directory / f"{node}-{service}.log").stat().st_size > 0, (node, service)


def test_metrics_helper(cluster: Cluster) -> None:
    """The metrics helper, from its chart and image, adds up the metrics of both nodes"""
    values = ("--set", "image.registry=localhost", "--set-string", "env.USE_CLOUDWATCH=false,env.USE_PROMETHEUS=true")
    pace = ("--set-string", "env.METRIC_UPDATE_INTERVAL=10")
    cluster.helm("install", HELPER, str(REPO / "deploy/helm" / HELPER), "-n", release.NAMESPACE, *values, *pace)
    until("the helper is ready", 120, lambda: _helper(cluster), pause=0.5)
    held = sum(len(release.ipam_json(cluster, node)["allocations"]) for node in WORKERS)
    wanted = {
        "vpccni_cluster_nodes": len(WORKERS),
        "vpccni_cluster_nodes_unreachable": 0,
        "awscni_assigned_ip_addresses": held,
    }

    def told() -> bool:
        page = cluster.api.text(
            f"/api/v1/namespaces/{release.NAMESPACE}/pods/{_helper(cluster)[0]}:61681/proxy/metrics"
        )
        lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
        return all(float(lines.get(name, "nan")) == value for name, value in wanted.items())

    until(f"its sums are {wanted}", 60, told, pause=1)
    cluster.helm("uninstall", HELPER, "-n", release.NAMESPACE)


def _helper(cluster: Cluster) -> list[str]:
    """Names of its ready pods."""
    pods = cluster.get("pods", "-n", release.NAMESPACE, "-l", f"app.kubernetes.io/name={HELPER}")
    ready = [
        pod for pod in pods if all(s["ready"] for s in pod["status"].get("containerStatuses", ({"ready": False},)))
    ]
    return [pod["metadata"]["name"] for pod in ready]


def test_memory(cluster: Cluster) -> None:
    """Memory of the containers (PSS) is within the chart's requests and the design's budget; the figures go to the report"""
    requests = {
        container["name"]: container["resources"]["requests"]["memory"]
        for pod in release.pods(cluster)
        for container in pod["spec"]["containers"]
    }
    figures: dict[str, dict[str, Any]] = {node: {} for node in WORKERS}
    for process in release.processes(cluster):
        figures[process.node][process.service] = round(pss_mb(process.pid), 1)
    for node, services in figures.items():
        services["sum"] = round(sum(services.values()), 1)
        services["pods"] = len(release.ipam_json(cluster, node)["allocations"])
    cluster.steps.note("memory_mb", figures | {"requests": requests})
    over = [
        f"{node} {service}: {figures[node][service]} MB, requested {requests[service]}"
        for node in WORKERS
        for service in release.SERVICES
        if figures[node][service] > int(requests[service].removesuffix("Mi")) * 1.048576
    ]
    assert not over, over
    assert all(services["sum"] <= BUDGET_MB for services in figures.values()), figures


def pss_mb(pid: int) -> float:
    """Proportional set size: what is shared with other processes counts by its share."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) * 1024 / 1e6
