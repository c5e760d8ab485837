"""Every reason, provoked on a node of the lab and then found where an operator looks: the CNI error, the trace, the metric,
the log with the pod's name, and the pod's event.

A reason that is not in ``ROWS`` fails the test of the whole; one that cannot come out of an ADD says where it does appear.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from kube_standin import ENI_CONFIGS
from node_api import ENVIRONMENT, NodeApi
from reason_stage import Mark, Seen, Stage, settles
from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.ipam.v1 import ipam_pb2
from vpccni_api.netconf.v1 import netconf_pb2
from vpccni_api.reasons import Reason
from vpccni_api.version import VERSION
from vpccni_lab.client import LabClient
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Failure, Pod
from vpccni_lab.spec import NodeSpec

from .conftest import FAST

pytestmark = [pytest.mark.lab, pytest.mark.slow]
ENV: Final = {
    **FAST,
    **ENVIRONMENT,
    "WARM_IP_TARGET": "1",
    "MINIMUM_IP_TARGET": "1",
    "VPCCNI_ADD_WAIT": "4",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
}
POD_ENI: Final = "vpc.amazonaws.com/pod-eni"
ADD: Final = ("error", "span", "metric", "log", "event")
"""What an ADD that ipam refuses leaves."""
NO_EVENT: Final = ("error", "span", "metric", "log")
"""The caller's own fault, or no pod's: nothing to tell the pod."""


@pytest.fixture(scope="module")
def stages(make_lab: Callable[..., LabClient]) -> Iterator[dict[str, Stage]]:
    """big: a node that can grow. tiny: two ENIs of one address."""
    specs = {"big": "t3.small", "tiny": "t3.nano"}
    nodes = tuple(NodeSpec(name, "a", instance_type=kind, env=ENV) for name, kind in specs.items())
    lab = make_lab(nodes=nodes)
    apis = {name: NodeApi(lab.node(name)) for name in specs}
    try:
        for name in specs:
            lab.service(name, "ipam", "restart")  # now it has its API server
        made = {name: Stage(lab, name, apis[name], ENV) for name in specs}
        for name in specs:
            lab.wait_ready(name)
        yield made
    finally:
        for api in apis.values():
            api.close()


# What provokes each


def grows_slowly(stage: Stage) -> Seen:
    stage.lab.add_fault({"kind": "delay", "actions": "Assign*", "seconds": 7})
    return stage.exhaust("warming")


def cools(stage: Stage) -> Seen:
    stage.settings(IP_COOLDOWN_PERIOD="60")
    stage.lab.wait_ready(stage.name)
    with stage.lab.pods(stage.name) as pods:
        outcomes = pods.run([podlib.new_pod(stage.name, f"short-{i}") for i in range(2)])
        pods.remove([pod for pod in outcomes if isinstance(pod, Pod)])
    return stage.one("too-soon")


def is_full(stage: Stage) -> Seen:
    return stage.exhaust("full", more=3)


def fault(more: int = 1, **fields: object) -> Callable[[Stage], Seen]:
    """ADDs that need another address while EC2 does this."""

    def provoke(stage: Stage) -> Seen:
        stage.lab.add_fault({"actions": ["Assign*", "Create*"], **fields})
        return stage.exhaust(str(fields["kind"]), more)

    return provoke


def setting(**env: str) -> Callable[[Stage], Seen]:
    """ADDs that need another address with these settings of ipam."""

    def provoke(stage: Stage) -> Seen:
        stage.settings(**env)
        stage.lab.wait_ready(stage.name)
        return stage.exhaust("setting")

    return provoke


def no_prefix(stage: Stage) -> Seen:
    stage.lab.add_fault({"kind": "no-prefix"})
    stage.settings(ENABLE_PREFIX_DELEGATION="true")
    stage.lab.wait_ready(stage.name)
    return Seen("", method="growth")


def throttled(stage: Stage) -> Seen:
    stage.lab.add_fault({"kind": "throttle", "actions": ["Assign*", "Create*"], "one_in": 1000})
    want = eni_pb2.EnsureCapacityRequest(want=1, mode=eni_pb2.SECONDARY_IP, may_create_eni=True)
    said = [stage.rpc("eni-manager", "EnsureCapacity", want, timeout=4) for _ in range(3)]
    return next((seen for seen in said if "EC2_THROTTLED" in seen.error), said[-1])


def no_metadata(stage: Stage) -> Seen:
    stage.lab.add_fault({"kind": "imds-error", "status": 500})
    stage.settings(("eni-manager", "ipam"))
    return stage.one("no-metadata")


def custom_networking(stage: Stage) -> None:
    stage.wait_for_room()
    stage.settings(AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG="true")


def no_api_server(stage: Stage) -> Seen:
    stage.api.api.refuse[ENI_CONFIGS] = 500
    try:
        custom_networking(stage)
        return stage.exhaust("no-api-server")
    finally:
        stage.api.api.refuse.clear()


def no_eni_config(stage: Stage) -> Seen:
    custom_networking(stage)
    return stage.exhaust("no-eni-config")


def bad_eni_config(stage: Stage) -> Seen:
    stage.api.put(f"{ENI_CONFIGS}/default", {"spec": {"subnet": "subnet-00000000000000bad", "securityGroups": []}})
    try:
        custom_networking(stage)
        return stage.exhaust("bad-eni-config")
    finally:
        stage.api.delete(f"{ENI_CONFIGS}/default")


def no_subnet(stage: Stage) -> Seen:
    stage.wait_for_room()
    subnet = stage.lab.status()["subnets"]["a"]["id"]
    tag = {"Resources": [subnet], "Tags": [{"Key": "kubernetes.io/role/cni", "Value": "0"}]}
    stage.lab.ec2("CreateTags", **tag)
    try:
        stage.settings(("eni-manager", "ipam"))
        return stage.exhaust("no-subnet")
    finally:
        stage.lab.ec2("DeleteTags", **tag)


def release_what_is_in_use(stage: Stage) -> Seen:
    (primary,) = (eni for eni in stage.inspect().enis if eni.is_primary)
    return stage.rpc(
        "eni-manager", "ReleaseCapacity", eni_pb2.ReleaseCapacityRequest(eni_ids=[primary.eni_id]), timeout=15
    )


def no_namespace(stage: Stage) -> Seen:
    seen = stage.plugin("nowhere", CNI_NETNS="/var/run/netns/not-there")
    assert "NETNS_GONE" in seen.error
    return stage.rpc("ipam", "AddPod", stage.request("nowhere"))


def no_namespace_file(stage: Stage) -> Seen:
    return stage.plugin("a-file", CNI_NETNS="/etc/hosts")


def link_is_there(stage: Stage) -> Seen:
    def make(pod: Pod) -> None:
        add = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"]
        assert stage.node.run(["nsenter", f"--net={pod.netns}", *add]).returncode == 0

    return stage.one("twice", make)


def eni(table: int, mac: str = "") -> Callable[[Stage], Seen]:
    """netconf is told of an ENI that is not right. ``mac``: empty for that of a link that is there."""

    def provoke(stage: Stage) -> Seen:
        (primary,) = (found for found in stage.inspect().enis if found.is_primary)
        spec = netconf_pb2.EniSpec(
            eni_id="eni-1",
            mac=mac or primary.mac,
            primary_ip="10.0.1.99",
            subnet_cidr="10.0.1.0/24",
            device_number=3,
            route_table=table,
            mtu=9001,
        )
        return stage.rpc("netconf", "ApplyEni", netconf_pb2.ApplyEniRequest(eni=spec), timeout=1.5)

    return provoke


def sysctls_are_read_only(stage: Stage) -> Seen:
    stage.node.run(["mkdir", "-p", "/etc/ro/net"])
    stage.node.run(["mount", "--bind", "/proc/sys/net", "/etc/ro/net"])
    stage.node.run(["mount", "-o", "remount,bind,ro", "/etc/ro/net"])
    stage.node.run(["sysctl", "-w", "net.ipv4.conf.eth0.rp_filter=1"])
    try:
        stage.settings(("netconf", "ipam"), VPCCNI_SYSCTL_DIR="/etc/ro/net")
        return stage.one("read-only")
    finally:
        stage.node.run(["umount", "/etc/ro/net"])


def no_packet_filter(stage: Stage) -> Seen:
    programs = [f"{tool}{kind}{verb}" for tool in ("iptables", "ip6tables") for kind in ("", "-legacy", "-nft")
                for verb in ("", "-save", "-restore")]  # fmt: skip
    folder = stage.node.file("/etc/broken")
    folder.mkdir(exist_ok=True)
    for name in (*programs, "nft"):
        (folder / name).write_text("#!/bin/sh\necho broken on purpose >&2\nexit 1\n")
        (folder / name).chmod(0o755)
    path = "/etc/broken:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    stage.settings(("netconf", "ipam"), PATH=path, VPCCNI_NETCONF_PACKET_FILTER="iptables-nft")
    return stage.one("no-filter")


def changed_pod(stage: Stage) -> Seen:
    with stage.lab.pods(stage.name) as pods:
        (pod,) = pods.run([podlib.new_pod(stage.name, "changed")])
        assert isinstance(pod, Pod), pod
        stage.node.run(["nsenter", f"--net={pod.netns}", "ip", "route", "del", "default"])
        key = ipam_pb2.PodInterface(network_name="aws-cni", container_id=pod.container_id, ifname="eth0")
        named = ipam_pb2.PodIdentity(namespace=pod.namespace, name=pod.name, uid=pod.uid)
        check = ipam_pb2.CheckPodRequest(key=key, pod=named, netns=pod.netns, plugin_version=VERSION)
        with pytest.raises(podlib.CniError, match="STATE_DIFFERS"):
            pods.check(pod)
        return stage.rpc("ipam", "CheckPod", check)


def no_room_for_the_checkpoint(stage: Stage) -> Seen:
    blocked = stage.node.file("/run/aws-node")
    aside = blocked.with_name("aws-node.aside")
    os.rename(blocked / "ipam.json", blocked / "ipam.json.kept")
    (blocked / "ipam.json").mkdir()
    (blocked / "ipam.json/x").write_text("")
    try:
        return stage.one("not-durable")
    finally:
        subprocess.run(["rm", "-r", str(blocked / "ipam.json")], check=True)
        os.rename(blocked / "ipam.json.kept", blocked / "ipam.json")
        assert not aside.exists()


def corrupt_checkpoint(stage: Stage) -> Seen:
    stage.lab.service(stage.name, "ipam", "kill")
    stage.node.file("/run/aws-node/ipam.json").write_text('{"version": "of another program"}')
    stage.lab.service(stage.name, "ipam", "start")
    stage.lab.wait_ready(stage.name)
    return Seen("")


def bad_setting(stage: Stage) -> Seen:
    assert "CONFIG_INVALID" in stage.plugin("bad-mtu", conf={"mtu": "abc"}).error
    stage.settings(WARM_ENI_TARGET="plenty")
    stage.lab.wait_ready(stage.name)
    return Seen("", method="WARM_ENI_TARGET", pod="kube-system/aws-node-x")


def far_version(stage: Stage) -> Seen:
    return stage.rpc("ipam", "AddPod", stage.request("far", plugin_version="9.9.0"))


def unknown_pod(stage: Stage) -> Seen:
    of = stage.request("unknown")
    return stage.rpc(
        "ipam", "CheckPod", ipam_pb2.CheckPodRequest(key=of.key, pod=of.pod, netns=of.netns, plugin_version=VERSION)
    )


def eni_is_taken_away(stage: Stage) -> Seen:
    """An address whose ENI was detached while ipam did not run."""
    with stage.lab.pods(stage.name) as pods:
        outcomes = pods.run([podlib.new_pod(stage.name, f"moved-{i}") for i in range(2)])
        assert all(isinstance(outcome, Pod) for outcome in outcomes), outcomes
        stage.lab.service(stage.name, "ipam", "kill")
        lost = stage.detach_second_eni()
        (pod,) = (pod for pod in outcomes if isinstance(pod, Pod) and pod.address in lost)
        stage.lab.service(stage.name, "ipam", "start")
        stage.lab.wait_ready(stage.name)
        assert settles(lambda: stage.inspect().quarantined > 0, 40)
        with pytest.raises(podlib.CniError) as caught:
            pods.submit_add(pod).result()
        return stage.failed(pod, caught.value.msg)


def same_pod_twice(stage: Stage) -> Seen:
    stage.lab.add_fault({"kind": "delay", "actions": "Assign*", "seconds": 6})
    with stage.lab.pods(stage.name) as pods:
        pods.run([podlib.new_pod(stage.name, f"before-{i}") for i in range(stage.inspect().free)])
        first = threading.Thread(target=stage.rpc, args=("ipam", "AddPod", stage.request("busy"), 20.0))
        first.start()
        assert settles(lambda: stage.inspect().growth.waiting_adds == 1)
        try:
            return stage.rpc("ipam", "AddPod", stage.request("busy"), timeout=1.0)
        finally:
            first.join()


def killed(*services: str, more: int = 0) -> Callable[[Stage], Seen]:
    """ADD without these services."""

    def provoke(stage: Stage) -> Seen:
        for service in services:
            stage.lab.service(stage.name, service, "kill")
        return stage.exhaust("without", more) if more else stage.one("without")

    return provoke


def stopped(service: str, restarted: tuple[str, ...] = ()) -> Callable[[Stage], Seen]:
    """ADD while a service hangs."""

    def provoke(stage: Stage) -> Seen:
        stage.lab.service(stage.name, service, "signal", signal="STOP")
        if restarted:
            stage.settings(restarted)
            return stage.one("hangs")
        return stage.rpc("ipam", "AddPod", stage.request("hangs"), timeout=3)

    return provoke


def ipam_is_told_to_stop(stage: Stage) -> Seen:
    stage.lab.add_fault({"kind": "delay", "actions": "Assign*", "seconds": 4})
    with stage.lab.pods(stage.name, workers=32) as pods:
        started = pods.start([podlib.new_pod(stage.name, f"late-{i}") for i in range(stage.inspect().free + 1)])
        assert settles(lambda: stage.inspect().growth.waiting_adds >= 1)
        stage.lab.service(stage.name, "ipam", "stop")
        failures = [outcome for outcome in started if isinstance(outcome, Failure)]
    return stage.failed(failures[-1].pod, str(failures[-1].error))


def branch_pod(name: str, annotation: str) -> Callable[[Stage], Seen]:
    """A pod with security groups of its own, known to the API server unless ``name`` is empty."""

    def provoke(stage: Stage) -> Seen:
        stage.settings(ENABLE_POD_ENI="true")
        stage.lab.wait_ready(stage.name)
        if not name:
            return stage.one("not-in-the-api")
        request = stage.request(name)
        metadata = {"uid": request.pod.uid, "annotations": {POD_ENI: annotation} if annotation else {}}
        limits = {"resources": {"limits": {POD_ENI: "1"}}}
        spec = {"nodeName": stage.name, "containers": [limits]}
        stage.api.put(f"/api/v1/namespaces/default/pods/{name}", {"metadata": metadata, "spec": spec})
        return stage.rpc("ipam", "AddPod", request, timeout=4)

    return provoke


def bad_request(stage: Stage) -> Seen:
    assert "REQUEST_INVALID" in stage.plugin("bad-name", CNI_IFNAME="sixteen-chars-xx").error
    return stage.rpc("ipam", "AddPod", stage.request("bad-path", netns="relative/path"))


def answer_that_makes_no_sense(stage: Stage) -> Seen:
    """ipam's answer to an ADD has no result: a defect, which the plugin must report in a CNI error all the same."""
    from senseless import senseless_ipam

    with senseless_ipam(stage.node):
        return stage.plugin("senseless", conf={"ipamSocket": "/run/senseless.sock"})


