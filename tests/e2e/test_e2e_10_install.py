"""The chart on a real API server, and nodes that become Ready by our conflist."""

from __future__ import annotations

import json

import pytest
import yaml
from cluster import release
from cluster.cluster import WORKERS, Cluster
from cluster.parts import REPO
from cluster.sh import until

FEATURES = {
    "default": [],
    "prefixes": ["--set-string", "env.ENABLE_PREFIX_DELEGATION=true"],
    "ipv6": [
        "--set-string",
        "env.ENABLE_IPv6=true,env.ENABLE_IPv4=false,env.ENABLE_PREFIX_DELEGATION=true",
    ],
    "custom networking": ["--set-string", "env.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true"],
    "pod ENI": ["--set-string", "env.ENABLE_POD_ENI=true"],
    "annotated pods": ["--set-string", "env.ANNOTATE_POD_IP=true"],
    "original labels": ["--set", "originalMatchLabels=true"],
}


@pytest.mark.parametrize("feature", FEATURES)
def test_rendered_objects_are_accepted(cluster: Cluster, feature: str) -> None:
    """The API server accepts what the chart renders (server-side dry run)"""
    rendered = cluster.helm(
        "template", release.NAME, str(release.CHART), "-n", release.NAMESPACE, "-f", str(release.VALUES),
        "--skip-tests", "--include-crds", *FEATURES[feature],
    )  # fmt: skip
    crds = [part for part in rendered.split("\n---") if "kind: CustomResourceDefinition" in part]
    cluster.kubectl("apply", "-f", "-", stdin="\n---".join(crds))
    until("the CRDs are served", 30, lambda: "eniconfigs" in cluster.kubectl("api-resources", "-o", "name"))
    answer = cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=rendered)
    assert "daemonset.apps/aws-node" in answer
    assert "serviceaccount/aws-node" in answer


def test_manifest_is_accepted(cluster: Cluster) -> None:
    """The API server accepts deploy/manifests/aws-k8s-cni.yaml (kubectl apply -f, server-side dry run)"""
    answer = cluster.kubectl("apply", "--dry-run=server", "-f", str(REPO / "deploy/manifests/aws-k8s-cni.yaml"))
    assert "daemonset.apps/aws-node" in answer


@pytest.mark.parametrize("feature", FEATURES)
def test_helm_4(cluster: Cluster, feature: str) -> None:
    """Helm 4 lints the chart and renders the same objects as Helm 3"""
    arguments = (str(release.CHART), "-n", release.NAMESPACE, "-f", str(release.VALUES), *FEATURES[feature])
    cluster.helm("lint", *arguments, version=4)
    cluster.helm("lint", *arguments)
    by_version = [cluster.helm("template", release.NAME, *arguments, version=version) for version in (3, 4)]
    assert objects(by_version[0]) == objects(by_version[1])


def objects(rendered: str) -> list[object]:
    """Without what is empty; the two versions order them alike."""
    return [item for item in yaml.safe_load_all(rendered) if item]


def test_install(cluster: Cluster) -> None:
    """helm install: all containers of both nodes are ready"""
    assert not any(release.nodes_ready(cluster).values()), "a node was Ready before there was a network"
    release.install(cluster)
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
