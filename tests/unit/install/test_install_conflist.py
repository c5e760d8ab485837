"""The generated conflist: the original's template, and what each setting changes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vpccni_install import settings, write_conflist
from vpccni_kit.settings import read

NONE = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}


def generated(tmp_path: Path, **environ: str) -> dict[str, Any]:
    values = read(settings.ALL, {**NONE, "VPCCNI_CONFLIST_FILE": str(tmp_path / "own"), **environ})
    return dict(json.loads(write_conflist.text(values)))


def test_default_is_the_originals_template(tmp_path: Path) -> None:
    assert generated(tmp_path) == {
        "cniVersion": "0.4.0",
        "name": "aws-cni",
        "disableCheck": True,
        "plugins": [
            {
                "name": "aws-cni",
                "type": "aws-cni",
                "vethPrefix": "eni",
                "mtu": "9001",
                "podSGEnforcingMode": "strict",
                "pluginLogFile": "/var/log/aws-routed-eni/plugin.log",
                "pluginLogLevel": "DEBUG",
                "ipamWaitSeconds": "60",
                "capabilities": {"io.kubernetes.cri.pod-annotations": True},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


@pytest.mark.parametrize(
    ("environ", "field", "value"),
    [
        ({"AWS_VPC_ENI_MTU": "1500"}, "mtu", "1500"),
        ({"AWS_VPC_ENI_MTU": "9001", "POD_MTU": "1400"}, "mtu", "1400"),
        ({"POD_MTU": "abc"}, "mtu", "9001"),
        ({"POD_MTU": "9002"}, "mtu", "9001"),
        ({"POD_MTU": "575"}, "mtu", "9001"),
        ({"POD_MTU": "576"}, "mtu", "576"),
        ({"POD_MTU": "1000", "ENABLE_IPv6": "true", "ENABLE_V4_EGRESS": "false"}, "mtu", "1280"),
        ({"AWS_VPC_K8S_CNI_VETHPREFIX": "abcd"}, "vethPrefix", "abcd"),
        ({"AWS_VPC_K8S_CNI_VETHPREFIX": "abcde"}, "vethPrefix", "eni"),
        ({"AWS_VPC_K8S_CNI_VETHPREFIX": "vlan"}, "vethPrefix", "eni"),
        ({"POD_SECURITY_GROUP_ENFORCING_MODE": "standard"}, "podSGEnforcingMode", "standard"),
        ({"POD_SECURITY_GROUP_ENFORCING_MODE": "lax"}, "podSGEnforcingMode", "strict"),
        ({"AWS_VPC_K8S_PLUGIN_LOG_FILE": "stderr"}, "pluginLogFile", "stderr"),
        ({"AWS_VPC_K8S_PLUGIN_LOG_FILE": "stdout"}, "pluginLogFile", "/var/log/aws-routed-eni/plugin.log"),
        ({"AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "warn"}, "pluginLogLevel", "WARN"),
        ({"AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "loud"}, "pluginLogLevel", "DEBUG"),
        ({"VPCCNI_IPAM_WAIT": "0"}, "ipamWaitSeconds", "0"),
    ],
)
def test_fields(tmp_path: Path, environ: dict[str, str], field: str, value: str) -> None:
    assert generated(tmp_path, **environ)["plugins"][0][field] == value


def test_chained_plugins_in_order(tmp_path: Path) -> None:
    whole = generated(tmp_path, ENABLE_BANDWIDTH_PLUGIN="true", DISABLE_POD_V6="true")
    assert [plugin["type"] for plugin in whole["plugins"]] == ["aws-cni", "portmap", "bandwidth", "tuning"]
    assert whole["plugins"][2]["capabilities"] == {"bandwidth": True}
    assert whole["plugins"][3]["sysctl"] == {
        f"net.ipv6.conf.{scope}.disable_ipv6": "1" for scope in ("all", "default", "lo")
    }


@pytest.mark.parametrize("environ", [{"ENABLE_IPv6": "true"}, {"ENABLE_V6_EGRESS": "true"}])
def test_egress_needs_no_plugin_of_its_own(tmp_path: Path, environ: dict[str, str]) -> None:
    assert [plugin["type"] for plugin in generated(tmp_path, **environ)["plugins"]] == ["aws-cni", "portmap"]


def test_own_conflist_is_taken_as_it_is(tmp_path: Path) -> None:
    text = '{"cniVersion": "1.0.0", "name": "mine", "plugins": [{"type": "aws-cni"}]}'
    (tmp_path / "own").write_text(text)
    values = read(settings.ALL, {"VPCCNI_CONFLIST_FILE": str(tmp_path / "own")})
    assert write_conflist.text(values) == text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', '{"plugins": []}', '{"name": "x", "plugins": {}}'])
def test_own_conflist_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own").write_text(text)
    with pytest.raises(ValueError, match=r"not JSON|not a network list"):
        write_conflist.text(read(settings.ALL, {"VPCCNI_CONFLIST_FILE": str(tmp_path / "own")}))
