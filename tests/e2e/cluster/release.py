"""The Helm release under test, and what its pods say of themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from cluster.cluster import WORKERS, Cluster
from cluster.parts import REPO
from cluster.sh import CommandError, run, until

NAME: Final = "aws-vpc-cni"
NAMESPACE: Final = "kube-system"
CHART: Final = REPO / "deploy/helm/aws-vpc-cni"
VALUES: Final = REPO / "tests/e2e/values.yaml"
SERVICES: Final = ("eni-manager", "ipam", "netconf")
_MODULES: Final = {name: f"vpccni_{name.replace('-', '_')}" for name in SERVICES}


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service's process on a node, with this machine's pid."""

    node: str
    service: str
    pid: int

    def status(self) -> dict[str, str]:
        """/proc/PID/status."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def environ(self) -> dict[str, str]:
        entries = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        return dict(entry.decode().split("=", 1) for entry in entries if b"=" in entry)


def install(cluster: Cluster, *more: str, version: int = 3) -> str:
    """Returns Helm's notes when all containers of all nodes are ready. Raises CommandError, TimeoutError."""
    said = cluster.helm("install", NAME, str(CHART), "-n", NAMESPACE, "-f", str(VALUES), *more, version=version)
    _rolled_out(cluster)
    return said


def upgrade(cluster: Cluster, *more: str) -> None:
    """Likewise: a rolling update, one node after the other."""
    cluster.helm("upgrade", NAME, str(CHART), "-n", NAMESPACE, "-f", str(VALUES), *more)
    _rolled_out(cluster)


def reconfigure(cluster: Cluster, **env: str) -> None:
    """An upgrade to other settings, on both nodes at once. Raises CommandError, TimeoutError."""
    pairs = [item for name, value in env.items() for item in ("--set-string", f"env.{name}={value}")]
    upgrade(cluster, "--set", "updateStrategy.rollingUpdate.maxUnavailable=100%", *pairs)


def _rolled_out(cluster: Cluster) -> None:
    # Not helm --wait: for a DaemonSet that is content when all nodes but maxUnavailable are ready.
    cluster.kubectl(
        "rollout", "status", "daemonset/aws-node", "-n", NAMESPACE, "--timeout=600s", "--request-timeout=0", timeout=630
    )
    until("all containers are ready", 120, lambda: all_ready(cluster))


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    """The DaemonSet's pods."""
    return cluster.get("pods", "-n", NAMESPACE, "-l", "k8s-app=aws-node")


def nodes_ready(cluster: Cluster) -> dict[str, bool]:
    """Node name -> its Ready condition."""
    return {
        item["metadata"]["name"]: any(
            c["type"] == "Ready" and c["status"] == "True" for c in item["status"]["conditions"]
        )
        for item in cluster.get("nodes")
    }


def wait_nodes_ready(cluster: Cluster, seconds: float = 120) -> None:
    """Raises TimeoutError with what each node says."""
    until(
        "both nodes are Ready",
        seconds,
        lambda: set(WORKERS) == {name for name, ready in nodes_ready(cluster).items() if ready},
    )


def processes(cluster: Cluster) -> list[ServiceProcess]:
    """The services' processes on all nodes."""
    found = []
    for name, worker in cluster.workers.items():
        inside = descendants(worker.init_pid)
        for pid in inside:
            line = command(pid)
            for service, module in _MODULES.items():
                if line[:1] and line[0].endswith("python3") and line[1:3] == ["-m", module]:
                    found.append(ServiceProcess(name, service, pid))
    return found


def command(pid: int) -> list[str]:
    """A process's arguments; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def all_ready(cluster: Cluster) -> bool:
    """All containers of ours on all nodes."""
    return all(
        status["ready"]
        for pod in pods(cluster)
        for status in pod["status"].get("containerStatuses", ({"ready": False},))
    )


def descendants(pid: int) -> list[int]:
    """The process and everything below it: a node's orphans become children of its process 1, so nothing is missed."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    queue, found = [pid], []
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(parents.get(current, ()))
    return found


def ready_pods(cluster: Cluster, app: str, namespace: str = "default") -> list[dict[str, Any]]:
    """Pods with this ``app`` label that are Ready and not on their way out."""
    return [
        item
        for item in cluster.get("pods", "-n", namespace, "-l", f"app={app}")
        if "deletionTimestamp" not in item["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", ()))
    ]


def wait_pods(cluster: Cluster, app: str, count: int, seconds: float = 120) -> list[dict[str, Any]]:
    """Exactly ``count`` ready pods. Raises TimeoutError."""
    until(f"{count} pods of {app} are ready", seconds, lambda: len(ready_pods(cluster, app)) == count, pause=0.5)
    return ready_pods(cluster, app)


def wait_gone(cluster: Cluster, app: str, seconds: float = 90) -> None:
    """No pod of ``app`` is left. Raises TimeoutError."""
    until(f"no pod of {app} is left", seconds, lambda: not cluster.get("pods", "-l", f"app={app}"), pause=0.5)


def sandbox_failures(cluster: Cluster) -> list[str]:
    """Events of kubelet that a pod's network could not be made or removed."""
    return [
        f"{event['involvedObject']['name']}: {event['message'][:300]}"
        for event in cluster.get("events", "-A")
        if event.get("reason") in ("FailedCreatePodSandBox", "FailedKillPod")
    ]


def ipam_json(cluster: Cluster, node: str) -> dict[str, Any]:
    """ipam's checkpoint on a node, as it is on disk."""
    import json

    try:
        return dict(json.loads(cluster.workers[node].file("/run/aws-node/ipam.json").read_text()))
    except FileNotFoundError as error:
        raise CommandError(f"no checkpoint on {node}: {error}") from error


def pod_rules(netns: Path) -> frozenset[str]:
    """Addresses that have a rule of ours (to the pod: priority 512)."""
    lines = run("nsenter", f"--net={netns}", "ip", "rule").splitlines()
    return frozenset(line.split(" to ")[1].split()[0] for line in lines if line.startswith("512:"))
