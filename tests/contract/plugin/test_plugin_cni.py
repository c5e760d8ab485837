"""The plugin as a runtime sees it: verbs, results, errors, log and DEL queue. Each test runs the source and the binary."""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from vpccni_api.ipam.v1 import ipam_pb2
from vpccni_api.reasons import REASON_INFO, Reason
from vpccni_api.version import VERSION

VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
CONTAINER_ID = "a3f1" * 16
PREV_RESULT = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "enicc21c2d7785"},
        {"name": "eth0", "mac": "3", "sandbox": "/run/netns/x", "mtu": 9001},
        {"name": "dummycc21c2d7785", "mac": "0", "sandbox": "2"},
    ],
    "ips": [{"interface": 1, "address": "10.0.2.33/32"}],
    "routes": [{"dst": "0.0.0.0/0", "priority": 7}],
    "dns": {},
}
PREV_MESSAGE = ipam_pb2.CniResult(
    interfaces=[
        ipam_pb2.ResultInterface(name="enicc21c2d7785"),
        ipam_pb2.ResultInterface(name="eth0", mac="3", sandbox="/run/netns/x"),
        ipam_pb2.ResultInterface(name="dummycc21c2d7785", mac="0", sandbox="2"),
    ],
    ips=[ipam_pb2.ResultIp(address="10.0.2.33/32", interface=1)],
)


def check_pod_request(request: Any, netns: str = "/proc/self/ns/net") -> None:
    assert request.key == ipam_pb2.PodInterface(network_name="aws-cni", container_id=CONTAINER_ID, ifname="eth0")
    assert request.pod == ipam_pb2.PodIdentity(
        namespace="default", name="sample-pod", uid="uid-1", infra_container_id="infra-1"
    )
    assert request.netns == netns
    assert request.conf == ipam_pb2.PodNetConf(veth_prefix="eni", mtu=9001, sg_enforcing_mode="strict")
    assert request.plugin_version == VERSION
    assert request.started_unix_ns > 1_700_000_000 * 10**9


