"""The chart on a real API server: what it takes, what helm makes of upgrades, and the steps that `vpccni migrate` prints."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apiserver
import pytest
import yaml
from apiserver import ApiServer
from vpccni_chart.__main__ import REPO
from vpccni_chart.manifest import CHART
from vpccni_cli.migration import facts, plan, render, workload
from vpccni_ipam import settings as ipam

pytestmark = pytest.mark.skipif(bool(apiserver.missing()), reason=f"needs {apiserver.missing()}")

VALUES = sorted((Path(__file__).parent / "chart_values").glob("*.yaml"))
ORIGINALS = REPO / "tests/unit/cli/daemonsets"
POD_MONITOR = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PodMonitor, listKind: PodMonitorList, plural: podmonitors, singular: podmonitor}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer.start(tmp_path_factory.mktemp("api")) as started:
        started.kubectl("apply", "-f", "-", text=POD_MONITOR)
        started.kubectl("apply", "-f", str(CHART / "crds"))
        started.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield started


@pytest.fixture
def empty(server: ApiServer) -> Iterator[ApiServer]:
    """The server, from which what a test has installed is removed."""
    yield server
    for release in json.loads(server.helm("list", "-A", "-o", "json").strip() or "[]"):
        server.helm("uninstall", release["name"], "-n", release["namespace"])
    left = ("daemonset/aws-node", "serviceaccount/aws-node", "configmap/amazon-vpc-cni")
    server.kubectl("-n", "kube-system", "delete", *left, "--ignore-not-found")


def daemonset(server: ApiServer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.kubectl("-n", "kube-system", "get", "ds", "aws-node", "-o", "json"))
    return found


@pytest.mark.parametrize("path", [None, *VALUES], ids=lambda path: path.stem if path else "defaults")
def test_dry_run_on_the_server_without_a_warning(server: ApiServer, path: Path | None) -> None:
    values = ["-f", str(path)] if path else []
    rendered = server.helm("template", "aws-vpc-cni", str(CHART), "-n", "kube-system", *values)
    said = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=rendered)
    assert "Warning" not in said
    assert "daemonset.apps/aws-node created" in said


def test_dry_run_of_the_clean_up(server: ApiServer) -> None:
    flags = ("--set", "uninstall.clean=true,uninstall.state=true,uninstall.rules=true")
    rendered = server.helm("template", "aws-vpc-cni", str(CHART), "-n", "kube-system", *flags)
    said = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=rendered)
    assert "job.batch/aws-node-clean created" in said
    assert "Warning" not in said


def test_the_manifest_for_kubectl(server: ApiServer) -> None:
    path = str(REPO / "deploy/manifests/aws-k8s-cni.yaml")
    assert "Warning" not in server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", path)


def test_install_upgrade_uninstall_leaves_nothing(empty: ApiServer) -> None:
    def objects() -> str:
        kinds = "daemonset,serviceaccount,configmap,clusterrole,clusterrolebinding"
        return empty.kubectl("get", kinds, "-A", "-l", "k8s-app=aws-node", "-o", "name")

    said = empty.helm("install", "aws-vpc-cni", str(CHART), "-n", "kube-system")
    assert "is installed as DaemonSet kube-system/aws-node" in said
    assert "WITHOUT EFFECT" not in said
    assert "daemonset.apps/aws-node" in objects()
    before = daemonset(empty)["metadata"]["uid"]
    empty.helm("upgrade", "aws-vpc-cni", str(CHART), "-n", "kube-system", "--set-string", "env.WARM_IP_TARGET=5")
    after = daemonset(empty)
    assert after["metadata"]["uid"] == before
    (ipam,) = [c for c in after["spec"]["template"]["spec"]["containers"] if c["name"] == "ipam"]
    assert {"name": "WARM_IP_TARGET", "value": "5"} in ipam["env"]
    empty.helm("uninstall", "aws-vpc-cni", "-n", "kube-system")
    assert objects() == ""


@pytest.mark.skipif(not ipam.NOT_YET, reason="every setting has its effect")
def test_the_notes_name_settings_without_effect(empty: ApiServer) -> None:
    flags = [f"--set-string=env.{s.name}={'true' if s.kind.startswith('Bool') else 'strict'}" for s in ipam.NOT_YET]
    said = empty.helm("install", "aws-vpc-cni", str(CHART), "-n", "kube-system", *flags)
    assert {f"env.{s.name}" for s in ipam.NOT_YET} == set(re.findall(r"WITHOUT EFFECT: (env\.\w+)=", said))


def test_the_account_may_do_what_it_needs_and_no_more(empty: ApiServer) -> None:
    empty.helm("install", "aws-vpc-cni", str(CHART), "-n", "kube-system")

    def may(verb: str, resource: str) -> bool:
        account = "--as=system:serviceaccount:kube-system:aws-node"
        return empty.run("kubectl", "auth", "can-i", verb, resource, account, "-A").returncode == 0

    assert may("watch", "nodes")
    assert may("create", "events.events.k8s.io")
    assert not any(may(verb, what) for verb, what in (("patch", "pods"), ("get", "secrets"), ("patch", "nodes")))
    empty.helm("upgrade", "aws-vpc-cni", str(CHART), "-n", "kube-system", "--set-string", "env.ANNOTATE_POD_IP=true")
    assert may("patch", "pods")


def test_a_misspelt_field_of_an_eniconfig_is_refused(server: ApiServer) -> None:
    def config(spec: str) -> str:
        head = "apiVersion: crd.k8s.amazonaws.com/v1alpha1\nkind: ENIConfig\nmetadata: {name: a}\n"
        return f"{head}spec: {spec}\n"

    def refused(spec: str) -> str:
        done = server.run("kubectl", "apply", "--dry-run=server", "-f", "-", text=config(spec))
        assert done.returncode
        return done.stderr

    server.kubectl("apply", "--dry-run=server", "-f", "-", text=config("{subnet: subnet-1, securityGroups: [sg-1]}"))
    assert 'unknown field "spec.securitygroups"' in refused("{subnet: subnet-1, securitygroups: [sg-1]}")
    assert "spec.subnet: Required value" in refused("{securityGroups: [sg-1]}")


# The steps that `vpccni migrate` prints, run as they stand.


def install_original(server: ApiServer, name: str) -> plan.Plan:
    """The fixture's objects, completed to what the API server asks for; then read back and planned as the command does."""
    for document in yaml.safe_load_all((ORIGINALS / name).read_text()):
        for thing in document.get("items", [document]):
            spec = thing.get("spec", {}).get("template", {}).get("spec", {})
            for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
                known = {volume["name"] for volume in spec.get("volumes", ())}
                container["volumeMounts"] = [m for m in container.get("volumeMounts", ()) if m["name"] in known]
            thing.get("metadata", {}).pop("managedFields", None)
            server.kubectl("apply", "-f", "-", text=json.dumps(thing))
    kinds = ("daemonset/aws-node", "serviceaccount/aws-node", "configmap/amazon-vpc-cni")
    text = server.kubectl(
        "-n", "kube-system", "get", *kinds, "--ignore-not-found", "--show-managed-fields", "-o", "json"
    )
    return plan.make(workload.read([json.loads(text)]), facts.load())


