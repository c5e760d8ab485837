"""ipam with a real kube-apiserver, as the service account that the chart makes and with no more than its permissions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import apiserver
import pytest
from apiserver import CACHE, ApiServer
from vpccni_chart import manifest

HELM = manifest.find_helm()
MISSING = apiserver.missing() or ("" if HELM else "helm (make e2e builds it)")
pytestmark = [pytest.mark.wire, pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}")]
ENV = dict.fromkeys(
    ("ANNOTATE_POD_IP", "ENABLE_POD_ENI", "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "VPCCNI_NODE_CONDITION"), "true"
)
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
    "status": {"capacity": {"pods": "50"}},
}
CNI_NODE = {
    "apiVersion": "vpcresources.k8s.aws/v1alpha1",
    "kind": "CNINode",
    "metadata": {"name": "node-1"},
    "spec": {"features": [{"name": "Other", "value": "x"}]},
}
_ACCOUNT = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")


def as_the_chart_s_account(server: ApiServer, directory: Path) -> Path:
    """Installs the chart's account and its permissions; the kubeconfig of that account, which trusts only this server."""
    assert HELM is not None
    crds = sorted((manifest.CHART / "crds").glob("*.yaml"))
    for path in crds:
        server.kubectl("apply", "-f", str(path))
    server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for thing in manifest.objects(HELM, {"env": ENV}):
        if thing["kind"] in _ACCOUNT:
            server.kubectl("apply", "-n", "kube-system", "-f", "-", text=json.dumps(thing))
    token = server.kubectl("-n", "kube-system", "create", "token", "aws-node").strip()
    named = {"name": "x"}
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority": str(directory / "certs/apiserver.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [named | {"context": {"cluster": "x", "user": "x"}}],
        "clusters": [named | {"cluster": cluster}],
        "users": [named | {"user": {"token": token}}],
    }
    path = directory / "ipam-kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_everything_that_ipam_has_of_kubernetes(tmp_path: Path) -> None:
    with ApiServer.start(tmp_path) as server:
        config = as_the_chart_s_account(server, tmp_path)
        for thing in (NODE, CNI_NODE):
            server.kubectl("create", "-f", "-", text=json.dumps(thing))
        script = Path(__file__).with_name("ipam_on_apiserver.py")
        command = [sys.executable, str(script), str(config), str(CACHE / "bin/kubectl")]
        done = subprocess.run(
            ["ip", "netns", "exec", server._netns, *command],
            env={**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
