"""Rolling upgrade, crashes of the services: running connections do not notice, pods come and go meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import release, workloads
from cluster.cluster import CONTROL, LAB, WORKERS, Cluster
from cluster.net import Net
from cluster.release import SERVICES
from cluster.sh import until
from vpccni_lab.fabric import namespaces

STREAMERS = 20


class Streams:
    """TCP connections between pods, each to four others, that are never opened again."""

    def __init__(self, cluster: Cluster, net: Net) -> None:
        self._net = net
        self.ips = [pod["status"]["podIP"] for pod in release.wait_pods(cluster, "streamer", STREAMERS)]
        count = len(self.ips)
        for i, ip in enumerate(self.ips):
            peers = [f"{self.ips[(i + step) % count]}:8081" for step in (1, 2, 5, 9)]
            net.get(f"http://{ip}:8080/streams?peers={','.join(peers)}", method="POST")
        until("all streams run", 30, lambda: all(s["echoes"] > 0 for s in self.state()))

    def state(self) -> list[dict[str, Any]]:
        return [stream for ip in self.ips for stream in self._net.get(f"http://{ip}:8080/streams", timeout=10)]

    def broken(self) -> list[dict[str, Any]]:
        return [stream for stream in self.state() if stream.get("broken")]


@pytest.fixture(scope="module")
def streams(cluster: Cluster) -> Iterator[Streams]:
    cluster.apply(workloads.deployment("streamer", STREAMERS))
    with Net(namespaces.path(LAB, CONTROL)) as net:
        yield Streams(cluster, net)
    cluster.kubectl("delete", "deployment", "streamer", "--wait=false")
    release.wait_gone(cluster, "streamer")


@contextmanager
def churn(cluster: Cluster) -> Iterator[list[int]]:
    """Pods come and go on both nodes until the block ends; the list grows by one for each that became ready."""
    stop, born = threading.Event(), [0]

    def work() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            names = [f"churn-{turn}-{node}" for node in WORKERS]
            cluster.apply(*(workloads.pod(name, node=node) for name, node in zip(names, WORKERS, strict=True)))
            for name in names:
                release.wait_pods(cluster, name, 1, seconds=150)
                born[0] += 1
            cluster.kubectl("delete", "pod", *names, "--wait=false")
            for name in names:
                release.wait_gone(cluster, name, seconds=150)

    failure: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  handed to the test
            failure.append(error)

    thread = threading.Thread(target=guarded, name="churn")
    thread.start()
    try:
        yield born
    finally:
        stop.set()
        thread.join()
    if failure:
        raise failure[0]


def retag(cluster: Cluster, tag: str) -> None:
    """The same images under another tag, as a new version would be."""
    for worker in cluster.workers.values():
        for name in (*SERVICES, "init"):
            image = f"localhost/vpccni/{name}"
            worker.exec("ctr", "-n", "k8s.io", "images", "tag", "--force", f"{image}:0.1.0", f"{image}:{tag}")


def test_helm_upgrade(cluster: Cluster, streams: Streams) -> None:
    """A rolling helm upgrade: no stream of 20 pods is cut, no sandbox fails while pods come and go"""
    retag(cluster, "0.1.0-next")
    before = {pod["metadata"]["uid"] for pod in release.pods(cluster)}
    failures = set(release.sandbox_failures(cluster))
    with churn(cluster) as born:
        release.upgrade(cluster, "--set", "image.tag=0.1.0-next", "--set-string", "env.WARM_IP_TARGET=3")
        until(
            "all pods of the DaemonSet are new",
            240,
            lambda: not before & {pod["metadata"]["uid"] for pod in release.pods(cluster)},
        )
        started = born[0]
        until("pods start after the upgrade", 120, lambda: born[0] > started)
    assert not streams.broken()
    assert set(release.sandbox_failures(cluster)) == failures
    images = {container["image"] for pod in release.pods(cluster) for container in pod["spec"]["containers"]}
    assert all(image.endswith(":0.1.0-next") for image in images), images


def test_stop_while_pods_go(cluster: Cluster, streams: Streams) -> None:
    """aws-node is stopped while pods of its node are removed: ipam answers their DELs first, none is queued, and the stop is bounded"""
    node, names = "node-a", [f"leaving-{number}" for number in range(6)]
    cluster.apply(*(workloads.pod(name, node=node) for name in names))
    for name in names:
        release.wait_pods(cluster, name, 1)
    (old,) = [pod for pod in release.pods(cluster) if pod["spec"]["nodeName"] == node]
    (ipam,) = [process for process in release.processes(cluster) if (process.node, process.service) == (node, "ipam")]
    queue = cluster.workers[node].file("/run/aws-node/pending-del")
    uids = {pod["metadata"]["uid"] for name in names for pod in cluster.get("pods", "-l", f"app={name}")}
    assert uids & _held(cluster, node) == uids
    began = time.monotonic()
    cluster.kubectl("delete", "pod", *names, "--wait=false", "--grace-period=1")
    cluster.kubectl("delete", "pod", "-n", release.NAMESPACE, old["metadata"]["name"], "--wait=false")
    queued: set[str] = set()

    def stopped() -> bool:
        queued.update(path.name for path in queue.iterdir() if path.suffix == ".json")
        return not Path(f"/proc/{ipam.pid}").exists()

    until("ipam has stopped", old["spec"]["terminationGracePeriodSeconds"] + 10, stopped, pause=0.05)
    took = time.monotonic() - began
    left = uids & _held(cluster, node)
    assert not queued, queued
    assert not left, f"ipam stopped before these DELs: {left}"
    cluster.steps.note("stop_s", round(took, 1))
    until(
        "the node's new pod is ready",
        120,
        lambda: release.all_ready(cluster) and len(release.pods(cluster)) == len(WORKERS),
    )
    assert not streams.broken()


def _held(cluster: Cluster, node: str) -> set[str]:
    """UIDs of the pods that ipam's checkpoint gives an address."""
    return {str(item["vpccni"]["uid"]) for item in release.ipam_json(cluster, node)["allocations"]}


@pytest.mark.parametrize("service", [*SERVICES, "all"])
def test_kill(cluster: Cluster, streams: Streams, service: str) -> None:
    """Services are killed (SIGKILL) under traffic: streams go on, kubelet restarts them, the next pods start"""
    doomed = [process for process in release.processes(cluster) if service in (process.service, "all")]
    assert doomed
    for process in doomed:
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(1)
    until("all containers are ready again", 180, lambda: release.all_ready(cluster))
    names = [f"after-{service}-{node}" for node in WORKERS]
    cluster.apply(*(workloads.pod(name, node=node) for name, node in zip(names, WORKERS, strict=True)))
    for name in names:
        release.wait_pods(cluster, name, 1)
    cluster.kubectl("delete", "pod", *names)
    assert not streams.broken()


def test_conflist_was_kept(cluster: Cluster) -> None:
    """No node was NotReady through all of it"""
    changes = [event["message"] for event in cluster.get("events", "-A") if event.get("reason") == "NodeNotReady"]
    assert not changes
