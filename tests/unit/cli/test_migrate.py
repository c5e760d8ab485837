"""vpccni migrate over DaemonSets as they are found: what is carried over, what is not, and that the chart takes the result."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from vpccni_chart import manifest
from vpccni_cli.errors import UsageError
from vpccni_cli.main import main
from vpccni_cli.migration import facts, plan, render, workload
from vpccni_cli.migration.original_env import ORIGINAL, RENAMED
from vpccni_cli.migration.verdict import Outcome
from vpccni_eni_manager import settings as eni_manager
from vpccni_install import settings as install
from vpccni_ipam import settings as ipam

FOLDER = Path(__file__).parent / "daemonsets"
FILES = {path.stem: path for path in sorted(FOLDER.iterdir())}
HELM = manifest.find_helm()
_TAKES = "it takes its default '9001', or does not start"


def read(name: str) -> workload.Original:
    return workload.read(yaml.safe_load_all(FILES[name].read_text()))


def known(*, not_yet: tuple[str, ...] = ()) -> facts.Facts:
    """This version's facts, but one variable of the original that nobody reads, and no others than ``not_yet`` without effect:
    which those are changes from version to version."""
    absent = {
        "services": [],
        "kind": "String",
        "checks": [{"pattern": "^(0|F|f|false)$", "message": "not in this version"}],
    }
    loaded = facts.load()
    settings = {name: {**row, "notYet": name in not_yet} for name, row in loaded.settings.items()}
    return dataclasses.replace(loaded, settings={**settings, "ENABLE_MULTI_NIC": absent})


def made(name: str) -> plan.Plan:
    return plan.make(read(name), known())


def outcomes(name: str) -> dict[str, tuple[Outcome, str]]:
    return {verdict.subject: (verdict.outcome, verdict.why) for verdict in made(name).verdicts}


def daemonset(env: dict[str, str], image: str = "example.org/amazon-k8s-cni:v1.23.1", **spec: Any) -> dict[str, Any]:
    container = {"name": "aws-node", "image": image, "env": [{"name": k, "value": v} for k, v in env.items()]}
    pod = {"hostNetwork": True, "serviceAccountName": "aws-node", "containers": [container], **spec}
    template = {"metadata": {"labels": {"k8s-app": "aws-node"}}, "spec": pod}
    selector = {"matchLabels": {"k8s-app": "aws-node"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "aws-node"},
        "spec": {"selector": selector, "template": template},
    }


def plan_of(env: dict[str, str], **spec: Any) -> plan.Plan:
    return plan.make(workload.read([daemonset(env, **spec)]), facts.load())


@pytest.mark.parametrize("name", FILES)
def test_every_variable_has_exactly_one_verdict(name: str) -> None:
    original = read(name)
    subjects = [verdict.subject for verdict in made(name).verdicts]
    for variable in original.daemon_env:
        assert sum(bool(re.match(rf"env\.{re.escape(variable.name)}(=|$)", subject)) for subject in subjects) == 1
    for variable in original.init_env:
        assert sum(subject.startswith(f"init env.{variable.name}=") for subject in subjects) == 1


@pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")
@pytest.mark.parametrize("name", [name for name in FILES if not made(name).of(Outcome.REFUSED)])
def test_the_chart_takes_the_values_and_the_containers_get_the_same_settings(name: str) -> None:
    assert HELM is not None
    objects = manifest.objects(HELM, yaml.safe_load(render.values(made(name))))
    (rendered,) = [thing for thing in objects if thing["kind"] == "DaemonSet"]
    pod = rendered["spec"]["template"]["spec"]
    got = {item["name"]: item.get("value") for c in (*pod["containers"], *pod["initContainers"]) for item in c["env"]}
    for variable in read(name).daemon_env:
        if facts.load().readers(variable.name) and variable.source is None and variable.name not in RENAMED:
            assert got[variable.name] == variable.value


@pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")
def test_what_was_refused_is_not_in_the_values() -> None:
    assert HELM is not None
    values = yaml.safe_load(render.values(made("kubectl_1_23_everything")))
    assert "ENABLE_MULTI_NIC" not in values["env"]
    values["env"]["ENABLE_IPv6"] = "false"  # the one decision that the report asks for before the chart can take it
    manifest.objects(HELM, values)


def test_eks_addon_is_carried_over_whole() -> None:
    assert made("eks_addon_1_18").of(Outcome.REFUSED) == []
    assert made("eks_addon_1_18").values["originalMatchLabels"] is True
    assert any("delete-addon" in line and not line.startswith("#") for line in made("eks_addon_1_18").commands)
    assert any("--cascade=orphan" in line for line in made("eks_addon_1_18").commands)


def test_helm_release_is_upgraded_in_place() -> None:
    found = made("helm_1_12_custom_networking")
    assert "originalMatchLabels" not in found.values
    assert "helm -n kube-system upgrade cni CHART -f values.yaml" in found.commands
    assert not any("delete" in line for line in found.commands)
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/cni"}
    assert found.values["serviceAccount"] == {"annotations": role}
    assert (found.values["enableWindowsIpam"], found.values["branchENICooldown"]) == ("true", "90")
    assert "warmWindowsIPTarget" not in found.values
    assert found.values["env"]["DISABLE_TCP_EARLY_DEMUX"] == "true"


def test_a_feature_that_the_running_version_did_not_have_stays_off() -> None:
    assert made("helm_1_12_custom_networking").values["env"]["ENABLE_SUBNET_DISCOVERY"] == "false"
    assert made("eks_addon_1_18").values["env"]["ENABLE_SUBNET_DISCOVERY"] == "true"
    assert "ENABLE_SUBNET_DISCOVERY" not in made("kubectl_1_23_everything").values["env"]


def test_everything_at_once() -> None:
    found = outcomes("kubectl_1_23_everything")
    assert found["env.ENABLE_MULTI_NIC='true'"] == (Outcome.REFUSED, "not in this version")
    assert found["env.AWS_VPC_K8S_CNI_BACKING_STORE='/data/ipam.json'"][0] is Outcome.REFUSED
    assert found["env.AWS_VPC_ENI_MTU='jumbo'"] == (
        Outcome.MAPPED,
        f"not an integer; allowed: 576 to 9001; malformed for the original too ({_TAKES}): left out",
    )
    assert found["env.ENABLE_NFTABLES='true'"][0] is Outcome.SAME
    assert found["container aws-eks-nodeagent with network policies on"][0] is Outcome.REFUSED
    assert found["container log-shipper"][0] is Outcome.REFUSED
    assert found["ConfigMap amazon-vpc-cni some-new-key='1'"][0] is Outcome.REFUSED
    values = made("kubectl_1_23_everything").values
    assert values["env"]["AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS"] == "10.0.0.0/8,172.16.0.0/12"
    assert "AWS_VPC_ENI_MTU" not in values["env"]
    assert [item["name"] for item in values["eniManager"]["extraEnv"]] == ["AWS_SECRET_ACCESS_KEY"]
    assert [item["name"] for item in values["extraEnv"]] == ["COMPANY_LABEL"]
    assert values["cniBinDir"] == "/home/kubernetes/bin"
    assert [volume["name"] for volume in values["extraVolumes"]] == ["ca"]


def test_impossible_combinations_are_named_before_the_pods_crash() -> None:
    refused = [verdict.why for verdict in made("own_conflist_by_digest").of(Outcome.REFUSED)]
    assert refused == [message for message in refused if message.startswith("ENABLE_PREFIX_DELEGATION=true and")]
    assert len(refused) == 1


def test_what_has_no_effect_yet_is_refused() -> None:
    found = plan.make(read("helm_1_12_custom_networking"), known(not_yet=("ENABLE_POD_ENI", "ANNOTATE_POD_IP")))
    (verdict,) = found.of(Outcome.REFUSED)
    assert verdict.subject == "env.ENABLE_POD_ENI='true'"
    assert verdict.why == "security groups for pods: this version reads it, and does not do it yet"
    assert "ENABLE_POD_ENI" not in found.values["env"]
    off = plan.make(
        read("eks_addon_1_18"), known(not_yet=("ENABLE_POD_ENI", "ANNOTATE_POD_IP", "NETWORK_POLICY_ENFORCING_MODE"))
    )
    assert off.of(Outcome.REFUSED) == []


def test_init_and_daemon_that_contradict_each_other_are_refused() -> None:
    inits = [{"name": "aws-vpc-cni-init", "env": [{"name": "ENABLE_IPv6", "value": "true"}]}]
    found = plan_of({"ENABLE_IPv4": "true", "ENABLE_IPv6": "false"}, initContainers=inits)
    assert [verdict.subject for verdict in found.of(Outcome.REFUSED)] == ["init env.ENABLE_IPv6='true'"]


def test_own_conflist() -> None:
    assert made("own_conflist_by_digest").values["cniConfig"]["enabled"] is True
    without = [d for d in yaml.safe_load_all(FILES["own_conflist_by_digest"].read_text()) if d["kind"] == "DaemonSet"]
    found = plan.make(workload.read(without), facts.load())
    assert "own conflist" in [verdict.subject for verdict in found.of(Outcome.REFUSED)]


def test_an_unknown_version_is_said() -> None:
    assert any("cannot be told" in statement for statement in made("own_conflist_by_digest").running_pods)


@pytest.mark.parametrize(
    ("image", "variables", "version"),
    [
        ("a.dkr.ecr.x.amazonaws.com/amazon-k8s-cni:v1.18.3-eksbuild.2", {}, (1, 18)),
        ("example.org:5000/cni", {"VPC_CNI_VERSION": "v1.14.1"}, (1, 14)),
        ("example.org/cni:latest", {}, None),
        ("example.org/cni:v1.20.0@sha256:00", {"VPC_CNI_VERSION": "v1.14.1"}, (1, 20)),
    ],
)
def test_version(image: str, variables: dict[str, str], version: tuple[int, int] | None) -> None:
    assert workload.read([daemonset(variables, image)]).version == version


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([], "it holds nothing"),
        ([{"kind": "Pod", "metadata": {"name": "x"}}], "it holds Pod/x"),
        (["text"], "not a Kubernetes object"),
        ([daemonset({}, "602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.11.4")], "before 1.12"),
        ([{"kind": "DaemonSet", "metadata": {"name": "aws-node"}, "spec": {}}], "no usable spec"),
    ],
)
def test_input_that_is_no_use(documents: list[Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        workload.read(documents)


def test_our_own_daemonset_is_not_migrated_again() -> None:
    manifest_text = (Path(manifest.CHART).parents[1] / "manifests/aws-k8s-cni.yaml").read_text()
    with pytest.raises(UsageError, match="is ours already"):
        workload.read(yaml.safe_load_all(manifest_text))


def test_defaults_of_the_original_are_ours() -> None:
    """What a user leaves unset must mean the same; where it does not, a line here says why that is harmless."""
    ours = {s.name: s.default for s in (*install.ALL, *eni_manager.ALL, *ipam.SETTINGS)}
    differs = {
        "WARM_PREFIX_TARGET",  # 1 as in the original's manifest; 0 is refused there and here
        "POD_MTU",  # empty: that of the ENI
        "ADDITIONAL_ENI_TAGS",  # empty either way
        "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS",
        "AWS_EXTERNAL_SERVICE_CIDRS",
        "NETWORK_POLICY_ENFORCING_MODE",  # only the policy agent's: no agent is called
    }
    for name in ORIGINAL.keys() & ours.keys() - differs:
        default = ours[name]
        text = str(default).lower() if isinstance(default, bool) else str(default)
        number = hex(default) if name == "AWS_VPC_K8S_CNI_CONNMARK" and isinstance(default, int) else text
        assert number == ORIGINAL[name].default, name


# The command.


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["migrate", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_status_tells_whether_something_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, str(FILES["eks_addon_1_18"]))[0] == 0
    status, out, err = run(capsys, str(FILES["kubectl_1_23_everything"]))
    assert status == 1
    assert "refused: env.AWS_VPC_K8S_CNI_BACKING_STORE='/data/ipam.json'" in err
    assert yaml.safe_load(out)["env"]["ENABLE_V6_EGRESS"] == "true"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "-o", "json", str(FILES["ipv6_1_16"]))
    found = json.loads(out)
    assert found["from"] == {"daemonSet": "aws-node", "namespace": "kube-system", "version": "v1.16.0"}
    assert {v["outcome"] for v in found["verdicts"]} == {"same", "mapped"}


def test_report_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "-o", "report", str(FILES["eks_addon_1_18"]))
    text, _, steps = out.partition("STEPS")
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "kubectl" in steps


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(FILES["ipv6_1_16"].read_text()))
    assert run(capsys, "-")[0] == 0


@pytest.mark.parametrize("content", [":\n  - [", "\x00"])
def test_neither_yaml_nor_json(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    status, out, err = run(capsys, str(path))
    assert (status, out) == (2, "")
    assert "neither YAML nor JSON" in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, str(tmp_path / "none"))[0] == 2


def test_asks_the_cluster_by_kubectl(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/args\ncat {FILES["helm_1_12_custom_networking"]}\n')
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run(capsys, "--context", "prod", "-n", "net")[0] in (0, 1)
    asked = (tmp_path / "args").read_text()
    assert asked.startswith("--context prod -n net get daemonset/aws-node serviceaccount/aws-node")
    assert "--show-managed-fields" in asked


def test_a_cluster_that_does_not_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'connection refused' >&2\nexit 1\n")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    status, _, err = run(capsys)
    assert status == 2
    assert "kubectl: connection refused" in err
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "no kubectl on the PATH" in run(capsys)[2]
