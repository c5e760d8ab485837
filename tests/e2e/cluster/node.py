"""One worker: containerd, kubelet and kube-proxy in a lab node's network namespace and a root file system of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from vpccni_lab.fabric import namespaces

from cluster import cgroups, parts
from cluster.pki import Pki
from cluster.processes import Processes
from cluster.sh import run

_INIT: Final = Path(__file__).with_name("node-init.sh")
PAUSE: Final = "localhost/e2e/pause:1"


class Worker:
    """``lab``: the lab's name; ``state``: the cluster's directory, of which ``nodes/<name>`` is this worker's."""

    def __init__(
        self,
        lab: str,
        name: str,
        address: str,
        zone: str,
        instance_id: str,
        state: Path,
        processes: Processes,
        debian: Path,
    ) -> None:
        self.name, self.address, self.zone, self.instance_id = name, address, zone, instance_id
        self.netns = namespaces.path(lab, name)
        self.state = state / "nodes" / name
        self._shared = state / "shared"
        self._images = state / "images"
        self._processes, self._debian = processes, debian

    def configure(self, pki: Pki, max_pods: int) -> None:
        """Writes what kubelet and kube-proxy read."""
        self.state.mkdir(parents=True, exist_ok=True)
        pki.user(self.name, f"/O=system:nodes/CN=system:node:{self.name}", f"IP:{self.address},DNS:{self.name}")
        (self._config("kubelet")).write_text(json.dumps(self._kubelet(pki, max_pods), indent=1))
        (self._config("kube-proxy")).write_text(json.dumps(self._kube_proxy(pki), indent=1))

    def _config(self, what: str) -> Path:
        directory = self._shared / self.name
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{what}.yaml"

    def _kubelet(self, pki: Pki, max_pods: int) -> dict[str, Any]:
        room = {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        }
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki.cert("ca"))},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki.cert(self.name)),
            "tlsPrivateKeyFile": str(pki.key(self.name)),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "providerID": f"aws:///{self.zone}/{self.instance_id}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroups.make(self.name),
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "maxPods": max_pods,
            "clusterDNS": ["172.20.0.10"],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "staticPodPath": "/etc/kubernetes/manifests",
            "fileCheckFrequency": "1s",
            "evictionHard": room,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "nodeStatusUpdateFrequency": "4s",
            "serializeImagePulls": False,
            # A container that is killed several times is started again soon, not after 10, 20, 40 s.
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
            "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        }

    def _kube_proxy(self, pki: Pki) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(pki.kubeconfig("proxy"))},
            "mode": "iptables",
            "hostnameOverride": self.name,
            "iptables": {"minSyncPeriod": "0.2s"},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def start(self) -> None:
        """Boots the node. Returns at once; kubelet registers it some seconds later."""
        for directory in (
            "root",
            "containerd",
            "kubelet",
            "pod-logs",
            "log",
            "cni-conf",
            "cni-bin",
            "plugin-log",
            "manifests",
        ):
            (self.state / directory).mkdir(parents=True, exist_ok=True)
        path = [parts.BIN, *(self._debian / sub for sub in ("usr/bin", "usr/sbin", "bin", "sbin"))]
        env = {
            "PATH": ":".join(
                map(str, [*path, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
            ),
            "HOME": "/root",
            "NODE": self.name,
            "ADDRESS": self.address,
            "LABELS": f"topology.kubernetes.io/zone={self.zone},topology.kubernetes.io/region={self.zone[:-1]}",
            "STATE": str(self.state),
            "STATE_IN": str(self._shared / self.name),
            "SHARED": str(self._shared),
            "CACHE": str(parts.CACHE),
            "IMAGES": str(self._images),
        }
        unshare = [
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
        ]
        self._processes.start(self._process, [*unshare, _INIT], netns=self.netns, env=env)

    @property
    def imported(self) -> bool:
        """Whether the node has all images."""
        return (self.state / "containerd/.all-imported").exists()

    @property
    def _process(self) -> str:
        return f"node-{self.name}"

    @property
    def init_pid(self) -> int:
        """Process 1 of the node, as this machine numbers it. Raises IndexError when the node is down."""
        outer = self._processes.pid(self._process)
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])

    def exec(self, *argv: str | Path, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Runs a program inside the node; its output. Raises CommandError."""
        inside = ["nsenter", "-t", str(self.init_pid), "--mount", "--uts", "--ipc", "--net", "--pid"]
        env = {"PATH": f"{self._debian}/usr/bin:{parts.BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        return run(*inside, *argv, stdin=stdin, env=env, timeout=timeout)

    def file(self, inside: str) -> Path:
        """Where this process finds a file of the node (no symbolic links on the way: /run, not /var/run)."""
        return Path(f"/proc/{self.init_pid}/root{inside}")

    def stop(self) -> None:
        """As if the power were cut: every process of the node is killed. Its disk stays."""
        self._processes.stop(self._process, grace=0)
        cgroups.remove(self.name)
        cgroups.make(self.name)

    def flush_kernel(self) -> None:
        """What a reboot loses besides processes: pod links, rules, routes, packet filter, connection tracking."""
        script = r"""
        for link in $(ip -o link show type veth | awk -F'[ @:]+' '{print $2}'); do case $link in eth*) ;; *) ip link del "$link";; esac; done
        for family in -4 -6; do ip $family rule flush; ip $family rule add pref 0 lookup local 2>/dev/null || true
          ip $family rule add pref 32766 lookup main; ip $family rule add pref 32767 lookup default 2>/dev/null || true; done
        for table in $(ip -4 route show table all | grep -o 'table [0-9]*' | awk '{print $2}' | sort -u); do ip route flush table "$table"; done
        for link in $(ip -o link show | awk -F'[ @:]+' '{print $2}' | grep -E '^eth[1-9]' || true); do ip addr flush dev "$link"; ip link set "$link" down; done
        nft flush ruleset; iptables-legacy -t nat -F; iptables-legacy -t mangle -F; conntrack -F
        """
        subprocess.run(["nsenter", f"--net={self.netns}", "sh", "-c", script], capture_output=True, check=False)

    def forget(self) -> None:
        """Removes the node's disk."""
        shutil.rmtree(self.state, ignore_errors=True)


def containerd_config() -> str:
    """version 2, as both containerd 1.6 and 2 read it. restrict_oom_score_adj: not every machine's root may lower it."""
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  max_concurrent_downloads = 3
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""