class TestVerbs:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_add_prints_the_result_of_its_version(self, plugin: Any, ipam: Any, version: str) -> None:
        outcome = plugin.run("ADD", plugin.config(cniVersion=version))
        address = {"interface": 1, "address": "10.0.2.33/32"}
        assert outcome.json == {
            "cniVersion": version,
            "interfaces": [
                {"name": "enicc21c2d7785"},
                {"name": "eth0", "mac": "3", "sandbox": "/proc/self/ns/net"},
                {"name": "dummycc21c2d7785", "mac": "0", "sandbox": "2"},
            ],
            "ips": [{"version": "4", **address} if version.startswith("0.") else address],
            "dns": {},
        }
        assert (outcome.status, outcome.stderr) == (0, b"")
        ((method, request, metadata, remaining),) = ipam.calls
        assert method == "AddPod"
        check_pod_request(request)
        assert metadata["traceparent"].startswith(f"00-{CONTAINER_ID[:32]}-")
        assert "vpccni-parent" not in metadata
        assert 50 < remaining <= 60

    def test_add_with_ipv6_and_gateway(self, plugin: Any, ipam: Any) -> None:
        ipam.answers["AddPod"].result.ips[0].address = "2600::2/128"
        ipam.answers["AddPod"].result.ips[0].gateway = "fe80:ec2::1"
        outcome = plugin.run("ADD", plugin.config(cniVersion="0.4.0"))
        assert outcome.json["ips"] == [
            {"version": "6", "interface": 1, "address": "2600::2/128", "gateway": "fe80:ec2::1"}
        ]

    @pytest.mark.parametrize(
        "runtime_config, asked",
        [
            ({"io.kubernetes.cri.pod-annotations": {"k8s.amazonaws.com/nicConfig": "multi-nic-attachment"}}, True),
            ({"io.kubernetes.cri.pod-annotations": {"k8s.amazonaws.com/nicConfig": "single"}}, False),
            ({"io.kubernetes.cri.pod-annotations": {"k8s.amazonaws.com/nicConfig": 1}}, False),
            ({"io.kubernetes.cri.pod-annotations": None, "portMappings": []}, False),
            ([], False),
            (None, False),
        ],
    )
    def test_add_of_a_pod_that_asks_for_every_network_card(
        self, plugin: Any, ipam: Any, runtime_config: Any, asked: bool
    ) -> None:
        assert plugin.run("ADD", plugin.config(runtimeConfig=runtime_config)).status == 0
        assert ipam.calls[0][1].multi_nic is asked
        ignored = [line for line in plugin.log_lines() if "nicConfig" in line["msg"]]
        assert [line["value"] for line in ignored] == (["single"] if "single" in str(runtime_config) else [])

    def test_add_prints_every_interface_of_a_pod_on_two_network_cards(self, plugin: Any, ipam: Any) -> None:
        result = ipam.answers["AddPod"].result
        dummy = result.interfaces.pop()
        result.interfaces.add(name="enia0b7655f3c9")
        result.interfaces.add(name="mNicIf1", mac="10101", sandbox="/proc/self/ns/net")
        result.interfaces.append(dummy)
        result.ips.add(address="10.0.3.7/32", interface=3)
        outcome = plugin.run("ADD", plugin.config(cniVersion="1.0.0"))
        assert [item["name"] for item in outcome.json["interfaces"]] == [
            "enicc21c2d7785", "eth0", "enia0b7655f3c9", "mNicIf1", "dummycc21c2d7785",
        ]  # fmt: skip
        assert outcome.json["ips"][1] == {"interface": 3, "address": "10.0.3.7/32"}

    def test_del(self, plugin: Any, ipam: Any) -> None:
        outcome = plugin.run("DEL", plugin.config(prevResult=PREV_RESULT))
        assert (outcome.status, outcome.stdout, outcome.stderr) == (0, b"", b"")
        ((method, request, _, remaining),) = ipam.calls
        assert method == "DelPod"
        check_pod_request(request)
        assert request.prev_result == PREV_MESSAGE
        assert remaining <= 20
        assert not plugin.queue.exists()

    @pytest.mark.parametrize("version", VERSIONS)
    def test_del_without_netns_and_prev_result(self, plugin: Any, ipam: Any, version: str) -> None:
        outcome = plugin.run("DEL", plugin.config(cniVersion=version), CNI_NETNS=None)
        assert outcome.status == 0
        request = ipam.calls[0][1]
        check_pod_request(request, netns="")
        assert not request.HasField("prev_result")

    def test_del_with_a_prev_result_of_another_shape(self, plugin: Any, ipam: Any) -> None:
        """ipam knows the pod without it, and an error would keep the pod Terminating."""
        outcome = plugin.run("DEL", plugin.config(prevResult={"ip4": {"ip": "10.0.0.1/32"}, "interfaces": "none"}))
        assert outcome.status == 0
        assert not ipam.calls[0][1].HasField("prev_result")
        assert "prevResult ignored" in [line["msg"] for line in plugin.log_lines()]

    def test_check(self, plugin: Any, ipam: Any) -> None:
        outcome = plugin.run("CHECK", plugin.config(cniVersion="0.4.0", prevResult=PREV_RESULT))
        assert (outcome.status, outcome.stdout) == (0, b"")
        ((method, request, _, _),) = ipam.calls
        assert (method, request.prev_result) == ("CheckPod", PREV_MESSAGE)

    def test_check_that_differs(self, plugin: Any, ipam: Any) -> None:
        ipam.answers["CheckPod"] = ipam.refusal(
            grpc.StatusCode.FAILED_PRECONDITION, "rule 512 is missing", (("vpccni-reason", "STATE_DIFFERS"),)
        )
        outcome = plugin.run("CHECK", plugin.config(prevResult=PREV_RESULT))
        assert outcome.status == 1
        assert outcome.json["msg"] == "check cmd: STATE_DIFFERS: rule 512 is missing"
        assert outcome.json["code"] == 100

    def test_gc(self, plugin: Any, ipam: Any) -> None:
        kept = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c2", "ifname": "net1"}]
        outcome = plugin.run("GC", plugin.config(**{"cni.dev/valid-attachments": kept}))
        assert (outcome.status, outcome.stdout) == (0, b"")
        assert ipam.calls[0][1] == ipam_pb2.GcRequest(
            network_name="aws-cni",
            plugin_version=VERSION,
            valid_attachments=[
                ipam_pb2.PodInterface(container_id="c1", ifname="eth0"),
                ipam_pb2.PodInterface(container_id="c2", ifname="net1"),
            ],
        )
        assert plugin.log_lines()[-1]["released"] == 2

    @pytest.mark.parametrize("empty", [[], None])
    def test_gc_of_everything(self, plugin: Any, ipam: Any, empty: Any) -> None:
        """``null`` is what Go writes for an empty list."""
        config = {**plugin.config(), "cni.dev/valid-attachments": empty}
        assert plugin.run("GC", config).status == 0
        assert not ipam.calls[0][1].valid_attachments

    def test_gc_of_a_large_node(self, plugin: Any, ipam: Any) -> None:
        """A request past the initial flow control window."""
        kept = [{"containerID": f"{number:064x}", "ifname": "eth0"} for number in range(8000)]
        assert plugin.run("GC", plugin.config(**{"cni.dev/valid-attachments": kept})).status == 0
        assert len(ipam.calls[0][1].valid_attachments) == 8000

    def test_status(self, plugin: Any, ipam: Any) -> None:
        outcome = plugin.run("STATUS", CNI_CONTAINERID=None, CNI_NETNS=None, CNI_IFNAME=None, CNI_ARGS=None)
        assert (outcome.status, outcome.stdout) == (0, b"")
        assert ipam.calls[0][1] == ipam_pb2.StatusRequest(plugin_version=VERSION)

    def test_status_not_available(self, plugin: Any, ipam: Any) -> None:
        ipam.answers["Status"] = ipam.refusal(
            grpc.StatusCode.UNAVAILABLE, "no address yet", (("vpccni-reason", "POOL_WARMING"),)
        )
        outcome = plugin.run("STATUS")
        assert (outcome.status, outcome.json["code"]) == (1, 50)
        assert outcome.json["msg"] == "status cmd: POOL_WARMING: no address yet"

    @pytest.mark.parametrize("version", VERSIONS)
    def test_version_echoes_the_version_asked_for(self, plugin: Any, version: str) -> None:
        outcome = plugin.run("VERSION", {"cniVersion": version})
        assert outcome.json == {"cniVersion": version, "supportedVersions": VERSIONS}
        assert outcome.status == 0

    @pytest.mark.parametrize("stdin", [b"", b'{"cniVersion":"9.9.9"}', b"{}"])
    def test_version_of_an_unknown_version(self, plugin: Any, stdin: bytes) -> None:
        outcome = plugin.run("VERSION", stdin)
        assert outcome.json == {"cniVersion": "1.1.0", "supportedVersions": VERSIONS}

    def test_mtu_as_number_and_settings_that_reach_ipam(self, plugin: Any, ipam: Any) -> None:
        config = plugin.config(mtu=1500, vethPrefix="pod_", podSGEnforcingMode="standard")
        assert plugin.run("ADD", config).status == 0
        assert ipam.calls[0][1].conf == ipam_pb2.PodNetConf(veth_prefix="pod_", mtu=1500, sg_enforcing_mode="standard")

    def test_pod_without_kubernetes_name(self, plugin: Any, ipam: Any) -> None:
        """The host's veth is named after the pod, so two without a name must not look alike."""
        assert plugin.run("ADD", CNI_ARGS=None).status == 0
        assert ipam.calls[0][1].pod == ipam_pb2.PodIdentity(name=CONTAINER_ID)