@dataclasses.dataclass(frozen=True)
class Row:
    """``places``: where the reason is found. ``service``: whose log says it."""

    provoke: Callable[[Stage], Seen]
    places: tuple[str, ...] = ADD
    stage: str = "big"
    service: str = "ipam"


ANNOTATION: Final = (
    '[{"eniId":"eni-9","ifAddress":"02:00:00:00:00:09","privateIp":"10.0.1.9","vlanID":9,"subnetCidr":"10.0.1.0/24"}]'
)
ROWS: Final = {
    # on the node that can grow, as long as it has one ENI
    Reason.ENI_ATTACH_FAILED: Row(fault(5, kind="deny", actions=["AttachNetworkInterface"])),
    Reason.SUBNET_FULL: Row(fault(kind="subnet-full")),
    Reason.SUBNET_NO_PREFIX: Row(no_prefix, ("metric", "log")),  # the pool goes on with single addresses
    Reason.EC2_THROTTLED: Row(throttled, NO_EVENT, service="eni-manager"),  # an ADD waits meanwhile: POOL_WARMING
    Reason.EC2_UNREACHABLE: Row(fault(kind="reset")),
    Reason.EC2_REFUSED: Row(fault(kind="error", code="InvalidParameterValue", status=400)),
    Reason.IAM_DENIED: Row(fault(kind="deny")),
    Reason.POOL_WARMING: Row(grows_slowly),
    Reason.NODE_NOT_GROWING: Row(setting(DISABLE_NETWORK_RESOURCE_PROVISIONING="true")),
    Reason.MAX_PODS: Row(setting(VPCCNI_MAX_PODS="1")),
    Reason.IMDS_UNREACHABLE: Row(no_metadata),
    Reason.KUBERNETES_UNREACHABLE: Row(no_api_server),
    Reason.ENI_CONFIG_MISSING: Row(no_eni_config),
    Reason.ENI_CONFIG_INVALID: Row(bad_eni_config),
    Reason.SUBNET_NONE_ELIGIBLE: Row(no_subnet),
    Reason.CAPACITY_IN_USE: Row(release_what_is_in_use, NO_EVENT, service="eni-manager"),
    # the kernel
    Reason.NETNS_GONE: Row(no_namespace),
    Reason.NETNS_INVALID: Row(no_namespace_file),
    Reason.LINK_EXISTS: Row(link_is_there),
    Reason.LINK_MISSING: Row(eni(4, "02:00:00:00:00:99"), NO_EVENT, service="netconf"),
    Reason.TABLE_CONFLICT: Row(eni(255), NO_EVENT, service="netconf"),
    Reason.KERNEL_REFUSED: Row(sysctls_are_read_only),
    Reason.PACKET_FILTER_FAILED: Row(no_packet_filter),
    Reason.STATE_DIFFERS: Row(changed_pod, NO_EVENT),  # CHECK
    # what ipam keeps, and its settings
    Reason.STORE_FAILED: Row(no_room_for_the_checkpoint),
    Reason.STORE_CORRUPT: Row(corrupt_checkpoint, ("log",)),  # nothing fails: state is rebuilt from the kernel
    Reason.CONFIG_INVALID: Row(bad_setting, ("metric", "log", "event")),
    Reason.VERSION_SKEW: Row(far_version),
    Reason.UNKNOWN_POD: Row(unknown_pod, NO_EVENT),  # CHECK
    Reason.POD_BUSY: Row(same_pod_twice, NO_EVENT),
    Reason.REQUEST_INVALID: Row(bad_request, NO_EVENT),
    Reason.INTERNAL: Row(answer_that_makes_no_sense, ("error", "plugin-log")),
    # services that are away
    Reason.IPAM_UNREACHABLE: Row(killed("ipam"), ("error", "plugin-log")),
    Reason.NETCONF_UNREACHABLE: Row(killed("netconf")),
    Reason.ENI_MANAGER_UNREACHABLE: Row(killed("eni-manager", more=1)),
    Reason.DEADLINE_EXCEEDED: Row(stopped("netconf"), NO_EVENT),
    Reason.NOT_READY: Row(stopped("eni-manager", ("ipam",))),
    Reason.DRAINING: Row(ipam_is_told_to_stop, ("error", "log")),  # its metrics and spans end with it
    # security groups for pods
    Reason.POD_NOT_FOUND: Row(branch_pod("", "")),
    Reason.TRUNK_MISSING: Row(branch_pod("no-trunk", ANNOTATION)),
    Reason.BRANCH_ENI_MISSING: Row(branch_pod("no-branch", "")),
    # on the node of two addresses
    Reason.ENI_LIMIT: Row(is_full, stage="tiny"),
    Reason.ADDRESS_QUARANTINED: Row(eni_is_taken_away, stage="tiny"),
    Reason.ALL_COOLING: Row(cools, stage="tiny"),
}