def follow(server: ApiServer, made: plan.Plan, directory: Path, helm: str = "helm") -> None:
    values = directory / "values.yaml"
    values.write_text(render.values(made))
    for line in made.commands:
        if line.startswith(("#", "aws ")) or "rollout status" in line:
            continue
        command = re.sub(r"\s+#.*", "", line).split(" > ")[0]
        words = [{"CHART": str(CHART), "values.yaml": str(values)}.get(word, word) for word in shlex.split(command)]
        if words[0] == "kubectl":
            server.kubectl(*words[1:])
        else:
            server.helm(*words[1:], program=helm)


@pytest.mark.parametrize("helm", ["helm", "helm4"])
@pytest.mark.parametrize("name", ["eks_addon_1_18.yaml", "ipv6_1_16.yaml"])
def test_the_original_s_daemonset_is_replaced_and_its_pods_can_be_adopted(
    empty: ApiServer, tmp_path: Path, name: str, helm: str
) -> None:
    if not (apiserver.CACHE / "bin" / helm).exists():
        pytest.skip(f"{helm} is not here (make e2e builds it)")
    empty.kubectl("-n", "kube-system", "create", "serviceaccount", "aws-node")  # it is there, and not Helm's
    made = install_original(empty, name)
    old_labels = daemonset(empty)["spec"]["template"]["metadata"]["labels"]
    follow(empty, made, tmp_path, helm)
    now = daemonset(empty)
    names = [container["name"] for container in now["spec"]["template"]["spec"]["containers"]]
    assert names == ["eni-manager", "ipam", "netconf"]
    assert now["spec"]["selector"]["matchLabels"].items() <= old_labels.items()
    assert now["metadata"]["annotations"]["meta.helm.sh/release-name"] == "aws-vpc-cni"


def test_a_helm_release_of_the_original_is_upgraded_in_place(empty: ApiServer, tmp_path: Path) -> None:
    path = ORIGINALS / "helm_1_12_custom_networking.json"
    chart = tmp_path / "old"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: aws-vpc-cni\nversion: 1.2.8\n")
    items = json.loads(path.read_text())["items"]
    for thing in items:
        thing["metadata"].pop("annotations", None)
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/cni"}
    next(t for t in items if t["kind"] == "ServiceAccount")["metadata"]["annotations"] = role
    (chart / "templates/all.yaml").write_text(yaml.safe_dump_all(items))
    empty.helm("install", "cni", str(chart), "-n", "kube-system")
    before = daemonset(empty)["metadata"]["uid"]
    text = empty.kubectl("-n", "kube-system", "get", "ds/aws-node", "sa/aws-node", "cm/amazon-vpc-cni", "-o", "json")
    made = plan.make(workload.read([json.loads(text)]), facts.load())
    follow(empty, made, tmp_path)
    now = daemonset(empty)
    assert now["metadata"]["uid"] == before
    assert [c["name"] for c in now["spec"]["template"]["spec"]["containers"]] == ["eni-manager", "ipam", "netconf"]
