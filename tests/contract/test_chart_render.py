"""The chart as helm renders it: for its defaults, each feature, and values files as users of the original have them."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from vpccni_chart import manifest, structure
from vpccni_chart.settings_table import CHART_SETS, DECLARED

HELM = manifest.find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")

VALUES = {path.stem: path for path in sorted((Path(__file__).parent / "chart_values").glob("*.yaml"))}
FEATURES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "helm labels off": {"originalMatchLabels": True},
    "own service account": {"serviceAccount": {"create": False, "name": "networking"}},
    "node agent": {"nodeAgent": {"enabled": True}},
    "pod monitor": {"podMonitor": {"create": True}},
    "alerts and dashboards": {"prometheusRule": {"create": True}, "dashboards": {"create": True}},
    "alerts and boards": {"prometheusRule": {"create": True}, "dashboards": {"create": True}},
    "other ports": {"ipam": {"healthPort": 30000, "metricsPort": 30001}, "eniManager": {"healthPort": 30002}},
    "long goodbye": {"preStop": {"timeoutSeconds": 300, "quietSeconds": 10}},
    "capabilities of a runtime with /proc namespaces": {
        "netconf": {"capabilities": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]}
    },
    "clean after uninstall": {"uninstall": {"clean": True, "plugins": True, "state": True, "rules": True}},
    "on delete": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}},
    **{name: yaml.safe_load(path.read_text()) for name, path in VALUES.items()},
}
SERVICES = ("eni-manager", "ipam", "netconf")
OTHER_KINDS = {
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ENIConfig": "crd.k8s.amazonaws.com/v1alpha1",
}
Objects = list[dict[str, Any]]


def render(values: dict[str, Any], *arguments: str) -> Objects:
    return _render(json.dumps(values, sort_keys=True), arguments)


@functools.cache
def _render(values: str, arguments: tuple[str, ...]) -> Objects:
    assert HELM is not None
    return manifest.objects(HELM, json.loads(values), *arguments)


@pytest.fixture(params=FEATURES, scope="module")
def objects(request: pytest.FixtureRequest) -> Objects:
    return render(FEATURES[request.param])


def one(objects: Objects, kind: str, name: str = "aws-node") -> dict[str, Any]:
    (found,) = [thing for thing in objects if thing["kind"] == kind and thing["metadata"]["name"] == name]
    return found


def pod_of(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    return spec


def containers(objects: Objects) -> dict[str, dict[str, Any]]:
    pod = pod_of(objects)
    return {container["name"]: container for container in (*pod["initContainers"], *pod["containers"])}


def env_of(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container.get("env") or ()}


def test_the_api_server_s_models_take_every_object(objects: Objects) -> None:
    for thing in objects:
        if thing["kind"] in OTHER_KINDS:
            assert thing["apiVersion"] == OTHER_KINDS[thing["kind"]]
        else:
            assert structure.problems(thing) == []


def test_names_are_unique_and_in_the_release_s_namespace(objects: Objects) -> None:
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects]
    assert len(names) == len(set(names))
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "ENIConfig"}
    assert all(("namespace" in thing["metadata"]) is (thing["kind"] not in cluster_wide) for thing in objects)


def test_selectors_match_and_stay_those_of_the_original(objects: Objects) -> None:
    daemonset = one(objects, "DaemonSet")
    selector = daemonset["spec"]["selector"]["matchLabels"]
    assert selector["k8s-app"] == "aws-node"
    labels = daemonset["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    for monitor in (thing for thing in objects if thing["kind"] == "PodMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    test_pod = one(objects, "Pod", "aws-node-test")
    assert not selector.items() <= test_pod["metadata"]["labels"].items()


def test_one_account_holds_the_role(objects: Objects) -> None:
    binding = one(objects, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == one(objects, "ClusterRole")["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert subject["name"] == pod_of(objects)["serviceAccountName"]


def test_every_mount_has_a_volume_and_every_volume_a_mount(objects: Objects) -> None:
    pod = pod_of(objects)
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    mounted = {mount["name"] for container in containers(objects).values() for mount in container["volumeMounts"]}
    assert mounted == set(volumes)
    for container in containers(objects).values():
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))


def test_the_services_sockets_are_seen_by_the_three_alone(objects: Objects) -> None:
    (sockets,) = [volume for volume in pod_of(objects)["volumes"] if volume["name"] == "sockets"]
    assert sockets["emptyDir"]["medium"] == "Memory"
    holders = {name for name, c in containers(objects).items() for m in c["volumeMounts"] if m["name"] == "sockets"}
    assert holders == set(SERVICES)


def test_ports_are_unique_on_the_host_and_probed_by_grpc(objects: Objects) -> None:
    ports = [port for container in pod_of(objects)["containers"] for port in container["ports"]]
    assert len({port["containerPort"] for port in ports}) == len(ports)
    assert all(re.fullmatch("[a-z0-9-]{1,15}", port["name"]) for port in ports)
    assert len({port["name"] for port in ports}) == len(ports)
    for name in SERVICES:
        container = containers(objects)[name]
        prefix = name.upper().replace("-", "_")
        health = int(env_of(container)[f"VPCCNI_{prefix}_HEALTH_PORT"])
        assert health in [port["containerPort"] for port in container["ports"]]
        assert int(env_of(container)[f"VPCCNI_{prefix}_METRICS_PORT"]) in [
            p["containerPort"] for p in container["ports"]
        ]
        for probe, service in (("startupProbe", "startup"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
            assert container[probe]["grpc"] == {"port": health, "service": service}
            assert "exec" not in container[probe]


def test_pod_monitor_names_ports_that_are_there(objects: Objects) -> None:
    names = {port["name"] for container in pod_of(objects)["containers"] for port in container["ports"]}
    for monitor in (thing for thing in objects if thing["kind"] == "PodMonitor"):
        wanted = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        assert {"metrics", "eni-metrics", "netconf-metrics"} <= wanted <= names


def test_no_privilege_but_netconf_s_named_ones(objects: Objects) -> None:
    for name, container in containers(objects).items():
        if name == "aws-eks-nodeagent":
            continue
        context = container["securityContext"]
        assert not context.get("privileged")
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["capabilities"]["drop"] == ["ALL"]
        added = set(context["capabilities"].get("add", ()))
        assert added <= ({"NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"} if name == "netconf" else set())
    assert not pod_of(objects).get("hostPID")
    assert pod_of(objects)["hostNetwork"] is True


def test_credentials_reach_eni_manager_alone(objects: Objects) -> None:
    secret = re.compile("ACCESS_KEY|SESSION_TOKEN|WEB_IDENTITY|ROLE_ARN|AUTHORIZATION_TOKEN|CREDENTIALS|AWS_PROFILE")
    holders = {name for name, c in containers(objects).items() for variable in env_of(c) if secret.search(variable)}
    assert holders <= {"eni-manager"}
    annotations = one(objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]
    skipped = set(annotations["eks.amazonaws.com/skip-containers"].split(","))
    assert skipped == set(containers(objects)) - {"eni-manager", "aws-eks-nodeagent"}


def test_the_api_server_s_token_is_ipam_s_alone(objects: Objects) -> None:
    assert pod_of(objects)["automountServiceAccountToken"] is False
    mount = "/var/run/secrets/kubernetes.io/serviceaccount"
    holders = {name for name, c in containers(objects).items() for m in c["volumeMounts"] if m["mountPath"] == mount}
    assert holders - {"aws-eks-nodeagent"} == {"ipam"}


def test_every_variable_is_read_by_the_container_that_has_it(objects: Objects) -> None:
    by_container = {**{name: name for name in SERVICES}, "aws-vpc-cni-init": "init"}
    for name, reader in by_container.items():
        declared = {setting.name for setting in DECLARED[reader]}
        entries = [item["name"] for item in containers(objects)[name].get("env") or ()]
        assert len(entries) == len(set(entries))
        foreign = {
            e for e in entries if not re.match("OTEL_", e) and not (e.startswith("AWS_") and name == "eni-manager")
        }
        assert foreign <= declared
    ours = [containers(objects)[name].get("env") or () for name in by_container]
    for name in CHART_SETS:
        assert sum(name == item["name"] for env in ours for item in env) <= 3


def test_goodbye_is_bounded(objects: Objects) -> None:
    pod = pod_of(objects)
    for name in SERVICES:
        command = containers(objects)[name]["lifecycle"]["preStop"]["exec"]["command"]
        (timeout,) = [int(part.partition("=")[2]) for part in command if part.startswith("--timeout=")]
        assert timeout < pod["terminationGracePeriodSeconds"]


def test_images_are_given_a_tag_and_a_policy(objects: Objects) -> None:
    for container in containers(objects).values():
        assert re.search(r":[\w.-]+$|@sha256:[0-9a-f]{64}$", container["image"])
        assert container["imagePullPolicy"] in ("Always", "IfNotPresent", "Never")
        assert container["resources"]["requests"]["cpu"]


# What a feature changes, beyond being well formed.


def test_adopted_daemonset_keeps_its_one_label() -> None:
    daemonset = one(render(FEATURES["eks_adopted"]), "DaemonSet")
    assert daemonset["spec"]["selector"]["matchLabels"] == {"k8s-app": "aws-node"}
    images = {name: c["image"] for name, c in containers(render(FEATURES["eks_adopted"])).items()}
    assert images["ipam"] == "registry.example.org/networking/vpccni/ipam:0.1.0"
    assert images["aws-vpc-cni-init"] == "registry.example.org/networking/vpccni/init:0.1.0"


def test_eni_configs_by_zone() -> None:
    objects = render(FEATURES["custom_networking"])
    configs = {thing["metadata"]["name"]: thing["spec"] for thing in objects if thing["kind"] == "ENIConfig"}
    assert configs["us-west-2a"] == {"subnet": "subnet-0a11111111111111a", "securityGroups": ["sg-0a1", "sg-0a2"]}
    assert configs["us-west-2c"] == {"subnet": "subnet-0c33333333333333c"}
    ipam = env_of(containers(objects)["ipam"])
    assert (ipam["WARM_IP_TARGET"], ipam["MAX_ENI"]) == ("5", "-1")
    assert ipam["AWS_VPC_K8S_CNI_EXTERNALSNAT"] == "true"
    assert env_of(containers(objects)["eni-manager"])["CLUSTER_NAME"] == "prod"


def test_early_demux_reaches_init_and_ipam_from_the_init_container_s_value() -> None:
    made = containers(render(FEATURES["pod_security_groups"]))
    assert env_of(made["aws-vpc-cni-init"])["DISABLE_TCP_EARLY_DEMUX"] == "true"
    assert env_of(made["ipam"])["DISABLE_TCP_EARLY_DEMUX"] == "true"


def test_private_registry() -> None:
    made = containers(render(FEATURES["private_registry"]))
    assert made["ipam"]["image"] == "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/vpccni/ipam:0.1.0-internal.3"
    assert made["netconf"]["image"].startswith("registry.example.org/vpccni-netconf@sha256:")
    assert made["eni-manager"]["resources"]["limits"] == {"memory": "160Mi"}
    assert "limits" not in made["ipam"]["resources"]
    assert "WARM_ENI_TARGET" not in env_of(made["ipam"])
    assert env_of(made["ipam"])["WARM_IP_TARGET"] == "3"
    assert "WARM_IP_TARGET" not in env_of(made["eni-manager"])
    assert all("OTEL_EXPORTER_OTLP_ENDPOINT" in env_of(made[name]) for name in SERVICES)
    assert [name for name in made if "AWS_REGION" in env_of(made[name])] == ["eni-manager"]


def test_own_conflist_is_where_the_installer_looks() -> None:
    objects = render(FEATURES["chained"])
    assert '"type": "cilium-cni"' in one(objects, "ConfigMap")["data"]["10-aws.conflist"]
    (own,) = [setting for setting in DECLARED["ipam"] if setting.name == "VPCCNI_CONFLIST_FILE"]
    mount = next(m for m in containers(objects)["ipam"]["volumeMounts"] if m["name"] == "cni-config")
    assert own.default == f"{mount['mountPath']}/10-aws.conflist"
    bin_dir = next(v for v in pod_of(objects)["volumes"] if v["name"] == "cni-bin-dir")
    assert bin_dir["hostPath"]["path"] == "/var/lib/cni/bin"


def test_a_changed_conflist_rolls_the_pods() -> None:
    def checksum(text: str) -> str:
        objects = render({"cniConfig": {"enabled": True, "fileContents": text}})
        made: str = one(objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]["checksum/cni-config"]
        return made

    assert checksum('{"a": 1}') != checksum('{"a": 2}')


def test_clean_up_runs_after_the_release_is_gone_and_goes_itself() -> None:
    plain = {(thing["kind"], thing["metadata"]["name"]) for thing in render({})}
    hooks = [t for t in render(FEATURES["clean after uninstall"]) if (t["kind"], t["metadata"]["name"]) not in plain]
    weights = {}
    for thing in hooks:
        annotations = thing["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "post-delete"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        weights[thing["kind"]] = int(annotations["helm.sh/hook-weight"])
    assert weights == {"ServiceAccount": 0, "Role": 0, "RoleBinding": 0, "DaemonSet": 1, "Job": 2}
    stopped, clean, rules = one(hooks, "DaemonSet", "aws-node-clean")["spec"]["template"]["spec"]["initContainers"]
    assert {f"--port={port}" for port in (61680, 61681, 61682)} < set(stopped["command"])
    assert clean["args"] == ["clean", "--plugins", "--state"]
    assert rules["command"] == ["python3", "-m", "vpccni_netconf.clean", "--veth-prefix=eni"]
    assert rules["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    for thing in hooks:
        if thing["kind"] in ("DaemonSet", "Job"):
            pod = thing["spec"]["template"]["spec"]
            assert pod["hostNetwork"] is True  # there may be no pod network any more
            assert pod["tolerations"] == [{"operator": "Exists"}]


def test_windows_keys_are_those_of_the_controllers() -> None:
    data = one(render(FEATURES["policy_and_windows"]), "ConfigMap", "amazon-vpc-cni")["data"]
    assert data == {
        "enable-network-policy-controller": "true",
        "enable-windows-ipam": "true",
        "enable-windows-prefix-delegation": "true",
        "warm-prefix-target": "1",
        "warm-ip-target": "1",
        "minimum-ip-target": "3",
        "branch-eni-cooldown": "120",
    }
    agent = containers(render(FEATURES["policy_and_windows"]))["aws-eks-nodeagent"]
    assert "--conntrack-cache-table-size=1048576" in agent["args"]


def test_crds() -> None:
    crds = {t["metadata"]["name"]: t for t in render({}, "--include-crds") if t["kind"] == "CustomResourceDefinition"}
    assert set(crds) == {"eniconfigs.crd.k8s.amazonaws.com", "cninodes.vpcresources.k8s.aws"}
    for name, crd in crds.items():
        assert structure.problems(crd) == []
        names = crd["spec"]["names"]
        assert name == f"{names['plural']}.{crd['spec']['group']}"
        assert [v["name"] for v in crd["spec"]["versions"] if v["storage"]] == ["v1alpha1"]
    (version,) = crds["eniconfigs.crd.k8s.amazonaws.com"]["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["required"] == ["subnet"]
    assert set(spec["properties"]) == {"subnet", "securityGroups"}
    assert "x-kubernetes-preserve-unknown-fields" not in spec
