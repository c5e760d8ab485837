"""The chart on a real API server, and nodes that become Ready by our conflist."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from chart_features import FEATURES
from cluster import release
from cluster.cluster import WORKERS, Cluster
from cluster.parts import REPO
from cluster.sh import until


def test_rendered_objects_are_accepted(cluster: Cluster, tmp_path: Path) -> None:
    """The API server accepts what the chart renders for every feature (server-side dry run)"""
    # For users' values files, and Helm 4: tests/contract/test_chart_apiserver.py and test_chart_helm.py.
    crds = sorted((release.CHART / "crds").glob("*.yaml"))
    cluster.kubectl("apply", *(item for path in crds for item in ("-f", str(path))))
    until("the CRDs are served", 30, lambda: "eniconfigs" in cluster.kubectl("api-resources", "-o", "name"))
    common = ("template", release.NAME, str(release.CHART), "-n", release.NAMESPACE, "--skip-tests")
    values = tmp_path / "values.json"
    rendered = []
    for feature in FEATURES.values():
        values.write_text(json.dumps(feature))
        rendered.append(cluster.helm(*common, "-f", str(values)))
    text = "\n---\n".join(rendered)
    documents = [item for item in yaml.safe_load_all(text) if item]
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(documents)
    )
    assert answer.count("daemonset.apps/aws-node created") == len(rendered)
    assert answer.count("clusterrolebinding.rbac.authorization.k8s.io/aws-node created") == len(rendered)
    assert "Warning" not in answer


def test_manifest_is_accepted(cluster: Cluster) -> None:
    """The API server accepts deploy/manifests/aws-k8s-cni.yaml (kubectl apply -f, server-side dry run)"""
    answer = cluster.kubectl("apply", "--dry-run=server", "-f", str(REPO / "deploy/manifests/aws-k8s-cni.yaml"))
    assert "daemonset.apps/aws-node" in answer


def test_install(cluster: Cluster) -> None:
    """helm install: all containers of both nodes are ready"""
    assert not any(release.nodes_ready(cluster).values()), "a node was Ready before there was a network"
    notes = release.install(cluster)
    assert "rollout status ds/aws-node" in notes
    assert f"helm -n {release.NAMESPACE} test {release.NAME}" in notes
    release.wait_nodes_ready(cluster)
    containers = [status for pod in release.pods(cluster) for status in pod["status"]["containerStatuses"]]
    assert len(containers) == len(WORKERS) * len(release.SERVICES)
    assert all(status["ready"] and status["restartCount"] == 0 for status in containers)


def test_node_files(cluster: Cluster) -> None:
    """Nodes are Ready through our conflist and our plugins"""
    for worker in cluster.workers.values():
        whole = json.loads(worker.file("/etc/cni/net.d/10-aws.conflist").read_text())
        assert [plugin["type"] for plugin in whole["plugins"]] == ["aws-cni", "portmap", "bandwidth"]
        assert whole["plugins"][0]["mtu"] == "9001"
        plugins = worker.exec("/bin/sh", "-c", "ls /opt/cni/bin").split()
        assert {"aws-cni", "portmap", "bandwidth", "loopback", "host-local"} <= set(plugins)
        assert not [name for name in plugins if "tmp" in name]
        assert "aws-cni" in worker.exec(
            "/bin/sh",
            "-c",
            'echo \'{"cniVersion":"1.0.0"}\' | CNI_COMMAND=VERSION /opt/cni/bin/aws-cni && echo aws-cni',
        )


def test_helm_test(cluster: Cluster) -> None:
    """helm test passes"""
    cluster.helm("test", release.NAME, "-n", release.NAMESPACE, "--timeout", "120s")
