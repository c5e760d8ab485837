"""The ClusterRole and the IAM page against the calls that the code contains."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from vpccni_chart import api_calls, iam, manifest
from vpccni_chart.__main__ import REPO
from vpccni_eni_manager.adapters.ec2_model import ACTIONS

HELM = manifest.find_helm()
with_helm = pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")
NEEDS = api_calls.kubernetes_calls()
SETTINGS = [name for name in NEEDS if name]


def granted(env: dict[str, Any], **values: Any) -> set[api_calls.Call]:
    assert HELM is not None
    (role,) = [thing for thing in manifest.objects(HELM, {"env": env, **values}) if thing["kind"] == "ClusterRole"]
    return {
        (verb, group, resource)
        for rule in role["rules"]
        for resource in rule.get("resources", ())
        for group in rule.get("apiGroups", ())
        for verb in rule["verbs"]
    }


def on(names: Iterable[str]) -> dict[str, Any]:
    return {name: "example.org/not-ready" if name == "VPCCNI_STARTUP_TAINT" else "true" for name in names}


@with_helm
@pytest.mark.parametrize(
    "names", [(), *((name,) for name in SETTINGS), tuple(SETTINGS)], ids=lambda n: "+".join(n) or "none"
)
def test_exactly_what_the_settings_that_are_on_need(names: tuple[str, ...]) -> None:
    needed = NEEDS[""].union(*(NEEDS[name] for name in names))
    assert granted(on(names)) == needed


@with_helm
def test_off_in_any_spelling_adds_nothing() -> None:
    flags = [name for name in SETTINGS if name != "VPCCNI_STARTUP_TAINT"]
    for off in ("false", "0", "F", ""):
        assert granted(dict.fromkeys(flags, off)) == NEEDS[""]


@with_helm
def test_the_agent_s_rules_come_with_the_agent() -> None:
    assert ("watch", "networking.k8s.aws", "policyendpoints") in granted({}, nodeAgent={"enabled": True}) - granted({})


@with_helm
@pytest.mark.parametrize("forbidden", ["secrets", "configmaps", "*"])
def test_never(forbidden: str) -> None:
    found = granted(on(SETTINGS), nodeAgent={"enabled": True})
    assert not {call for call in found if forbidden in call}


def test_the_calls_are_found_in_the_code() -> None:
    assert api_calls.ec2_actions() == set(ACTIONS)
    assert NEEDS["VPCCNI_STARTUP_TAINT"] == {("get", "", "nodes"), ("patch", "", "nodes")}


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
