"""Pure parts of the Kubernetes edge: what is read from objects, which events are sent, how the API server is found."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_ipam.adapters.branch_files import BranchFiles
from vpccni_ipam.adapters.eni_config_files import EniConfigFiles
from vpccni_ipam.adapters.kubernetes_http import Access, access
from vpccni_ipam.annotate import Annotate
from vpccni_ipam.domain.address_condition import LASTS_S, SteadyCondition, condition_of
from vpccni_ipam.domain.eni_config import EniConfig, eni_config
from vpccni_ipam.domain.event_filter import BURST, NOTE_MAX, REPEAT_S, Event, EventFilter, Subject, short_note
from vpccni_ipam.domain.model import Assignment, Branch, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.node_state import NodeState, eni_config_name, node_state
from vpccni_ipam.domain.pod_eni import branch_of, features_with, pod_facts
from vpccni_ipam.domain.result import compose, kept_facts

ANNOTATION, LABEL = "k8s.amazonaws.com/eniConfig", "topology.kubernetes.io/zone"
TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("labels", "annotations", "name"),
    [
        ({}, {}, "default"),
        ({LABEL: "zone-a"}, {}, "zone-a"),
        ({LABEL: "zone-a"}, {ANNOTATION: "mine"}, "mine"),
        ({LABEL: "zone-a", "vpc.amazonaws.com/externalEniConfig": "given"}, {ANNOTATION: "mine"}, "given"),
        ({LABEL: ""}, {ANNOTATION: ""}, "default"),
    ],
)
def test_which_eni_config(labels: dict[str, str], annotations: dict[str, str], name: str) -> None:
    state = NodeState("n", labels=labels, annotations=annotations)
    assert eni_config_name(state, ANNOTATION, LABEL) == name


@pytest.mark.parametrize(
    ("spec", "cordoned"),
    [
        ({}, False),
        ({"unschedulable": True}, True),
        ({"unschedulable": False, "taints": [TAINT]}, True),
        ({"taints": [TAINT | {"effect": "NoExecute"}]}, False),
        ({"taints": [{"key": "other", "effect": "NoSchedule"}]}, False),
        ({"taints": None}, False),
    ],
)
def test_cordon(spec: dict[str, Any], cordoned: bool) -> None:
    state = node_state({"metadata": {"name": "n"}, "spec": spec})
    assert state.cordoned is cordoned and bool(state.why_unschedulable) is cordoned


def test_a_node_that_is_being_deleted_and_one_that_says_nothing() -> None:
    gone = node_state({"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert gone.why_unschedulable == "node n is being deleted"
    assert node_state({}) == NodeState()
    assert node_state({"metadata": None, "status": {"capacity": {"pods": "many"}}}).pod_capacity == 0
    assert node_state({"status": {"capacity": {"pods": "110"}}}).pod_capacity == 110


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (None, "spec"),
        ({}, "spec.subnet"),
        ({"subnet": "vpc-1"}, "spec.subnet"),
        ({"subnet": 5}, "spec.subnet"),
        ({"subnet": "subnet-1", "securityGroups": "sg-1"}, "spec.securityGroups"),
        ({"subnet": "subnet-1", "securityGroups": ["sg-1", "x"]}, "spec.securityGroups"),
    ],
)
def test_a_malformed_eni_config_names_the_field(spec: object, field: str) -> None:
    with pytest.raises(ReasonError) as caught:
        eni_config({"metadata": {"name": "zone-a"}, "spec": spec})
    assert caught.value.reason is Reason.ENI_CONFIG_INVALID
    assert f"ENIConfig zone-a: {field} is " in caught.value.message


def test_eni_config_files(tmp_path: Path) -> None:
    seen: list[dict[str, EniConfig | ReasonError]] = []
    files = EniConfigFiles(str(tmp_path), lambda found: seen.append(dict(found)))
    files.look()
    files.look()
    assert seen == [{}], "read once, as nothing changed"
    good = {"kind": "ENIConfig", "metadata": {"name": "a"}, "spec": {"subnet": "subnet-1", "securityGroups": ["sg-1"]}}
    (tmp_path / "a.json").write_text(json.dumps(good))
    (tmp_path / "b.yaml").write_text("kind: ConfigMap\nmetadata: {name: x}\n---\n- 1\n")
    (tmp_path / "c.txt").write_text("not looked at")
    files.look()
    assert seen[-1]["a"] == EniConfig("a", "subnet-1", ("sg-1",))
    assert set(seen[-1]) == {"a", "b"} and isinstance(seen[-1]["b"], ReasonError)
    (tmp_path / "a.json").unlink()
    files.look()
    assert set(seen[-1]) == {"b"}


def event(number: int = 0, reason: str = "SUBNET_FULL") -> Event:
    return Event(Subject("Pod", f"p{number}", "default"), reason, "AddPod", "why")


def test_an_event_is_not_repeated_and_a_storm_is_cut() -> None:
    filter_ = EventFilter()
    assert filter_.lets_through(event(), 0.0) and not filter_.lets_through(event(), REPEAT_S - 1)
    assert filter_.lets_through(event(reason="ENI_LIMIT"), REPEAT_S - 1)
    assert filter_.lets_through(dataclasses.replace(event(), action="other"), REPEAT_S - 1)
    assert filter_.lets_through(event(), REPEAT_S)
    storm = EventFilter()
    assert sum(storm.lets_through(event(number), 1.0) for number in range(1000)) == int(BURST)
    assert storm.lets_through(event(5000), 7.0)
    assert len(short_note("x" * 5000)) == NOTE_MAX and short_note("x") == "x"


def test_the_node_condition_is_what_a_person_can_repair_and_has_lasted() -> None:
    full = condition_of(ReasonError(Reason.SUBNET_FULL, "none of 2 subnets"))
    fine = condition_of(None)
    assert (full.exhausted, full.reason) == (True, "SUBNET_FULL") and not fine.exhausted
    for passing in (Reason.POOL_WARMING, Reason.ALL_COOLING, Reason.MAX_PODS):
        assert condition_of(ReasonError(passing, "")) == fine
    steady = SteadyCondition()
    assert steady.look(fine, 0.0) is None and steady.look(full, 1.0) is None
    assert steady.look(dataclasses.replace(full, message="of 3"), 1.0 + LASTS_S) is not None
    assert steady.look(fine, 12.0) is None and steady.look(fine, 12.0 + LASTS_S) == fine


BRANCH = {
    "eniId": "eni-1",
    "ifAddress": "02:00:00:00:00:aa",
    "privateIp": "10.0.9.7",
    "vlanId": 7,
    "subnetCidr": "10.0.9.0/24",
}
SIX = BRANCH | {"ipv6Addr": "2001:db8::7", "subnetV6Cidr": "2001:db8::/64"}


def test_the_branch_of_the_annotation() -> None:
    address, branch = branch_of(json.dumps([BRANCH, {}]), "02:aa", ipv6=False, strict=True)
    assert (address, branch) == (
        "10.0.9.7",
        Branch("eni-1", 7, "02:00:00:00:00:aa", "10.0.9.0/24", "10.0.9.1", "02:aa", True),
    )
    address, branch = branch_of(json.dumps([SIX]), "02:aa", ipv6=True, strict=False)
    assert (address, branch.gateway, branch.strict) == ("2001:db8::7", "fe80:ec2::1", False)
    upper = {key[:1].upper() + key[1:]: value for key, value in BRANCH.items()}
    assert branch_of(json.dumps([upper]), "02:aa", ipv6=False, strict=True)[0] == "10.0.9.7"


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "[]",
        "{}",
        "null",
        "not json",
        json.dumps([BRANCH | {"vlanId": 0}]),
        json.dumps([BRANCH | {"vlanId": 4095}]),
        json.dumps([BRANCH | {"ifAddress": "02:00"}]),
        json.dumps([BRANCH | {"privateIp": ""}]),
        json.dumps([BRANCH | {"subnetCidr": "10.0.9.7/24"}]),
    ],
)
def test_an_annotation_that_cannot_be_used(annotation: str) -> None:
    with pytest.raises(ReasonError) as caught:
        branch_of(annotation, "02:aa", ipv6=False, strict=True)
    assert caught.value.reason is Reason.BRANCH_ENI_MISSING


def test_pods_that_ask_for_a_branch() -> None:
    asks = {"resources": {"limits": {"vpc.amazonaws.com/pod-eni": "1"}}}
    assert pod_facts({"metadata": {"uid": "u"}, "spec": {"containers": [asks]}}).wants_branch
    assert not pod_facts({"spec": {"containers": [{}, asks]}}).wants_branch, "the first container's count"
    assert not pod_facts({}).wants_branch


def test_features_are_added_and_others_stay() -> None:
    other = {"name": "Other", "value": "x"}
    mine = {"name": "SecurityGroupsForPods", "value": ""}
    wanted = {"SecurityGroupsForPods": "", "CustomNetworking": "zone-a"}
    custom = {"name": "CustomNetworking", "value": "zone-a"}
    assert features_with([other], wanted) == [other, mine, custom]
    assert features_with([other, mine, custom], wanted) is None
    assert features_with([custom | {"value": "zone-b"}, mine], wanted) == [mine, custom]


KEY, POD = PodKey("aws-cni", "c1", "eth0"), PodIdentity("default", "p", "u")
ITEM = Assignment(
    KEY,
    POD,
    Wiring("vlanabc", "/run/netns/x"),
    "10.0.9.7",
    1,
    "eni-1",
    branch=Branch("eni-1", 7, "02:00:00:00:00:aa", "10.0.9.0/24", "10.0.9.1", "02:aa", True),
)


def test_the_result_of_a_branch_pod_says_how_to_unwire_it() -> None:
    facts = kept_facts(compose(ITEM), POD, KEY)
    assert facts is not None
    assert (facts.host_veth, facts.address, facts.vlan_id, facts.gateway) == ("vlanabc", "10.0.9.7", 7, "10.0.9.1")


def test_records_of_branch_pods_survive(tmp_path: Path) -> None:
    store = BranchFiles(str(tmp_path / "branch-pods"))
    assert store.load() == []
    store.put(ITEM)
    store.put(dataclasses.replace(ITEM, address="10.0.9.8"))
    (tmp_path / "branch-pods/broken.json").write_text("{")
    (found,) = BranchFiles(str(tmp_path / "branch-pods")).load()
    assert found == dataclasses.replace(ITEM, address="10.0.9.8")
    store.drop(KEY)
    store.drop(KEY)
    assert store.load() == []


def test_how_the_api_server_is_found(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    inside = access({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, "", tmp_path)
    assert inside == Access("https://[fd00::1]:6443", str(tmp_path / "ca.crt"), str(tmp_path / "token"))
    assert inside.header() == "Bearer abc"
    (tmp_path / "token").write_text("renewed")
    assert inside.header() == "Bearer renewed"
    assert access({}, "api.example.com", tmp_path).url == "https://api.example.com"
    assert access({}, "http://127.0.0.1:8001", tmp_path).tls() is None
    with pytest.raises(ReasonError) as caught:
        access({}, "", tmp_path)
    assert caught.value.reason is Reason.KUBERNETES_UNREACHABLE


class Slow:
    """Annotations that fail ``failures`` times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.done: list[tuple[str, str, str]] = []
        self.twice = asyncio.Event()

    async def _do(self, verb: str, pod: PodIdentity, address: str) -> bool:
        if self.failures:
            self.failures -= 1
            raise ReasonError(Reason.KUBERNETES_UNREACHABLE, "away")
        self.done.append((verb, pod.name, address))
        if len(self.done) == 2:
            self.twice.set()
        return True

    async def set(self, pod: PodIdentity, address: str) -> bool:
        return await self._do("set", pod, address)

    async def clear(self, pod: PodIdentity, address: str) -> bool:
        return await self._do("clear", pod, address)


def test_of_several_wishes_for_a_pod_the_last_counts() -> None:
    async def scenario() -> None:
        slow = Slow(failures=1)
        annotate = Annotate(slow)
        annotate.added(POD, "10.0.0.1")
        annotate.added(PodIdentity("default", "q", "v"), "10.0.0.2")
        annotate.added(PodIdentity(), "10.0.0.3")
        annotate.deleted(POD, "10.0.0.1")
        task = asyncio.create_task(annotate.run())
        async with asyncio.timeout(20):
            await slow.twice.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert slow.done == [("clear", "p", "10.0.0.1"), ("set", "q", "10.0.0.2")]

    asyncio.run(scenario())
