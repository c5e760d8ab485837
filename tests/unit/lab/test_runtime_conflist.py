"""Network configuration lists: what is accepted, which version is settled on, what a plugin is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab.runtime import conflist
from vpccni_lab.runtime.conflist import Attachment

PLUGIN = {"type": "p"}


def parsed(**fields: Any) -> conflist.ConfList:
    return conflist.parse(json.dumps({"name": "net", "cniVersion": "1.0.0", "plugins": [PLUGIN], **fields}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        ('{"plugins":[{"type":"p"}]}', "name = None"),
        ('{"name":"n","plugins":[]}', "plugins of network n"),
        ('{"name":"n","plugins":[{"type":"../p"}]}', "plugins[0].type"),
        ('{"name":"n","plugins":[{}]}', "plugins[0].type"),
        ('{"name":"n","cniVersion":"9.0.0","plugins":[{"type":"p"}]}', "9.0.0"),
        ('{"name":"n","disableCheck":"maybe","plugins":[{"type":"p"}]}', "disableCheck"),
    ],
)
def test_bad_lists_are_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ReasonError) as caught:
        conflist.parse(text)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("version", "versions", "settled"),
    [
        ("0.4.0", [], "0.4.0"),
        ("0.4.0", ["1.0.0", "1.1.0"], "1.1.0"),
        ("1.0.0", ["2.0.0", "0.4.0"], "1.0.0"),
        ("9.0.0", ["0.3.1"], "0.3.1"),
    ],
)
def test_the_highest_version_that_both_know(version: str, versions: list[str], settled: str) -> None:
    assert parsed(cniVersion=version, cniVersions=versions).cni_version == settled


def test_a_single_plugin_is_a_list_of_one() -> None:
    conf = conflist.parse('{"name":"n","cniVersion":"0.4.0","type":"p","mtu":9}')
    assert conf.plugins == ({"type": "p", "mtu": 9},)
    assert conf.at_least("0.4.0") and not conf.at_least("1.0.0")


def test_a_plugin_gets_the_capabilities_that_it_declares_and_no_declarations() -> None:
    plugin = {"type": "p", "x": 1, "capabilities": {"portMappings": True, "bandwidth": False}}
    attachment = Attachment("c", "/n", capability_args={"portMappings": [1], "bandwidth": 2, "ips": 3})
    given = conflist.plugin_config(parsed(), plugin, attachment, {"ips": []})
    assert given == {
        "type": "p",
        "x": 1,
        "name": "net",
        "cniVersion": "1.0.0",
        "runtimeConfig": {"portMappings": [1]},
        "prevResult": {"ips": []},
    }


def test_gc_names_the_attachments_that_stay() -> None:
    given = conflist.gc_config(parsed(cniVersion="1.1.0"), PLUGIN, [Attachment("c1", "/n", "eth0")])
    assert given["cni.dev/valid-attachments"] == [{"containerID": "c1", "ifname": "eth0"}]


def test_arguments_keep_their_order() -> None:
    assert Attachment("c", "/n", args=(("B", "2"), ("A", "1"))).cni_args == "B=2;A=1"
