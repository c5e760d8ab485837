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
# m5.xlarge: ENIs besides the primary, and addresses of an ENI besides its own.
SECONDARY_ENIS = 3
ADDRESSES = 14


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
    cluster.kubectl("scale", "deployment", "web", "--replicas=6")  # so that there is room on the nodes' ENIs
    # MAX_ENI and VPCCNI_NODE_CONDITION are the next test's.
    release.reconfigure(cluster, ANNOTATE_POD_IP="true", MAX_ENI="1", VPCCNI_NODE_CONDITION="true")
    cluster.apply(workloads.pod("annotated", node="node-a"))
    release.wait_pods(cluster, "annotated", 1)

    def annotated() -> bool:
        pod = only_pod(cluster, "annotated")
        return bool(pod["metadata"]["annotations"].get(POD_IPS) == pod["status"]["podIP"])

    until("the annotation is the address", 30, annotated)
    cluster.kubectl("delete", "pod", "annotated")


def test_event_when_addresses_run_out(cluster: Cluster) -> None:
    """More pods than the node's ENIs hold: those that fit run, the others have an event with the reason, the Node a condition while it lasts"""
    # ENIs that are there stay, and get no other beside them.
    room = ADDRESSES * len(cluster.lab.enis()["node-b"])
    cluster.apply(workloads.deployment("crowd", room + 4, node="node-b"))

    def told() -> bool:
        return any(
            event.get("reason") in ("ENI_LIMIT", "ALL_COOLING") and event["involvedObject"]["kind"] == "Pod"
            for event in cluster.get("events")
        )

    until("a pod's event tells that no ENI may be added", 180, told, pause=1)
    assert len(release.ready_pods(cluster, "crowd")) <= room
    until("node-b says that addresses ran out", 60, lambda: exhausted(cluster, "node-b") == "True", pause=0.5)
    assert exhausted(cluster, "node-a") == "False"
    cluster.kubectl("delete", "deployment", "crowd")
    until("node-b says that there are addresses", 120, lambda: exhausted(cluster, "node-b") == "False", pause=0.5)
    release.wait_gone(cluster, "crowd", 180)


def exhausted(cluster: Cluster, node: str) -> str:
    """The status of the Node's condition."""
    (found,) = cluster.get("nodes", "--field-selector", f"metadata.name={node}")
    return next((c["status"] for c in found["status"]["conditions"] if c["type"] == "PodAddressesExhausted"), "")


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


def test_custom_networking(cluster: Cluster) -> None:
    """ENIConfig by the node's label, and by its annotation before the label: new ENIs are in that subnet, the primary is not used"""
    until(
        "both nodes have a place for an ENI", 240, lambda: all(secondary(cluster, n) < SECONDARY_ENIS for n in WORKERS)
    )
    subnets = {name: subnet["id"] for name, subnet in cluster.lab.status()["subnets"].items()}
    cluster.apply(eni_config("by-label", subnets["pods"]), eni_config("by-annotation", subnets["pods-b"]))
    cluster.kubectl("label", "node", *WORKERS, f"{ENI_CONFIG}=by-label")
    cluster.kubectl("annotate", "node", "node-b", f"{ENI_CONFIG}=by-annotation")
    release.reconfigure(cluster, AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG="true", WARM_IP_TARGET="2")
    # ENIs that are there stay in use, as with the original; new ones are made as the ENIConfig says.
    sizes = {node: free(cluster, node) + 3 for node in WORKERS}
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


def secondary(cluster: Cluster, node: str) -> int:
    return sum(eni["device_index"] > 0 for eni in cluster.lab.enis()[node])


def free(cluster: Cluster, node: str) -> int:
    """Addresses that the node's secondary ENIs have, or can take, besides those that pods hold."""
    held = {str(item["ipv4"]) for item in release.ipam_json(cluster, node)["allocations"]}
    own = [eni for eni in cluster.lab.enis()[node] if eni["device_index"] > 0]
    return ADDRESSES * len(own) - sum(len(held & set(eni["secondary_ips"])) for eni in own)


def test_cni_node_features(cluster: Cluster, cni_nodes: None) -> None:
    """ENABLE_POD_ENI: the CNINode asks for a trunk, and names the node's ENIConfig"""
    # CLUSTER_ENDPOINT is the next test's.
    endpoint = f"https://{cluster.control.address}:{API_PORT}"
    release.reconfigure(
        cluster, AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG="true", ENABLE_POD_ENI="true", CLUSTER_ENDPOINT=endpoint
    )

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


def test_cluster_endpoint(cluster: Cluster) -> None:
    """CLUSTER_ENDPOINT: a node whose kube-proxy has never run gets its network all the same"""
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
