"""What a service may do on a node, and what others may do to it, read from the running cluster."""

from __future__ import annotations

import subprocess
from typing import Final

from cluster import release
from cluster.cluster import Cluster

NOBODY: Final = 65534
# capabilities(7): the bit of each.
_BITS: Final = {"NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21}
NETCONF: Final = sum(1 << _BITS[name] for name in ("NET_ADMIN", "NET_RAW", "SYS_ADMIN"))
_SECCOMP_FILTER: Final = "2"
_CONNECT: Final = """
import os, socket, sys
os.chdir(os.path.dirname(sys.argv[1]))  # the whole path may be too long for an address
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(2)
    s.connect(os.path.basename(sys.argv[1]))
"""


def test_capabilities(cluster: Cluster) -> None:
    """eni-manager and ipam hold no capability, netconf three; all under seccomp, without new privileges"""
    found = release.processes(cluster)
    assert sorted((p.node, p.service) for p in found) == sorted(
        (node, service) for node in cluster.workers for service in release.SERVICES
    )
    for process in found:
        status = process.status()
        allowed = NETCONF if process.service == "netconf" else 0
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            held = int(status[name], 16)
            assert held & ~allowed == 0, f"{process}: {name} {held:x}"
        assert status["Seccomp"] == _SECCOMP_FILTER, process
        assert status["NoNewPrivs"] == "1", process


def test_read_only_roots(cluster: Cluster) -> None:
    """No service can write to its own root file system"""
    for process in release.processes(cluster):
        with open(f"/proc/{process.pid}/mountinfo") as mounts:
            root = next(line.split() for line in mounts if line.split()[4] == "/")
        assert "ro" in root[5].split(","), f"{process}: {root}"


def test_sockets_are_closed_to_others(cluster: Cluster) -> None:
    """An unprivileged user of the node can reach none of the unix sockets"""
    for worker in cluster.workers.values():
        sockets = worker.exec("find", "/run/aws-node", "/var/lib/kubelet/pods", "-type", "s").split()
        names = {path.rsplit("/", 1)[1] for path in sockets}
        assert {"ipam.sock", "netconf.sock", "eni-manager.sock"} <= names, sockets
        for path in sockets:
            done = _as_nobody(worker.init_pid, "/usr/bin/python3", "-c", _CONNECT, path)
            assert "PermissionError" in done.stderr, (
                f"{worker.name} {path}: status {done.returncode} {done.stderr[-200:]}"
            )


def _as_nobody(init: int, *argv: str) -> subprocess.CompletedProcess[str]:
    place = ["nsenter", "-t", str(init), "--mount", "--net", "--pid", f"--setuid={NOBODY}", f"--setgid={NOBODY}"]
    return subprocess.run([*place, *argv], capture_output=True, text=True, check=False, timeout=30)


def test_state_is_closed_to_others(cluster: Cluster) -> None:
    """An unprivileged user of the node can change neither checkpoint, queue, conflist nor plugin"""
    for worker in cluster.workers.values():
        for path in (
            "/run/aws-node/ipam.json",
            "/run/aws-node/x",
            "/etc/cni/net.d/10-aws.conflist",
            "/opt/cni/bin/aws-cni",
        ):
            done = _as_nobody(worker.init_pid, "/bin/sh", "-c", f"echo x >> {path}")
            assert done.returncode != 0, f"{worker.name}: {path} was written"


def test_credentials(cluster: Cluster) -> None:
    """Only ipam has the API server's token, and nothing but eni-manager has AWS variables for EC2"""
    for process in release.processes(cluster):
        environ = process.environ()
        if process.service != "eni-manager":
            found = [
                name
                for name in environ
                if name.startswith("AWS_") and ("KEY" in name or "TOKEN" in name or "ENDPOINT" in name)
            ]
            assert not found, f"{process}: {found}"
        with open(f"/proc/{process.pid}/mountinfo") as mounts:
            token = any("secrets/kubernetes.io/serviceaccount" in line for line in mounts)
        assert token == (process.service == "ipam"), process


def test_health_answers(cluster: Cluster) -> None:
    """Health of all three services answers from outside of the pod (kubelet's native gRPC probes use it)"""
    for pod in release.pods(cluster):
        assert all(status["ready"] and status["started"] for status in pod["status"]["containerStatuses"])
        for container in pod["spec"]["containers"]:
            assert {"grpc"} <= set(container["livenessProbe"]) & set(container["readinessProbe"]) & set(
                container["startupProbe"]
            )