class TestBadInput:
    """Each a CNI error that names field, value and what is allowed, and no call of ipam."""

    CASES: dict[str, tuple[dict[str, Any], int, str]] = {  # noqa: RUF012
        "empty stdin": ({"stdin": b""}, 6, "CONFIG_INVALID: network configuration: stdin is empty"),
        "white space": ({"stdin": b" \n"}, 6, "stdin is empty"),
        "invalid JSON": ({"stdin": b'{"cniVersion":"1.0.0",}'}, 6, "invalid JSON: expected a key"),
        "not UTF-8": ({"stdin": b'{"name":"\xff"}'}, 6, "not UTF-8 at byte 9"),
        "an array": ({"stdin": b"[]"}, 6, "the value is an array; allowed: a JSON object"),
        "10 MB": ({"stdin": b" " * 10_000_000}, 6, "more than 1048576 bytes"),
        "10 MB of JSON": ({"stdin": b'{"a":"' + b"x" * 10_000_000 + b'"}'}, 6, "more than 1048576 bytes"),
        "deep": ({"stdin": b"[" * 100_000}, 6, "nested deeper than 64"),
        "unknown cniVersion": (
            {"config": {"cniVersion": "2.0.0"}},
            1,
            "cniVersion '2.0.0' is not supported; allowed: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
        ),
        "no cniVersion": ({"config": {"cniVersion": None}}, 1, "cniVersion is missing"),
        "cniVersion a number": ({"config": {"cniVersion": 1}}, 7, "cniVersion is 1; allowed: a string"),
        "CHECK before 0.4.0": (
            {"command": "CHECK", "config": {"cniVersion": "0.3.1"}},
            1,
            "'0.3.1' does not allow CHECK",
        ),
        "GC before 1.1.0": ({"command": "GC", "config": {"cniVersion": "1.0.0"}}, 1, "'1.0.0' does not allow GC"),
        "STATUS before 1.1.0": ({"command": "STATUS", "config": {"cniVersion": "0.4.0"}}, 1, "does not allow STATUS"),
        "no command": ({"command": None}, 4, "CNI_COMMAND is missing; allowed: ADD, DEL, CHECK, GC, STATUS, VERSION"),
        "unknown command": ({"command": "UPDATE"}, 4, "CNI_COMMAND is 'UPDATE'; allowed: ADD, DEL"),
        "no netns": ({"variables": {"CNI_NETNS": None}}, 4, "CNI_NETNS is missing"),
        "empty netns": ({"variables": {"CNI_NETNS": ""}}, 4, "CNI_NETNS is missing"),
        "relative netns": ({"variables": {"CNI_NETNS": "netns/x"}}, 4, "CNI_NETNS is 'netns/x'; allowed: the absolute"),
        "gone netns": (
            {"variables": {"CNI_NETNS": "/nowhere/x"}},
            3,
            "NETNS_GONE: CNI_NETNS '/nowhere/x' does not exist",
        ),
        "netns below a file": ({"variables": {"CNI_NETNS": "/proc/self/status/x"}}, 3, "NETNS_GONE"),
        "no ifname": ({"variables": {"CNI_IFNAME": None}}, 4, "CNI_IFNAME is missing"),
        "ifname of 16": (
            {"variables": {"CNI_IFNAME": "e" * 16}},
            4,
            f"CNI_IFNAME is '{'e' * 16}'; allowed: 1 to 15 bytes",
        ),
        "ifname of 16 bytes": ({"variables": {"CNI_IFNAME": "é" * 8}}, 4, "CNI_IFNAME is"),
        "ifname with /": ({"variables": {"CNI_IFNAME": "a/b"}}, 4, "CNI_IFNAME is 'a/b'"),
        "ifname with :": ({"variables": {"CNI_IFNAME": "a:b"}}, 4, "CNI_IFNAME is 'a:b'"),
        "ifname with space": ({"variables": {"CNI_IFNAME": "a b"}}, 4, "CNI_IFNAME is 'a b'"),
        "ifname with newline": ({"variables": {"CNI_IFNAME": "a\nb"}}, 4, "CNI_IFNAME is 'a\\nb'"),
        "ifname .": ({"variables": {"CNI_IFNAME": "."}}, 4, "CNI_IFNAME is '.'"),
        "ifname ..": ({"variables": {"CNI_IFNAME": ".."}}, 4, "CNI_IFNAME is '..'"),
        "no container": ({"variables": {"CNI_CONTAINERID": None}}, 4, "CNI_CONTAINERID is missing"),
        "container with /": ({"variables": {"CNI_CONTAINERID": "../x"}}, 4, "CNI_CONTAINERID is '../x'"),
        "container with space": ({"variables": {"CNI_CONTAINERID": "a b"}}, 4, "CNI_CONTAINERID is 'a b'"),
        "container of é": ({"variables": {"CNI_CONTAINERID": "é"}}, 4, "CNI_CONTAINERID is 'é'"),
        "bad args": ({"variables": {"CNI_ARGS": "K8S_POD_NAME"}}, 4, "CNI_ARGS is 'K8S_POD_NAME'; allowed: KEY=VALUE"),
        "vethPrefix of 5": ({"config": {"vethPrefix": "abcde"}}, 7, "vethPrefix is 'abcde'; allowed: 1 to 4"),
        "vethPrefix eth": ({"config": {"vethPrefix": "eth"}}, 7, "vethPrefix is 'eth'"),
        "vethPrefix empty": ({"config": {"vethPrefix": ""}}, 7, "vethPrefix is ''"),
        "vethPrefix with /": ({"config": {"vethPrefix": "a/b"}}, 7, "vethPrefix is 'a/b'"),
        "mtu abc": ({"config": {"mtu": "abc"}}, 7, "CONFIG_INVALID: mtu is 'abc'; allowed: 576 to 9001"),
        "mtu 575": ({"config": {"mtu": "575"}}, 7, "mtu is '575'"),
        "mtu 9002": ({"config": {"mtu": 9002}}, 7, "mtu is 9002"),
        "mtu 1500.5": ({"config": {"mtu": 1500.5}}, 7, "mtu is 1500.5"),
        "mtu true": ({"config": {"mtu": True}}, 7, "mtu is True"),
        "mode": ({"config": {"podSGEnforcingMode": "loose"}}, 7, "podSGEnforcingMode is 'loose'; allowed: \"strict\""),
        "log to stdout": ({"config": {"pluginLogFile": "stdout"}}, 7, "pluginLogFile is 'stdout'"),
        "name missing": ({"config": {"name": None}}, 7, "name is ''"),
        "name with /": ({"config": {"name": "a/b"}}, 7, "name is 'a/b'"),
        "relative socket": ({"config": {"ipamSocket": "ipam.sock"}}, 7, "ipamSocket is 'ipam.sock'"),
        "long socket": (
            {"config": {"ipamSocket": "/" + "x" * 107}},
            7,
            "allowed: an absolute path of at most 107 bytes",
        ),
        "relative queue": ({"config": {"pendingDelDir": "queue"}}, 7, "pendingDelDir is 'queue'"),
        "CHECK without prevResult": ({"command": "CHECK"}, 7, "prevResult is missing"),
        "ADD with bad prevResult": ({"config": {"prevResult": []}}, 7, "prevResult is '[]'; allowed: an object"),
        "CHECK with a bad index": (
            {"command": "CHECK", "config": {"prevResult": {"ips": [{"interface": 1, "address": "10.0.0.1/32"}]}}},
            7,
            "prevResult.ips[].interface is '1'; allowed: an index into the 0 interfaces",
        ),
        "GC without a list": ({"command": "GC"}, 7, "cni.dev/valid-attachments is missing"),
        "GC with half an entry": (
            {"command": "GC", "config": {"cni.dev/valid-attachments": [{"containerID": "a"}]}},
            7,
            "cni.dev/valid-attachments is {'containerID': 'a'}",
        ),
    }

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
    def test_refused(self, plugin: Any, ipam: Any, case: tuple[dict[str, Any], int, str]) -> None:
        what, code, text = case
        stdin = what.get("stdin", plugin.config(**what.get("config", {})))
        command = what.get("command", "ADD")
        outcome = plugin.run(command, stdin, **what.get("variables", {}))
        error = outcome.json
        assert outcome.status == 1
        assert text in error["msg"]
        assert error["code"] == code
        assert set(error) == {"cniVersion", "code", "msg", "details"}
        assert error["cniVersion"] in VERSIONS
        assert "trace=" in error["details"]
        assert error["details"].endswith("origin=plugin")
        assert ipam.calls == []
        assert not plugin.queue.exists()

    def test_del_is_not_refused_for_a_gone_netns(self, plugin: Any, ipam: Any) -> None:
        assert plugin.run("DEL", CNI_NETNS="/nowhere/x").status == 0
        assert ipam.calls[0][1].netns == "/nowhere/x"


