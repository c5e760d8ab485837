"""What the chart refuses, by its schema and by its templates: both in the services' own words."""

from __future__ import annotations

from typing import Any

import pytest
from vpccni_api.reasons import ReasonError
from vpccni_chart import manifest
from vpccni_eni_manager import settings as eni_manager
from vpccni_ipam import load_settings
from vpccni_ipam import settings as ipam
from vpccni_kit.settings import read

HELM = manifest.find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="helm is not here (make e2e builds it)")

MALFORMED = {
    "WARM_ENI_TARGET": "abc",
    "WARM_IP_TARGET": "2O",
    "AWS_VPC_ENI_MTU": "10000",
    "ENABLE_PREFIX_DELEGATION": "TrUe",
    "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "PRNG",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "TRACE",
    "AWS_VPC_K8S_CNI_CONNMARK": "0x1ffffffff",
    "ADDITIONAL_ENI_TAGS": "[1]",
}
COMBINATIONS: list[dict[str, str]] = [
    {"ENABLE_IPv6": "true", "ENABLE_PREFIX_DELEGATION": "1"},
    {"ENABLE_IPv4": "F"},
    {"ENABLE_IPv4": "false", "ENABLE_IPv6": "t"},
    {
        "ENABLE_IPv4": "false",
        "ENABLE_IPv6": "true",
        "ENABLE_PREFIX_DELEGATION": "true",
        "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
    },
    {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0", "WARM_IP_TARGET": "-1"},
]


def refused(values: dict[str, Any], *arguments: str) -> str:
    """What helm says, on one line."""
    assert HELM is not None
    done = manifest.template(HELM, values, *arguments)
    assert done.returncode != 0, done.stdout
    return done.stderr.replace("\\'", "'")


def said(name: str, value: str) -> str:
    """What the service says of the value, or of the list's bad item."""
    settings = [*ipam.SETTINGS, *eni_manager.ALL]
    (bad,) = {item.problem for item in read(settings, {name: value}).bad}
    return bad


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_values_in_the_service_s_words(name: str) -> None:
    values = {"env": {name: MALFORMED[name]}}
    message = said(name, MALFORMED[name])

    assert f"value must be '{message}'" in refused(values)
    shown = MALFORMED[name].replace('"', '\\"')
    assert f'env.{name}="{shown}": {message}' in refused(values, "--skip-schema-validation")


def test_all_of_them_at_once() -> None:
    text = refused({"env": MALFORMED}, "--skip-schema-validation")
    assert sum(line.startswith("  - env.") for line in text.splitlines()) == len(MALFORMED)


@pytest.mark.parametrize("env", COMBINATIONS)
def test_impossible_combinations_in_ipam_s_words(env: dict[str, str]) -> None:
    with pytest.raises(ReasonError) as refusal:
        load_settings.load(env)
    by_schema, by_templates = refused({"env": env}), refused({"env": env}, "--skip-schema-validation")
    for message in refusal.value.message.split("; "):
        assert f"missing property '{message}'" in by_schema
        assert f"  - {message}\n" in by_templates


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"env": {"WARM_IP_TRAGET": "5"}}, "additional properties 'WARM_IP_TRAGET' not allowed"),
    ({"env": {"AWS_VPC_K8S_CNI_EXTERNALSNATT": "true"}}, "not allowed"),
    ({"env": {"MY_NODE_NAME": "x"}}, "not allowed"),
    ({"env": {"WARM_ENI_TARGET": -1}}, "minimum: got -1, want 0"),
    ({"env": {"AWS_VPC_ENI_MTU": 9002}}, "maximum: got 9,002, want 9,001"),
    ({"env": {"ENABLE_NFTABLES": "maybe"}}, "this version does not have it (nftables mode; no effect)"),
    ({"env": {"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "10.0.0.0/8,fd00::/8"}}, "not an IPv4 CIDR, skipped"),
    ({"env": {"AWS_VPC_K8S_CNI_VETHPREFIX": "vlan"}}, "not eth, lo, vlan"),
    ({"env": {"AWS_VPC_K8S_PLUGIN_LOG_FILE": "stdout"}}, "stdout carries the CNI result"),
    ({"netconf": {"capabilities": ["NET_ADMIN", "SYS_MODULE"]}}, "/netconf/capabilities/1"),
    ({"eniConfig": {"create": True, "subnets": {"a": {"id": "vpc-1"}}}}, "/eniConfig/subnets/a/id"),
    ({"crd": {"create": False}}, "additional properties 'crd' not allowed"),
    ({"ipam": {"healthPort": 0}}, "/ipam/healthPort"),
    ({"updateStrategy": {"type": "Recreate"}}, "/updateStrategy/type"),
    # From here on by the templates: well formed, and still impossible.
    ({"image": {"override": "example.org/cni:1"}}, "image.override names one image, there are three services"),
    ({"image": {"overrideRepository": "example.org/cni"}}, "use image.registry"),
    ({"image": {"account": "602401143452"}}, "is AWS's registry, which does not hold these images"),
    ({"image": {"tag": "v1.23.1"}}, 'image.tag="v1.23.1" is a tag of the original'),
    ({"init": {"image": {"tag": "v1.18.0-eksbuild.1"}}}, "is a tag of the original"),
    ({"securityContext": {"privileged": True}}, "securityContext is per container here"),
    ({"livenessProbe": {"exec": {"command": ["/bin/true"]}}}, 'livenessProbe.exec="/bin/true"'),
    ({"cniConfig": {"enabled": True}}, "cniConfig.enabled=true needs cniConfig.fileContents"),
    ({"netconf": {"healthPort": 61680}}, "are both 61680: all containers share the host's ports"),
    ({"uninstall": {"state": True}}, "need uninstall.clean=true"),
    ({"uninstall": {"rules": True}}, "need uninstall.clean=true"),
    ({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, "two pods of a node cannot share the host's ports"),
    ({"init": {"env": {"ENABLE_IPv6": "true"}}}, "differ: it is one setting; set it in env"),
    (
        {"init": {"env": {"ENABLE_BANDWIDTH_PLUGIN": "maybe"}}},
        'init.env.ENABLE_BANDWIDTH_PLUGIN="maybe": not a boolean',
    ),
    ({"extraEnv": [{"name": "MAX_ENI", "value": "many"}]}, 'extraEnv.MAX_ENI="many": not an integer'),
    ({"extraEnv": [{"name": "VPCCNI_IPAM_HEALTH_PORT", "value": "1"}]}, "set by the chart; use ipam.healthPort"),
    ({"netconf": {"extraEnv": [{"name": "AWS_SESSION_TOKEN", "value": "x"}]}}, "credentials are for eni-manager only"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_refused(values: dict[str, Any], message: str) -> None:
    assert message in refused(values)


def test_empty_means_unset() -> None:
    assert HELM is not None
    names = [*MALFORMED, "ENABLE_NFTABLES", "WARM_PREFIX_TARGET", "CLUSTER_NAME"]
    manifest.objects(HELM, {"env": dict.fromkeys(names, "")})
