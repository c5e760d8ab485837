"""The ClusterRole and the IAM page against the calls that the code contains."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from vpccni_chart import api_calls, iam, manifest
from vpccni_chart.__main__ import REPO
from vpccni_eni_manager.adapters.ec2_model import ACTIONS

HELM = manifest.find_helm()
with_helm = pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")
# What a setting alone needs: its calls may not be granted while it is off.
OPTIONAL = {("patch", "nodes"): {"VPCCNI_STARTUP_TAINT": "vpccni.example.org/not-ready"}}
Grants = set[tuple[str, str]]


def granted(env: dict[str, Any], **values: Any) -> Grants:
    assert HELM is not None
    (role,) = [thing for thing in manifest.objects(HELM, {"env": env, **values}) if thing["kind"] == "ClusterRole"]
    return {
        (verb, resource) for rule in role["rules"] for resource in rule.get("resources", ()) for verb in rule["verbs"]
    }


@with_helm
def test_by_default_exactly_what_the_code_calls() -> None:
    assert granted({}) == api_calls.kubernetes_calls() - OPTIONAL.keys()


@with_helm
@pytest.mark.parametrize("call", OPTIONAL)
def test_what_only_a_setting_needs_comes_with_the_setting(call: tuple[str, str]) -> None:
    assert call in api_calls.kubernetes_calls()
    assert granted(OPTIONAL[call]) == granted({}) | {call}


@with_helm
def test_settings_of_the_original_that_need_more() -> None:
    plain = granted({"ANNOTATE_POD_IP": "false", "ENABLE_POD_ENI": "false"})
    assert plain == granted({})
    assert granted({"ANNOTATE_POD_IP": "true"}) - plain == {("get", "pods"), ("patch", "pods")}
    custom = granted({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "1"}) - plain
    assert custom == {(verb, "eniconfigs") for verb in ("get", "list", "watch")}
    pod_eni = granted({"ENABLE_POD_ENI": True}) - plain
    assert pod_eni == {
        *((verb, "cninodes") for verb in ("get", "list", "watch", "patch")),
        *((verb, "pods") for verb in ("get", "list", "watch")),
    }


@with_helm
def test_the_agent_s_rules_come_with_the_agent() -> None:
    assert ("watch", "policyendpoints") in granted({}, nodeAgent={"enabled": True}) - granted({})


@with_helm
@pytest.mark.parametrize("forbidden", ["secrets", "configmaps", "*"])
def test_never(forbidden: str) -> None:
    everything = {"ANNOTATE_POD_IP": True, "ENABLE_POD_ENI": True, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": True}
    found = granted(everything, nodeAgent={"enabled": True})
    assert not {call for call in found if forbidden in call}


def test_the_calls_are_found_in_the_code() -> None:
    assert api_calls.ec2_actions() == set(ACTIONS)
    assert ("get", "nodes") in api_calls.kubernetes_calls()


def blocks() -> list[dict[str, Any]]:
    text = (REPO / "docs/iam-policy.md").read_text()
    return [json.loads(found) for found in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def actions_of(policy: dict[str, Any]) -> set[str]:
    return {action.removeprefix("ec2:") for statement in policy["Statement"] for action in statement["Action"]}


def test_the_policies_allow_what_is_called_and_nothing_else() -> None:
    v4, v6, scoped = blocks()
    called = api_calls.ec2_actions()
    ipv6_only = {name for name in called if "Ipv6" in name}
    ipv4_only = {name for name in called if "PrivateIp" in name}
    assert actions_of(v4) == called - ipv6_only
    assert actions_of(v6) == called - ipv4_only
    assert actions_of(scoped) == called


def test_the_scoped_policy_lets_nothing_change_without_a_condition() -> None:
    _, _, scoped = blocks()
    for statement in scoped["Statement"]:
        changes = [action for action in statement["Action"] if not action.startswith("ec2:Describe")]
        assert not changes or ("Condition" in statement and statement["Resource"] != "*")
    sids = [statement["Sid"] for statement in scoped["Statement"]]
    assert len(sids) == len(set(sids))


def test_every_resource_type_of_an_action_is_in_the_scoped_policy() -> None:
    _, _, scoped = blocks()
    for name, action in iam.ACTIONS.items():
        resources = [s["Resource"] for s in scoped["Statement"] if f"ec2:{name}" in s["Action"]]
        kinds = {arn.split(":")[-1].removesuffix("/*") for r in resources for arn in ([r] if isinstance(r, str) else r)}
        assert kinds == (set(action.needs) or {"*"}), name
