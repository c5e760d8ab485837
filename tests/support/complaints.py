"""The top twenty complaints: each seeded on the lab, and what a look at it says."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kube_standin import NODES
from observed import Prometheus
from reason_stage import SOCKETS, Stage, settles
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.runtime.pods import Pod


@dataclasses.dataclass
class Scene:
    """``big``: a node that can grow. ``tiny``: two ENIs of one address. A third, ``hoard``, is alone in a small subnet."""

    big: Stage
    tiny: Stage
    prometheus: Prometheus
    directory: Path


def vpccni(stage: Stage, *words: str) -> str:
    return stage.node.run([sys.executable, "-m", "vpccni_cli", *words], timeout=90).stdout


def doctor(stage: Stage, check: str, *words: str, within_s: float = 30.0) -> str:
    """What doctor says of a check, and the cure, as soon as it fails."""
    end = time.monotonic() + within_s
    options = words if "--no-aws" in words or "--aws" in words else (*words, "--no-aws")
    while True:
        text = vpccni(stage, "doctor", "--output", "json", *(word for word in options if word != "--aws"))
        found = [one for one in json.loads(text)["checks"] if one["check"].startswith(check)]
        failed = [one for one in found if one["ok"] is False]
        if failed or time.monotonic() > end:
            return " ".join(f"{one['check']}: {one['detail']} cure: {one['cure']}" for one in failed) or f"ok: {found}"


def alert(scene: Scene, name: str, within_s: float = 60.0) -> str:
    """The summary of an alert that the rules raise (it fires when it has stood for its time)."""

    def active() -> list[dict[str, Any]]:
        return [one for one in scene.prometheus.get("alerts")["alerts"] if one["labels"]["alertname"] == name]

    if not settles(lambda: bool(active()), within_s):
        return f"no alert {name}"
    first = active()[0]
    return f"{name} {first['state']}: {first['annotations']['summary']}"


def started(stage: Stage, pods: podlib.Pods, count: int, name: str) -> list[Pod]:
    """``count`` pods that run; what an earlier complaint left may make some ADDs fail at first."""
    running: list[Pod] = []
    end = time.monotonic() + 60
    while len(running) < count and time.monotonic() < end:
        wanted = [podlib.new_pod(stage.name, f"{name}-{len(running)}-{i}") for i in range(count - len(running))]
        running += [outcome for outcome in pods.run(wanted) if isinstance(outcome, Pod)]
    assert len(running) == count
    return running


def no_reason(scene: Scene) -> str:
    stage = scene.big
    stage.lab.add_fault({"kind": "subnet-full", "actions": ["Assign*", "Create*"]})
    seen = stage.exhaust("c1")
    text = vpccni(stage, "explain", "pod", seen.pod)
    assert "cure" in text
    return text


def lost_network(scene: Scene) -> str:
    stage = scene.tiny
    with stage.lab.pods(stage.name) as pods:
        running = started(stage, pods, 2, "c2")
        stage.lab.service(stage.name, "ipam", "kill")
        stage.detach_second_eni()
        stage.lab.service(stage.name, "ipam", "start")
        stage.lab.wait_ready(stage.name)
        text = doctor(stage, "quarantine")
        now = stage.inspect()
        assert now.assigned + now.quarantined == len(running), "nobody's address was given away"
    return text


def vanished_rules(scene: Scene) -> str:
    stage = scene.big
    with stage.lab.pods(stage.name) as pods:
        for pod in started(stage, pods, 5, "c3"):
            for _ in range(6):
                assert settles(lambda: _has_rule(stage, pod.address), 15), "repaired"  # noqa: B023
                stage.node.run(["ip", "rule", "del", "to", pod.address, "priority", "512"])
        return alert(scene, "VpcCniDriftFight")


def _has_rule(stage: Stage, address: str) -> bool:
    return f"to {address} " in stage.node.run(["ip", "rule", "show", "priority", "512"]).stdout


def hoarded(scene: Scene) -> str:
    return alert(scene, "VpcCniSubnetAlmostFull")


def fragmented(scene: Scene) -> str:
    stage = scene.big
    stage.lab.add_fault({"kind": "no-prefix"})
    stage.settings(ENABLE_PREFIX_DELEGATION="true")
    stage.lab.wait_ready(stage.name)
    with stage.lab.pods(stage.name) as pods:
        started(stage, pods, 1, "c5")  # single addresses stand in
    return alert(scene, "VpcCniPrefixesFragmented")


def throttled(scene: Scene) -> str:
    stage = scene.big
    stage.lab.add_fault({"kind": "throttle", "actions": ["Assign*", "Create*"], "one_in": 1000})
    stage.exhaust("c6")
    return doctor(stage, "EC2 budget")


def churn(scene: Scene) -> str:
    stage = scene.tiny
    stage.settings(IP_COOLDOWN_PERIOD="60")
    stage.lab.wait_ready(stage.name)
    with stage.lab.pods(stage.name) as pods:
        pods.remove(started(stage, pods, min(2, stage.inspect().free), "c7"))
        stage.wanted = "ALL_COOLING"
        seen = stage.exhaust("c7-late")
    return vpccni(stage, "explain", "pod", seen.pod)


def not_ready(scene: Scene) -> str:
    stage = scene.big
    stage.lab.service(stage.name, "eni-manager", "signal", signal="STOP")
    stage.settings()
    seen = stage.one("c8")
    conf = stage.node.inside(podlib.load_conf)
    with podlib.Pods(stage.node, dataclasses.replace(conf, cni_version="1.1.0")) as pods:
        try:
            pods.status()
        except CniError as error:
            return f"ADD: {seen.error}; STATUS: code {error.code} {error.msg}"
    return f"ADD: {seen.error}; STATUS: ok"


def full_node(scene: Scene) -> str:
    stage = scene.tiny
    with stage.lab.pods(stage.name) as pods:
        pods.run([podlib.new_pod(stage.name, f"c9-{i}") for i in range(3)])
        assert "kubelet starts up to 110 pods" in doctor(stage, "max-pods")
        end = time.monotonic() + 60
        while "ENI_LIMIT" not in (text := alert(scene, "VpcCniGrowthBlocked")) and time.monotonic() < end:
            time.sleep(1)
    return text


def left_behind(scene: Scene) -> str:
    stage = scene.big
    lab = stage.lab

    def available() -> set[str]:
        found = lab.ec2("DescribeNetworkInterfaces", Filters=[{"Name": "status", "Values": ["available"]}])
        return {eni["NetworkInterfaceId"] for eni in found["NetworkInterfaces"]}

    stage.wait_for_room()
    with lab.pods(stage.name) as pods:
        before = available()
        lab.add_fault({"kind": "timeout", "actions": ["AttachNetworkInterface"], "seconds": 20})
        pods.run([podlib.new_pod(stage.name, f"c10-{i}") for i in range(9)])
        made = available() - before
        lab.service(stage.name, "eni-manager", "kill")
    assert made, "one was created and not attached when eni-manager was killed"
    lab.clear_faults()
    lab.service(stage.name, "eni-manager", "start")
    lab.wait_ready(stage.name)
    settles(lambda: not available() & made, 60)
    return f"{len(available() & made)} ENIs are left of {len(made)}, after eni-manager's journal was worked off"


def terminating(scene: Scene) -> str:
    stage = scene.big
    with stage.lab.pods(stage.name) as pods:
        running = started(stage, pods, 1, "c11")
        stage.lab.service(stage.name, "netconf", "kill")
        assert pods.remove(running) == running, "DEL succeeds"
    return doctor(stage, "queued DELs")


def conntrack(scene: Scene) -> str:
    folder = scene.directory / "proc/sys/net/netfilter"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nf_conntrack_count").write_text("131000\n")
    (folder / "nf_conntrack_max").write_text("131072\n")
    return doctor(scene.big, "conntrack", "--proc", str(scene.directory / "proc"), within_s=0)


def bad_setting(scene: Scene) -> str:
    scene.big.settings(WARM_ENI_TARGET="plenty")
    scene.big.lab.wait_ready(scene.big.name)
    return alert(scene, "VpcCniBadSetting")


def reverse_path(scene: Scene) -> str:
    """netconf puts it back; where it does not run, doctor says it."""
    stage = scene.big
    wrong = ["sysctl", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=1"]
    stage.lab.service(stage.name, "netconf", "kill")
    stage.node.run(wrong)
    text = doctor(stage, "rp_filter", within_s=0)
    stage.lab.service(stage.name, "netconf", "start")

    def value() -> str:
        return stage.node.run(["sysctl", "-n", "net.ipv4.conf.eth0.rp_filter"]).stdout.strip()

    assert settles(lambda: value() == "2", 40), "put back"
    stage.node.run(wrong)
    assert settles(lambda: value() == "2", 40), "put back again"
    return text


def late_policy(scene: Scene) -> str:
    """ADD asks no policy agent and waits for none: there is none on a node of the lab, and strict mode is on."""
    stage = scene.big
    stage.settings(NETWORK_POLICY_ENFORCING_MODE="strict")
    stage.lab.wait_ready(stage.name)
    with stage.lab.pods(stage.name) as pods:
        (pod,) = started(stage, pods, 1, "c15")
    return f"ADD in {pod.add_seconds:.2f} s with strict mode and no agent"


def own_probes(scene: Scene) -> str:
    stage = scene.big
    stage.lab.add_fault({"kind": "timeout", "seconds": 5})
    stage.lab.service(stage.name, "eni-manager", "kill")
    states = {}
    with grpc.insecure_channel(f"unix:{stage.node.file(SOCKETS['ipam'])}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def ask(service: str) -> str:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

        assert settles(lambda: ask("ready") == "NOT_SERVING", 20)
        states = {service: ask(service) for service in ("live", "ready")}
    return f"live: {states['live']}, ready: {states['ready']}"


def no_api_server(scene: Scene) -> str:
    stage = scene.big
    stage.api.api.refuse[NODES] = 503
    try:
        stage.settings()
        stage.lab.wait_ready(stage.name)
        with stage.lab.pods(stage.name) as pods:
            started(stage, pods, 1, "c17")  # ADD works all the same
        return doctor(stage, "apiserver")
    finally:
        stage.api.api.refuse.clear()


def custom_networking(scene: Scene) -> str:
    stage = scene.big
    stage.settings(AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG="true")
    stage.exhaust("c18")  # ENIs that are there already still serve
    return doctor(stage, "growth")


def no_subnet(scene: Scene) -> str:
    stage = scene.big
    subnet = stage.lab.status()["subnets"]["a"]["id"]
    tag = {"Resources": [subnet], "Tags": [{"Key": "kubernetes.io/role/cni", "Value": "0"}]}
    stage.lab.ec2("CreateTags", **tag)
    try:
        stage.settings(("eni-manager", "ipam"))
        return doctor(stage, "subnets", "--aws")
    finally:
        stage.lab.ec2("DeleteTags", **tag)


def no_branch(scene: Scene) -> str:
    stage = scene.big
    stage.settings(ENABLE_POD_ENI="true")
    stage.lab.wait_ready(stage.name)
    request = stage.request("c20")
    limits = {"resources": {"limits": {"vpc.amazonaws.com/pod-eni": "1"}}}
    body = {"metadata": {"uid": request.pod.uid}, "spec": {"nodeName": stage.name, "containers": [limits]}}
    stage.api.put("/api/v1/namespaces/default/pods/c20", body)
    stage.rpc("ipam", "AddPod", request, timeout=4)
    found = stage.api.event("BRANCH_ENI_MISSING", "c20")
    return f"event {found['reason']}: {found['note']}" if found else "no event"


SEEDS: Final[dict[int, Callable[[Scene], str]]] = dict(
    enumerate(
        (
            no_reason, lost_network, vanished_rules, hoarded, fragmented, throttled, churn, not_ready, full_node, left_behind,
            terminating, conntrack, bad_setting, reverse_path, late_policy, own_probes, no_api_server, custom_networking,
            no_subnet, no_branch,
        ),
        1,
    )
)  # fmt: skip
