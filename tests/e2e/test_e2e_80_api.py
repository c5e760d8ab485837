"""What needs the Kubernetes API: annotations, events with reasons, ENIConfigs, CNINode, an API server by its own address."""

from __future__ import annotations

import ipaddress
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import release, workloads
from cluster.cluster import WORKERS, Cluster
from cluster.controlplane import API_PORT
from cluster.sh import run, until

POD_IPS = "vpc.amazonaws.com/pod-ips"
ENI_CONFIG = "k8s.amazonaws.com/eniConfig"
SET = "--set-string"


def eni_config(name: str, subnet: str) -> dict[str, Any]:
    return {
        "apiVersion": "crd.k8s.amazonaws.com/v1alpha1",
        "kind": "ENIConfig",
        "metadata": {"name": name},
        "spec": {"subnet": subnet},
    }


def only_pod(cluster: Cluster, name: str) -> dict[str, Any]:
    (found,) = cluster.get("pods", "-l", f"app={name}")
    return found


def in_subnet(cluster: Cluster, address: str, subnet: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cluster.lab.status()["subnets"][subnet]["cidr"])


def test_annotated_address(cluster: Cluster) -> None:
    """ANNOTATE_POD_IP: a pod has its address as an annotation"""
    release.upgrade(cluster, SET, "env.ANNOTATE_POD_IP=true")
    cluster.apply(workloads.pod("annotated", node="node-a"))
    release.wait_pods(cluster, "annotated", 1)

    def annotated() -> bool:
        pod = only_pod(cluster, "annotated")
        return bool(pod["metadata"]["annotations"].get(POD_IPS) == pod["status"]["podIP"])

    until("the annotation is the address", 30, annotated)
    cluster.kubectl("delete", "pod", "annotated")


def test_event_when_addresses_run_out(cluster: Cluster) -> None:
    """More pods than the node's ENIs hold: those that fit run, the others have an event with the reason"""
    release.upgrade(cluster, SET, "env.MAX_ENI=1")
    # ENIs that are there stay, and get no other beside them. m5.xlarge: 14 addresses each, besides its own.
    room = 14 * len(cluster.lab.enis()["node-b"])
    cluster.apply(workloads.deployment("crowd", room + 4, node="node-b"))

    def told() -> bool:
        return any(
            event.get("reason") in ("ENI_LIMIT", "ALL_COOLING") and event["involvedObject"]["kind"] == "Pod"
            for event in cluster.get("events")
        )

    until("a pod's event tells that no ENI may be added", 180, told, pause=1)
    assert len(release.ready_pods(cluster, "crowd")) <= room
    cluster.kubectl("delete", "deployment", "crowd")
    release.wait_gone(cluster, "crowd", 180)


@pytest.fixture
def cni_nodes(cluster: Cluster) -> Iterator[None]:
    """The objects that the VPC resource controller makes for each node."""
    objects = [
        {"apiVersion": "vpcresources.k8s.aws/v1alpha1", "kind": "CNINode", "metadata": {"name": name}, "spec": {}}
        for name in WORKERS
    ]
    cluster.apply(*objects)
    yield
    cluster.kubectl("delete", "cninodes", *WORKERS)


def test_custom_networking(cluster: Cluster, cni_nodes: None) -> None:
    """ENIConfig by the node's label, and by its annotation before the label: new ENIs are in that subnet, the primary is not used"""
    subnets = {name: subnet["id"] for name, subnet in cluster.lab.status()["subnets"].items()}
    cluster.apply(eni_config("by-label", subnets["pods"]), eni_config("by-annotation", subnets["pods-b"]))
    cluster.kubectl("label", "node", *WORKERS, f"{ENI_CONFIG}=by-label")
    cluster.kubectl("annotate", "node", "node-b", f"{ENI_CONFIG}=by-annotation")
    release.upgrade(
        cluster,
        SET,
        "env.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true",
        SET,
        "env.ENABLE_POD_ENI=true",
        SET,
        "env.WARM_IP_TARGET=2",
    )
    # ENIs that are there stay in use, as with the original; new ones are made as the ENIConfig says.
    enis = cluster.lab.enis()
    sizes = {node: 14 * sum(eni["device_index"] > 0 for eni in enis[node]) + 3 for node in WORKERS}
    cluster.apply(*(workloads.deployment(f"custom-{node}", size, node=node) for node, size in sizes.items()))
    for node, subnet in (("node-a", "pods"), ("node-b", "pods-b")):
        pods = release.wait_pods(cluster, f"custom-{node}", sizes[node], 240)
        addresses = {pod["status"]["podIP"] for pod in pods}
        assert any(in_subnet(cluster, address, subnet) for address in addresses), f"{node}: none is in {subnet}"
        (primary,) = (eni for eni in cluster.lab.enis()[node] if eni["device_index"] == 0)
        assert not addresses & set(primary["secondary_ips"]), f"{node}: the primary ENI is used"
    cluster.kubectl("delete", "deployment", *(f"custom-{node}" for node in WORKERS))
    for node in WORKERS:
        release.wait_gone(cluster, f"custom-{node}")


def test_cni_node_features(cluster: Cluster, cni_nodes: None) -> None:
    """ENABLE_POD_ENI: the CNINode asks for a trunk, and names the node's ENIConfig"""

    def asked() -> bool:
        features = {
            item["metadata"]["name"]: {f["name"]: f.get("value", "") for f in item["spec"].get("features", ())}
            for item in cluster.get("cninodes")
        }
        return features == {
            "node-a": {"SecurityGroupsForPods": "", "CustomNetworking": "by-label"},
            "node-b": {"SecurityGroupsForPods": "", "CustomNetworking": "by-annotation"},
        }

    until("both CNINodes have the features", 90, asked, pause=1)


def test_back_to_normal(cluster: Cluster) -> None:
    """Without custom networking again: pods start"""
    cluster.kubectl("label", "node", *WORKERS, f"{ENI_CONFIG}-")
    cluster.kubectl("annotate", "node", *WORKERS, f"{ENI_CONFIG}-")
    release.upgrade(cluster)
    cluster.apply(workloads.pod("normal", node="node-a"))
    release.wait_pods(cluster, "normal", 1)
    cluster.kubectl("delete", "pod", "normal")


def test_cluster_endpoint(cluster: Cluster) -> None:
    """CLUSTER_ENDPOINT: a node whose kube-proxy has never run gets its network all the same"""
    address = cluster.control.address
    release.upgrade(cluster, SET, f"env.CLUSTER_ENDPOINT=https://{address}:{API_PORT}")
    worker = cluster.workers["node-a"]
    proxies = [
        pid
        for pid in release.descendants(worker.init_pid)
        if release.command(pid)[:1] and "kube-proxy" in release.command(pid)[0]
    ]
    assert proxies
    for pid in proxies:
        os.kill(pid, signal.SIGSTOP)
    try:
        run("nsenter", f"--net={worker.netns}", "iptables", "-t", "nat", "-F", "KUBE-SERVICES")
        (old,) = [pod["metadata"]["name"] for pod in release.pods(cluster) if pod["spec"]["nodeName"] == "node-a"]
        cluster.kubectl("delete", "pod", "-n", release.NAMESPACE, old)
        until(
            "the node's services are ready again",
            180,
            lambda: release.all_ready(cluster) and len(release.pods(cluster)) == len(WORKERS),
            pause=1,
        )
    finally:
        for pid in proxies:
            os.kill(pid, signal.SIGKILL)  # the node's process 1 starts it again, and it writes all of its rules
