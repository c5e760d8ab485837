"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on one host of the VPC."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cluster.api import Api
from cluster.pki import Pki
from cluster.processes import Processes

API_PORT: Final = 6443
SERVICE_CIDR: Final = "172.20.0.0/16"
KUBERNETES_SERVICE: Final = "172.20.0.1"
_CLUSTER_NAMES: Final = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


class ControlPlane:
    """``address``: the host's; ``netns``: its network namespace; ``state``: where etcd keeps its data."""

    def __init__(
        self, binaries: Path, etcd: Path, netns: Path, address: str, state: Path, processes: Processes
    ) -> None:
        self._bin, self._etcd, self._netns, self.address, self._state = binaries, etcd, netns, address, state
        self._processes = processes
        self.pki = Pki(state / "pki", f"https://{address}:{API_PORT}")
        names = [f"IP:{ip}" for ip in (address, KUBERNETES_SERVICE, "127.0.0.1")] + [
            f"DNS:{name}" for name in _CLUSTER_NAMES
        ]
        self.pki.issue("apiserver", "/CN=kube-apiserver", ",".join(names))
        self.pki.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self.pki.issue("front-proxy-client", "/CN=front-proxy-client")
        for user, subject in (
            ("admin", "/O=system:masters/CN=admin"),
            ("controller-manager", "/CN=system:kube-controller-manager"),
            ("scheduler", "/CN=system:kube-scheduler"),
            ("proxy", "/CN=system:kube-proxy"),
        ):
            self.pki.user(user, subject)

    def api(self) -> Api:
        """For the tests, as cluster-admin, from this host."""
        pki = self.pki
        return Api(self._netns, self.address, API_PORT, pki.cert("ca"), pki.cert("admin"), pki.key("admin"))

    def start_store(self) -> None:
        """etcd and the API server, which answers some seconds later."""
        self.start_etcd()
        self.start_apiserver()

    def start_controllers(self) -> None:
        """To be called when the API server is ready: both end when their roles are not there yet."""
        pki = self.pki
        self._start(
            "kube-controller-manager",
            *self._kubeconfigs("controller-manager"),
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki.key('sa')}",
            f"--root-ca-file={pki.cert('ca')}",
            f"--cluster-signing-cert-file={pki.cert('ca')}",
            f"--cluster-signing-key-file={pki.key('ca')}",
            "--allocate-node-cidrs=false",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--node-monitor-period=2s",
            "--node-monitor-grace-period=20s",
        )
        self._start("kube-scheduler", *self._kubeconfigs("scheduler"))

    def start_etcd(self) -> None:
        listen = "http://127.0.0.1:2379"
        self._processes.start(
            "etcd",
            [self._etcd, f"--data-dir={self._state / 'etcd'}", f"--listen-client-urls={listen}",
             f"--advertise-client-urls={listen}", "--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync"],
            netns=self._netns,
        )  # fmt: skip

    def start_apiserver(self) -> None:
        """Can be called again after ``stop_apiserver``: the state is etcd's."""
        pki = self.pki
        self._start(
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--advertise-address={self.address}",
            f"--external-hostname={self.address}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--tls-cert-file={pki.cert('apiserver')}",
            f"--tls-private-key-file={pki.key('apiserver')}",
            f"--client-ca-file={pki.cert('ca')}",
            f"--service-account-key-file={pki.directory / 'sa.pub'}",
            f"--service-account-signing-key-file={pki.key('sa')}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--kubelet-client-certificate={pki.cert('kubelet-client')}",
            f"--kubelet-client-key={pki.key('kubelet-client')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki.cert('ca')}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki.cert('front-proxy-client')}",
            f"--proxy-client-key-file={pki.key('front-proxy-client')}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
        )

    def stop_apiserver(self) -> None:
        self._processes.stop("kube-apiserver", grace=0)

    def _start(self, name: str, *arguments: str) -> None:
        self._processes.start(name, [self._bin / name, *arguments, "--v=1"], netns=self._netns)

    def _kubeconfigs(self, user: str) -> list[str]:
        config = self.pki.kubeconfig(user)
        names = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        return [*(f"--{name}={config}" for name in names), "--leader-elect=false"]
