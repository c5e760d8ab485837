"""``vpccni`` on a node of the lab: real plugin, netconf and eni-manager behind what it says."""

from __future__ import annotations

import json
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vpccni_api.version import VERSION
from vpccni_lab.client import LabClient
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod

from .conftest import FAST, ONE_NODE

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    return make_lab(nodes=ONE_NODE, env={**FAST, "WARM_IP_TARGET": "2"})


def vpccni(lab: LabClient, *words: str) -> tuple[int, Any]:
    done = lab.node("node-a").run([sys.executable, "-m", "vpccni_cli", *words, "--output", "json"], timeout=60)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_pods_are_verified_against_the_kernel(lab: LabClient) -> None:
    with lab.pods("node-a") as pods:
        outcomes = pods.run([podlib.new_pod("node-a", name) for name in ("e1-kept", "e1-cut")])
        kept, cut = outcomes
        assert isinstance(kept, Pod) and isinstance(cut, Pod), outcomes
        status, said = vpccni(lab, "verify")
        assert "error" not in said, said
        assert (status, said) == (0, {"checked": 2, "wrong": []})
        status, said = vpccni(lab, "explain", "pod", f"{cut.namespace}/{cut.name}")
        assert status == 0 and said["interfaces"][0]["eni"]["state"] == "usable"
        # What netconf puts right by itself is no difference for long; a namespace that is gone stays gone.
        done = lab.node("node-a").run(["umount", cut.netns])
        assert done.returncode == 0, done
        status, said = vpccni(lab, "verify")
        assert status == 1, said
        assert [item["pod"]["name"] for item in said["wrong"]] == [cut.name]
        assert (
            said["wrong"][0]["problem"]["reason"] in ("NETNS_GONE", "NETNS_INVALID")
            and said["wrong"][0]["problem"]["cure"]
        )


def test_a_denied_role_is_named_with_its_cure(lab: LabClient) -> None:
    fault = lab.add_fault(
        {
            "kind": "deny",
            "actions": ["AssignPrivateIpAddresses", "CreateNetworkInterface"],
        }
    )
    try:
        with lab.pods("node-a") as pods:
            pods.run([podlib.new_pod("node-a", f"e1-more-{number}") for number in range(3)])
        deadline = time.monotonic() + 30
        while True:
            _, said = vpccni(lab, "doctor")
            growth = next(item for item in said["checks"] if item["check"] == "growth")
            if growth["ok"] is False or time.monotonic() > deadline:
                break
        assert growth["detail"].startswith("IAM_DENIED: ") and "docs/iam-policy.md" in growth["cure"]
    finally:
        lab.clear_faults(fault)


def test_doctor_asks_ec2_by_dry_run(lab: LabClient) -> None:
    _, said = vpccni(lab, "doctor")
    green = {item["check"]: item["detail"] for item in said["checks"] if item["ok"]}
    assert "11 of 11 EC2 calls are allowed" in green["IAM"], green
    assert {"instance metadata", "subnets", "ENI tags", "EC2 budget", "packet filter", "versions"} <= set(green), said
    assert len(green["ports"].split(", ")) == 7, "metrics and health of three services, and the pages"
    fault = lab.add_fault({"kind": "deny", "actions": ["AttachNetworkInterface"]})
    try:
        status, said = vpccni(lab, "doctor")
        red = {item["check"]: item for item in said["checks"] if item["ok"] is False}
        assert status == 1 and "docs/iam-policy.md" in red["IAM ec2:AttachNetworkInterface"]["cure"], said
    finally:
        lab.clear_faults(fault)


def test_top_lists_the_node_and_its_subnets(lab: LabClient) -> None:
    _, said = vpccni(lab, "top", "nodes")
    assert [(one["node"], one["version"]) for one in said["nodes"]] == [("node-a", VERSION)]
    _, said = vpccni(lab, "top", "subnets")
    (own,) = [one for one in said["subnets"] if one["enis"]]
    assert own["nodes"] == 1 and own["free"] > 0 and own["zone"] == "us-west-2a"


def test_the_archive_has_everything_and_no_secret(lab: LabClient, tmp_path: Path) -> None:
    secrets = ("AKIA" + "Z" * 16, "hunter2-of-the-lab", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJsYWIifQ.c2ln", "tag-s3cr3t")
    node = lab.node("node-a")
    conf = {"name": "other", "plugins": [{"type": "x", "password": secrets[1], "kubeconfig": f"Bearer {secrets[2]}"}]}
    write = "import pathlib, sys; path = pathlib.Path(sys.argv[1]); path.write_text(sys.argv[2])"
    extra = "/etc/cni/net.d/99-other.conflist"
    log = str(tmp_path / "ipam.log")
    tmp_path.chmod(0o755)
    assert node.run([sys.executable, "-c", write, extra, json.dumps(conf)]).returncode == 0
    (tmp_path / "ipam.log").write_text(f'{{"msg": "signed with {secrets[0]}"}}\n')
    tags = json.dumps({"api-token": secrets[3]})
    changed = {"AWS_VPC_K8S_CNI_LOG_FILE": log, "ADDITIONAL_ENI_TAGS": tags}
    lab.service("node-a", "ipam", "restart", env=changed)
    lab.service("node-a", "eni-manager", "restart", env=changed)
    lab.wait_ready("node-a")
    file = tmp_path / "bundle.tar.gz"
    try:
        status, manifest = vpccni(lab, "bundle", "--file", str(file))
        with tarfile.open(file) as archive:
            members = {name.partition("/")[2]: archive.extractfile(name) for name in archive.getnames()}
            texts = {name: member.read().decode() for name, member in members.items() if member is not None}
    finally:
        assert node.run(["rm", extra]).returncode == 0
        lab.service("node-a", "ipam", "restart", env={**dict.fromkeys(changed), "AWS_VPC_K8S_CNI_LOG_FILE": "stderr"})
        lab.service(
            "node-a", "eni-manager", "restart", env={**dict.fromkeys(changed), "AWS_VPC_K8S_CNI_LOG_FILE": "stderr"}
        )
    assert (status, manifest["missing"]) == (0, {})
    assert {
        "ipam.json",
        "netconf.json",
        "eni-manager.json",
        "verify.json",
        "doctor.json",
        "status.txt",
        "health.json",
    } < set(texts)
    assert {"metrics-ipam.txt", "metrics-netconf.txt", "metrics-eni-manager.txt"} < set(texts)
    assert {"cni/10-aws.conflist", "cni/99-other.conflist", "logs/ipam.log", "manifest.json"} < set(texts)
    assert json.loads(texts["health.json"])["ipam"]["live"] == "SERVING"
    assert texts["logs/plugin.log"], "as the network configuration names it"
    assert "signed with ***" in texts["logs/ipam.log"] and "***" in texts["cni/99-other.conflist"]
    found = [(name, secret) for name, text in texts.items() for secret in secrets if secret in text]
    assert found == []
