"""Forty pods, services, host network, host ports, rate limits: every path with real packets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import release, workloads
from cluster.cluster import CONTROL, LAB, WORKERS, Cluster
from cluster.net import Net, via
from cluster.parts import BIN
from cluster.sh import run, until
from vpccni_lab.fabric import namespaces

PODS = 40
NODE_PORT = 30080
HOST_APP_PORT = 18080
INTERNET = "198.51.100.10"


@pytest.fixture(scope="module")
def net(cluster: Cluster) -> Iterator[Net]:
    with Net(namespaces.path(LAB, CONTROL), workers=32) as place:
        yield place


@pytest.fixture(scope="module")
def internet(cluster: Cluster) -> Iterator[str]:
    """A probe on the lab's internet host; its address."""
    place = namespaces.path(LAB, "internet")
    cluster.processes.start("internet-probe", [BIN / _probe()], netns=place)
    with Net(place, workers=1) as there:
        until("the probe on the internet answers", 60, lambda: there.get(f"http://{INTERNET}:8080/"))
    yield INTERNET
    cluster.processes.stop("internet-probe")


def _probe() -> str:
    return sorted(path.name for path in BIN.glob("probe-*"))[-1]


def addresses(cluster: Cluster, app: str) -> dict[str, dict[str, Any]]:
    """Address -> pod."""
    return {item["status"]["podIP"]: item for item in release.ready_pods(cluster, app)}