def test_every_reason_has_a_row() -> None:
    assert set(ROWS) == set(Reason)


@pytest.mark.parametrize("reason", ROWS)
def test_a_provoked_reason_is_found(reason: Reason, stages: dict[str, Stage]) -> None:
    row = ROWS[reason]
    stage = stages[row.stage]
    stage.reset()
    stage.wanted = reason
    mark = stage.mark()
    seen = row.provoke(stage)
    lacking = [place for place in row.places if not settles(lambda: LOOK[place](stage, row, reason, seen, mark))]  # noqa: B023
    assert lacking == [], f"{seen}\n{stage.lines(row.service, mark)[-5:]}"


# Where it is looked for


def in_error(stage: Stage, row: Row, reason: Reason, seen: Seen, mark: Mark) -> bool:
    return f"{reason}: " in seen.error


def in_span(stage: Stage, row: Row, reason: Reason, seen: Seen, mark: Mark) -> bool:
    spans = stage.lab.spans(seen.trace_id, within=0.5)
    return any(span.attributes.get("vpccni.reason") == reason and span.service == seen.service for span in spans)


def in_metric(stage: Stage, row: Row, reason: Reason, seen: Seen, mark: Mark) -> bool:
    return stage.counts(seen.service, seen.method, reason, mark)


def in_log(stage: Stage, row: Row, reason: Reason, seen: Seen, mark: Mark) -> bool:
    of_pod = seen.container != ""
    return any(
        line.get("reason") == reason
        and line["node"] == stage.name
        and (not of_pod or (line.get("pod"), line.get("container")) == (seen.pod, seen.container))
        and (not of_pod or line["trace_id"] == seen.trace_id)
        for line in stage.lines(row.service, mark)
    )


def in_plugin_log(stage: Stage, row: Row, reason: Reason, seen: Seen, mark: Mark) -> bool:
    return any(
        (line["reason"], line["pod"], line["trace_id"]) == (reason, seen.pod, seen.trace_id)
        for line in stage.lines("plugin", mark)
    )


def in_event(stage: Stage, row: Row, reason: Reason, seen: Seen, mark: Mark) -> bool:
    return stage.api.event(reason, seen.pod.partition("/")[2], 0.1) is not None


LOOK: Final = {
    "error": in_error,
    "span": in_span,
    "metric": in_metric,
    "log": in_log,
    "plugin-log": in_plugin_log,
    "event": in_event,
}