class TestReasons:
    @pytest.mark.parametrize("reason", list(Reason))
    def test_every_reason_reaches_the_runtime(self, plugin: Any, ipam: Any, reason: Reason) -> None:
        info = REASON_INFO[reason]
        status = next(code for code in grpc.StatusCode if code.value[0] == info.code)
        trailers = (("vpccni-reason", reason.value), ("vpccni-origin", "netconf"))
        ipam.answers["AddPod"] = ipam.refusal(status, "what happened", trailers)
        outcome = plugin.run("ADD", plugin.config(cniVersion="0.4.0"))
        error = outcome.json
        assert outcome.status == 1
        assert error["cniVersion"] == "0.4.0"
        assert error["code"] == info.cni_code
        assert error["msg"].startswith("add cmd: ")
        assert error["msg"].endswith(f"{reason.value}: what happened")
        assert error["details"] == f"{info.hint} trace={CONTAINER_ID[:32]} origin=netconf"
        assert plugin.log_lines()[-1]["reason"] == reason.value

    def test_the_sentence_that_users_search_for(self, plugin: Any, ipam: Any) -> None:
        trailers = (("vpccni-reason", "SUBNET_FULL"), ("vpccni-origin", "eni-manager"))
        ipam.answers["AddPod"] = ipam.refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "subnet-1 has 0 free", trailers)
        assert plugin.run("ADD").json["msg"] == (
            "add cmd: failed to assign an IP address to container: SUBNET_FULL: subnet-1 has 0 free"
        )

    def test_reason_of_a_newer_ipam(self, plugin: Any, ipam: Any) -> None:
        trailers = (("vpccni-reason", "NEW_REASON"), ("vpccni-origin", "ipam"))
        ipam.answers["AddPod"] = ipam.refusal(grpc.StatusCode.UNAVAILABLE, "text", trailers)
        error = plugin.run("ADD").json
        assert (error["code"], error["msg"]) == (11, "add cmd: NEW_REASON: text")

    def test_answer_without_result(self, plugin: Any, ipam: Any) -> None:
        ipam.answers["AddPod"] = ipam_pb2.AddPodResponse()
        assert plugin.run("ADD").json["msg"] == "add cmd: INTERNAL: ipam's answer has no result"


