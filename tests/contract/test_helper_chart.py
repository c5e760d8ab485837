"""The chart of cni-metrics-helper as helm renders it: accepted by the API's models, least rights, values of the original."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from vpccni_chart import manifest, structure
from vpccni_metrics_helper import settings

HELM = manifest.find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")
CHART = Path(__file__).resolve().parents[2] / "deploy/helm/cni-metrics-helper"
SHOWN = {"env": {"USE_PROMETHEUS": "true"}, "serviceMonitor": {"create": True}}
# What a values file of the original's chart may hold.
ORIGINAL = {
    "image": {"region": "eu-central-1", "tag": "v1.23.1", "account": "602401143452", "domain": "amazonaws.com"},
    "env": {
        "USE_CLOUDWATCH": "true",
        "USE_PROMETHEUS": "false",
        "AWS_CLUSTER_ID": "shop",
        "AWS_VPC_K8S_CNI_LOGLEVEL": "INFO",
    },
    "serviceAccount": {
        "create": True,
        "name": None,
        "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"},
    },
    "resources": {},
    "revisionHistoryLimit": 10,
    "podSecurityContext": {},
    "containerSecurityContext": {},
    "podAnnotations": {"a": "b"},
    "updateStrategy": {},
    "nodeSelector": {"x": "y"},
    "affinity": {},
    "tolerations": [],
    "imagePullSecrets": [],
}


def helm(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    command = [str(HELM), "template", "x", str(CHART), "-n", "kube-system", "--kube-version", "1.34.0", "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)


def render(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    done = helm(values)
    assert done.returncode == 0, done.stderr
    return {thing["kind"]: thing for thing in yaml.safe_load_all(done.stdout) if thing}


@pytest.mark.parametrize("values", [{}, SHOWN, ORIGINAL], ids=["defaults", "prometheus", "original"])
def test_the_api_server_s_models_take_every_object(values: dict[str, Any]) -> None:
    for kind, thing in render(values).items():
        if kind == "ServiceMonitor":
            assert thing["apiVersion"] == "monitoring.coreos.com/v1"
        else:
            assert structure.problems(thing) == []


def test_it_may_list_pods_and_use_the_proxy_in_its_namespace_and_nothing_else() -> None:
    objects = render({})
    rules = [(rule["resources"], rule["verbs"]) for rule in objects["Role"]["rules"]]
    assert rules == [(["pods"], ["list"]), (["pods/proxy"], ["get"])]
    assert "ClusterRole" not in objects
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_every_variable_is_one_that_the_helper_reads() -> None:
    (container,) = render(SHOWN)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {item["name"] for item in container["env"]} <= {setting.name for setting in settings.ALL}


def test_the_service_and_the_monitor_find_the_pod() -> None:
    objects = render(SHOWN)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    selected = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert selected.items() <= objects["Service"]["metadata"]["labels"].items()


def test_the_original_s_image_values_mean_the_same() -> None:
    (container,) = render(ORIGINAL)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "602401143452.dkr.ecr.eu-central-1.amazonaws.com/vpccni/metrics-helper:v1.23.1"


@pytest.mark.parametrize(
    "values",
    [
        {"env": {"USE_CLOUDWATCH": "false"}},
        {"env": {"METRIC_UPDATE_INTERVAL": "soon"}},
        {"serviceMonitor": {"create": True}},
        {"replicas": 2},
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any]) -> None:
    assert helm(values).returncode != 0