def test_forty_pods(cluster: Cluster) -> None:
    """40 pods of a deployment are ready, on both nodes"""
    cluster.apply(workloads.deployment("web", PODS), workloads.service("web", "web", NODE_PORT))
    pods = release.wait_pods(cluster, "web", PODS)
    by_node = {name: sum(pod["spec"]["nodeName"] == name for pod in pods) for name in WORKERS}
    assert all(count >= PODS // 4 for count in by_node.values()), by_node


def test_addresses_are_ec2s(cluster: Cluster) -> None:
    """Every pod's address is one that EC2 holds on an ENI of its node; secondary ENIs are in use"""
    enis = cluster.lab.enis()
    for name in WORKERS:
        owner = {address: eni["id"] for eni in enis[name] for address in eni["secondary_ips"]}
        used = [ip for ip, pod in addresses(cluster, "web").items() if pod["spec"]["nodeName"] == name]
        assert used
        assert set(used) <= set(owner), set(used) - set(owner)
        assert len({owner[ip] for ip in used}) > 1, f"{name} uses one ENI only"


def test_pod_to_pod(cluster: Cluster, net: Net) -> None:
    """Every pod reaches every pod, and is seen with its own address"""
    pods = list(addresses(cluster, "web"))
    pairs = [(a, b) for a in pods for b in pods if a != b]
    answers = net.each(via(a, f"http://{b}:8080/") for a, b in pairs)
    wrong = []
    for (a, b), answer in zip(pairs, answers, strict=True):
        seen = (
            json.loads(answer["body"])["source"] if isinstance(answer, dict) and answer.get("status") == 200 else answer
        )
        if seen != a:
            wrong.append(f"{a} -> {b}: {seen}")
    assert not wrong, f"{len(wrong)} of {len(pairs)}: {wrong[:5]}"


def test_cluster_ip(cluster: Cluster, net: Net) -> None:
    """Every pod reaches the ClusterIP, and it is balanced over pods of both nodes"""
    (service,) = cluster.get("services", "--field-selector", "metadata.name=web")
    target = f"http://{service['spec']['clusterIP']}/"
    answers = net.each(via(ip, target) for ip in addresses(cluster, "web") for _ in range(3))
    bodies = [
        json.loads(answer["body"]) for answer in answers if isinstance(answer, dict) and answer.get("status") == 200
    ]
    assert len(bodies) == len(answers), [
        answer for answer in answers if not isinstance(answer, dict) or "error" in answer
    ][:3]
    assert {body["node"] for body in bodies} == set(WORKERS)


def test_api_server_from_pods(cluster: Cluster, net: Net) -> None:
    """Pods reach the API server by its service address"""
    answers = net.each(via(ip, "https://172.20.0.1/version") for ip in addresses(cluster, "web"))
    assert all(isinstance(answer, dict) and answer.get("status") in (200, 401, 403) for answer in answers), answers[:3]


def test_node_port(cluster: Cluster, net: Net) -> None:
    """NodePort of both nodes, from outside of the cluster and from pods: pods of both nodes answer"""
    hosts = [worker.address for worker in cluster.workers.values()]
    for host in hosts:
        answers = net.each(f"http://{host}:{NODE_PORT}/" for _ in range(30))
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        assert {answer["node"] for answer in answers} == set(WORKERS), host
    answers = net.each(via(ip, f"http://{host}:{NODE_PORT}/") for ip in addresses(cluster, "web") for host in hosts)
    assert all(isinstance(answer, dict) and answer.get("status") == 200 for answer in answers), answers[:3]


def test_host_network(cluster: Cluster, net: Net) -> None:
    """Pods and nodes reach each other: pod -> node, node -> pod"""
    cluster.apply(workloads.host_network("hostnet", HOST_APP_PORT))
    hosts = [pod["status"]["podIP"] for pod in release.wait_pods(cluster, "hostnet", len(WORKERS))]
    assert set(hosts) == {worker.address for worker in cluster.workers.values()}
    pods = list(addresses(cluster, "web"))
    down = net.each(via(f"{host}:{HOST_APP_PORT}", f"http://{ip}:8080/") for host in hosts for ip in pods)
    up = net.each(via(ip, f"http://{host}:{HOST_APP_PORT}/") for ip in pods for host in hosts)
    for what, answers in (("node -> pod", down), ("pod -> node", up)):
        bad = [answer for answer in answers if not isinstance(answer, dict) or answer.get("status") != 200]
        assert not bad, f"{what}: {bad[:3]}"
    # Inside the VPC a pod is seen with its own address.
    assert {json.loads(answer["body"])["source"] for answer in up} == set(pods)


def test_internet(cluster: Cluster, net: Net, internet: str) -> None:
    """Pods reach the internet, seen there with the public address of their node"""
    public = cluster.lab.public()
    pods = addresses(cluster, "web")
    answers = net.each(via(ip, f"http://{internet}:8080/") for ip in pods)
    for pod, answer in zip(pods.values(), answers, strict=True):
        assert isinstance(answer, dict) and answer.get("status") == 200, answer
        assert json.loads(answer["body"])["source"] == public[cluster.workers[pod["spec"]["nodeName"]].address]


def test_host_port(cluster: Cluster, net: Net) -> None:
    """A hostPort pod answers on its node's port, from outside and from pods of the other node"""
    cluster.apply(workloads.pod("hostport", node="node-a", host_port=18888))
    release.wait_pods(cluster, "hostport", 1)
    target = f"http://{cluster.workers['node-a'].address}:18888/"
    assert net.get(target)["name"] == "hostport"
    elsewhere = [ip for ip, pod in addresses(cluster, "web").items() if pod["spec"]["nodeName"] == "node-b"]
    assert json.loads(net.via(elsewhere[0], target)["body"])["name"] == "hostport"


def test_bandwidth(cluster: Cluster) -> None:
    """An annotated pod is limited in both directions by the chained bandwidth plugin"""
    limits = {"kubernetes.io/ingress-bandwidth": "20M", "kubernetes.io/egress-bandwidth": "10M"}
    cluster.apply(workloads.pod("limited", node="node-b", annotations=limits))
    release.wait_pods(cluster, "limited", 1)
    disciplines = run("nsenter", f"--net={cluster.workers['node-b'].netns}", "tc", "qdisc", "show")
    assert "rate 20Mbit" in disciplines, disciplines
    assert "rate 10Mbit" in disciplines, disciplines


def test_nothing_failed(cluster: Cluster) -> None:
    """No sandbox failed meanwhile; no address is used twice"""
    assert not release.sandbox_failures(cluster)
    ips = [
        pod["status"]["podIP"]
        for pod in cluster.get("pods", "-A")
        if not pod["spec"].get("hostNetwork") and "podIP" in pod["status"]
    ]
    assert len(ips) == len(set(ips))