class TestIpamAway:
    @pytest.mark.parametrize(("command", "code"), [("ADD", 11), ("CHECK", 11), ("STATUS", 50)])
    def test_no_socket(self, plugin: Any, command: str, code: int) -> None:
        outcome = plugin.run(command, plugin.config(prevResult=PREV_RESULT))
        assert outcome.status == 1
        assert outcome.json["code"] == code
        assert "IPAM_UNREACHABLE: " in outcome.json["msg"]
        assert plugin.socket in outcome.json["msg"]

    def test_del_is_queued(self, plugin: Any) -> None:
        outcome = plugin.run("DEL", plugin.config(prevResult=PREV_RESULT))
        assert (outcome.status, outcome.stdout) == (0, b"")
        (file,) = plugin.queue.iterdir()
        assert file.name == f"{CONTAINER_ID}-eth0.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        request = json_format.Parse(file.read_text(), ipam_pb2.DelPodRequest())
        check_pod_request(request)
        assert request.prev_result == PREV_MESSAGE
        assert [line["msg"] for line in plugin.log_lines()] == ["DEL queued", "DEL done"]

    def test_del_again_replaces_its_file(self, plugin: Any) -> None:
        assert plugin.run("DEL").status == 0
        assert plugin.run("DEL", CNI_NETNS="/later").status == 0
        (file,) = plugin.queue.iterdir()
        assert json.loads(file.read_text())["netns"] == "/later"

    def test_del_is_queued_when_ipam_dies_in_the_middle(self, plugin: Any, serve: Any) -> None:
        def script(peer: Any) -> None:
            peer.read_request()
            peer.send(4, 0, 0, b"")

        serve(script)
        assert plugin.run("DEL").status == 0
        assert len(list(plugin.queue.iterdir())) == 1

    def test_del_that_ipam_refuses_is_not_queued(self, plugin: Any, ipam: Any) -> None:
        """ipam is there and says why; the runtime shall retry."""
        trailers = (("vpccni-reason", "NETCONF_UNREACHABLE"), ("vpccni-origin", "ipam"))
        ipam.answers["DelPod"] = ipam.refusal(grpc.StatusCode.UNAVAILABLE, "text", trailers)
        outcome = plugin.run("DEL")
        assert (outcome.status, outcome.json["code"]) == (1, 11)
        assert outcome.json["msg"] == "del cmd: NETCONF_UNREACHABLE: text"
        assert not plugin.queue.exists()

    def test_del_is_queued_when_ipam_is_shutting_down(self, plugin: Any, ipam: Any) -> None:
        """The ipam that comes next carries it out; the runtime need not try again until then."""
        trailers = (("vpccni-reason", "DRAINING"), ("vpccni-origin", "ipam"))
        ipam.answers["DelPod"] = ipam.refusal(grpc.StatusCode.UNAVAILABLE, "ipam is shutting down", trailers)
        assert plugin.run("DEL").status == 0
        assert len(list(plugin.queue.iterdir())) == 1
        assert plugin.log_lines()[0]["reason"] == "DRAINING"

    def test_queue_that_is_full(self, plugin: Any) -> None:
        plugin.queue.mkdir()
        for number in range(1000):
            (plugin.queue / f"{number}-eth0.json").write_text("{}")
        outcome = plugin.run("DEL")
        assert (outcome.status, outcome.json["code"]) == (1, 11)
        assert "holds 1000 files; allowed: 1000" in outcome.json["msg"]
        assert len(list(plugin.queue.iterdir())) == 1000
        # One that is queued already may be queued again.
        (plugin.queue / "0-eth0.json").rename(plugin.queue / f"{CONTAINER_ID}-eth0.json")
        assert plugin.run("DEL").status == 0

    @pytest.mark.parametrize("where", ["a file", "below nothing"])
    def test_queue_that_cannot_be_written(self, plugin: Any, where: str) -> None:
        directory = plugin.folder / "file" if where == "a file" else plugin.folder / "a" / "b" / "c"
        (plugin.folder / "file").write_text("")
        outcome = plugin.run("DEL", plugin.config(pendingDelDir=str(directory)))
        assert (outcome.status, outcome.json["code"]) == (1, 11)
        assert "and the DEL could not be queued" in outcome.json["msg"]

    def test_socket_and_queue_from_the_environment(self, plugin: Any) -> None:
        config = plugin.config(ipamSocket=None, pendingDelDir=None)
        socket_path, queue = str(plugin.folder / "other.sock"), plugin.folder / "other"
        variables = {"VPCCNI_IPAM_SOCKET": socket_path, "VPCCNI_PENDING_DEL_DIR": str(queue)}
        assert plugin.run("DEL", config, **variables).status == 0
        assert len(list(queue.iterdir())) == 1
        assert socket_path in plugin.log_lines()[0]["error"]


class TestLog:
    def test_fields(self, plugin: Any, ipam: Any) -> None:
        plugin.run("ADD")
        (line,) = plugin.log_lines()
        assert line["level"] == "info"
        assert line["msg"] == "ADD done"
        assert line["service"] == "aws-cni"
        assert line["node"] == os.uname().nodename
        assert line["container"] == CONTAINER_ID
        assert line["netns"] == "/proc/self/ns/net"
        assert line["ifname"] == "eth0"
        assert line["pod"] == "default/sample-pod"
        assert line["trace_id"] == CONTAINER_ID[:32]
        assert line["reason"] == ""
        assert line["duration_ms"] > 0
        assert line["time"].endswith("Z")

    def test_trace_of_the_runtime_is_kept(self, plugin: Any, ipam: Any) -> None:
        parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"
        plugin.run("ADD", TRACEPARENT=parent)
        metadata = ipam.calls[0][2]
        assert metadata["vpccni-parent"] == parent
        assert metadata["traceparent"][:36] == parent[:36]
        assert metadata["traceparent"] != parent
        assert plugin.log_lines()[0]["trace_id"] == "ab" * 16

    def test_appends_and_makes_its_directory(self, plugin: Any, ipam: Any) -> None:
        log = plugin.folder / "made" / "plugin.log"
        for _ in range(2):
            plugin.run("ADD", plugin.config(pluginLogFile=str(log)))
        assert len(log.read_text().splitlines()) == 2

    @pytest.mark.parametrize("target", ["stderr", ""])
    def test_stderr(self, plugin: Any, ipam: Any, target: str) -> None:
        outcome = plugin.run("ADD", plugin.config(pluginLogFile=target))
        assert json.loads(outcome.stderr)["msg"] == "ADD done"
        assert outcome.json["ips"]

    @pytest.mark.parametrize(("level", "lines"), [("error", 1), ("Fatal", 0), ("INFO", 1), ("nonsense", 1)])
    def test_level(self, plugin: Any, level: str, lines: int) -> None:
        plugin.run("ADD", plugin.config(pluginLogLevel=level))
        assert (len(plugin.log_lines()) if plugin.log.exists() else 0) == lines

    @pytest.mark.parametrize("level", ["WARN", "error"])
    def test_success_below_the_level(self, plugin: Any, ipam: Any, level: str) -> None:
        plugin.run("ADD", plugin.config(pluginLogLevel=level))
        assert not plugin.log.exists()

    @pytest.mark.parametrize("path", ["/dev/full", "/proc/none/x", "/", "a directory", "a pipe nobody reads"])
    def test_log_that_cannot_be_written(self, plugin: Any, ipam: Any, path: str) -> None:
        if path == "a directory":
            path = str(plugin.folder)
        elif path == "a pipe nobody reads":
            path = str(plugin.folder / "pipe")
            os.mkfifo(path)
        outcome = plugin.run("ADD", plugin.config(pluginLogFile=path))
        assert (outcome.status, outcome.stderr) == (0, b"")
        assert outcome.json["ips"]

    def test_stderr_that_nobody_reads(self, plugin: Any, ipam: Any) -> None:
        """The runtime's end of the pipe is full: the call is not delayed by it."""
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        try:
            while os.write(write_end, b"x" * 65536):
                pass
        except BlockingIOError:
            os.set_blocking(write_end, True)
        try:
            config = json.dumps(plugin.config(pluginLogFile="stderr")).encode()
            environment = {
                "CNI_COMMAND": "STATUS",
                **plugin.environment,
            }
            done = subprocess.run(
                plugin.argv, input=config, stdout=subprocess.PIPE, stderr=write_end, env=environment, timeout=30
            )
            assert done.returncode == 0
        finally:
            os.close(read_end)
            os.close(write_end)

    def test_rotates(self, plugin: Any, ipam: Any) -> None:
        with plugin.log.open("wb") as file:
            file.truncate(101 << 20)
        Path(f"{plugin.log}.1").write_text("older")
        plugin.run("ADD")
        assert len(plugin.log_lines()) == 1
        assert Path(f"{plugin.log}.1").stat().st_size == 101 << 20
        assert Path(f"{plugin.log}.2").read_text() == "older"

    def test_many_plugins_at_once_rotate_once(self, plugin: Any, ipam: Any) -> None:
        """Were each to rotate that finds the file full, the history would be gone after six."""
        with plugin.log.open("wb") as file:
            file.truncate(101 << 20)
        Path(f"{plugin.log}.1").write_text("older")
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            outcomes = list(pool.map(lambda number: plugin.run("STATUS"), range(48)))
        assert {outcome.status for outcome in outcomes} == {0}
        files = {path.name: path for path in plugin.folder.glob("plugin.log*")}
        assert set(files) == {"plugin.log", "plugin.log.1", "plugin.log.2"}
        assert files["plugin.log.2"].read_text() == "older"
        with files["plugin.log.1"].open("rb") as full:
            full.seek(101 << 20)
            late = full.read().splitlines()
        assert len(plugin.log_lines()) + len(late) == 48


class TestProcess:
    def test_stdout_that_is_closed(self, plugin: Any, ipam: Any) -> None:
        read_end, write_end = os.pipe()
        os.close(read_end)
        environment = {"CNI_COMMAND": "VERSION", **plugin.environment}
        done = subprocess.run(
            plugin.argv, input=b"", stdout=write_end, stderr=subprocess.PIPE, env=environment, timeout=30
        )
        os.close(write_end)
        assert done.returncode == 1
        assert done.stderr == b""

    def test_non_utf8_environment(self, plugin: Any, ipam: Any) -> None:
        environment = {
            b"CNI_COMMAND": b"ADD",
            b"CNI_CONTAINERID": b"\xff\xfe",
            **{key.encode(): value.encode() for key, value in plugin.environment.items()},
        }
        done = subprocess.run(
            plugin.argv,
            input=json.dumps(plugin.config()).encode(),
            capture_output=True,
            env=environment,
            timeout=30,
        )
        assert done.returncode == 1
        assert json.loads(done.stdout)["code"] == 4

    def test_concurrent_runs(self, plugin: Any, ipam: Any) -> None:
        """As at node start: many at once, each with its own answer."""
        config = json.dumps(plugin.config()).encode()
        running = []
        for number in range(12):
            environment = {
                "CNI_COMMAND": "ADD",
                "CNI_CONTAINERID": f"c{number}",
                "CNI_NETNS": "/proc/self/ns/net",
                "CNI_IFNAME": "eth0",
                **plugin.environment,
            }
            process = subprocess.Popen(
                plugin.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
            assert process.stdin is not None
            process.stdin.write(config)
            process.stdin.close()
            process.stdin = None
            running.append(process)
        for process in running:
            stdout, stderr = process.communicate(timeout=60)
            assert (process.returncode, stderr) == (0, b"")
            assert json.loads(stdout)["ips"]
        assert {call[1].key.container_id for call in ipam.calls} == {f"c{number}" for number in range(12)}


class TestBinary:
    def test_empty_chroot(self, plugin_binary: str, folder: Path) -> None:
        """No library, no /proc, no environment but the command."""
        if os.geteuid() != 0:
            pytest.skip("chroot needs root")
        target = folder / "aws-cni"
        target.write_bytes(Path(plugin_binary).read_bytes())
        target.chmod(0o755)
        done = subprocess.run(
            ["/aws-cni"],
            input=b'{"cniVersion":"1.0.0","name":"x","type":"aws-cni"}',
            capture_output=True,
            env={"CNI_COMMAND": "VERSION"},
            preexec_fn=lambda: os.chroot(folder),
        )
        assert json.loads(done.stdout) == {"cniVersion": "1.0.0", "supportedVersions": VERSIONS}
        assert (done.returncode, done.stderr) == (0, b"")

    def test_size_and_no_interpreter(self, plugin_binary: str) -> None:
        data = Path(plugin_binary).read_bytes()
        assert data[:4] == b"\x7fELF"
        assert len(data) <= 12_000_000
        program_headers = int.from_bytes(data[32:40], "little")
        size, count = int.from_bytes(data[54:56], "little"), int.from_bytes(data[56:58], "little")
        kinds = {int.from_bytes(data[program_headers + i * size :][:4], "little") for i in range(count)}
        assert 3 not in kinds  # PT_INTERP: it would need a dynamic loader

    def test_snapshot_holds_nothing_of_the_builder(self, plugin_binary: str) -> None:
        data = Path(plugin_binary).read_bytes()
        assert os.fsencode(os.path.expanduser("~") + "/") not in data
        assert os.fsencode(Path(__file__).resolve().parents[3]) not in data
        assert socket.gethostname().encode() + b"\0" not in data

    def test_second_build_is_a_no_op(self, plugin_binary: str) -> None:
        before = os.stat(plugin_binary).st_mtime_ns
        build = Path(__file__).resolve().parents[3] / "plugin" / "build.py"
        import sys

        done = subprocess.run([sys.executable, str(build)], capture_output=True, text=True, check=True)
        assert "is current" in done.stdout
        assert os.stat(plugin_binary).st_mtime_ns == before
