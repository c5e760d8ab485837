"""The real ipam process and a Kubernetes API over HTTP: capacity, cordon, events, annotations, ENIConfigs, an API that is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kube_standin import CNI_NODES, ENI_CONFIGS, NODES, Api
from vpccni_api.reasons import Reason, ReasonError
from vpccni_cli.commands import status
from vpccni_cli.node import Node
from wire_ipam import World, harness, until

pytestmark = pytest.mark.wire
NODE = f"{NODES}/node-1"
SERVING, NOT_SERVING = 1, 2
POD_IPS = "vpc.amazonaws.com/pod-ips"
Body = Callable[[World, Api], Awaitable[None]]


def node(pods: int = 110, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "node-uid"} | more.pop("metadata", {}),
        "status": {"capacity": {"pods": str(pods)}},
        **more,
    }


def run(body: Body, *, found: dict[str, Any] | None = None, started: bool = True, **environ: str) -> None:
    async def scenario() -> None:
        api = Api()
        await api.start()
        try:
            await api.put(NODE, found or node())
            async with harness.world(started=False, **environ) as world:
                world.environ |= {
                    "VPCCNI_KUBERNETES": environ.get("VPCCNI_KUBERNETES", "on"),
                    "KUBECONFIG": api.kubeconfig(world.path / "kubeconfig"),
                    "MY_NODE_NAME": "node-1",
                    "MY_POD_NAME": "aws-node-x",
                }
                if started:
                    await world.start()
                await body(world, api)
        finally:
            await api.stop()

    asyncio.run(scenario())


async def refused(call: Awaitable[Any]) -> ReasonError:
    with pytest.raises(ReasonError) as caught:
        await call
    return caught.value


def events(api: Api) -> list[dict[str, Any]]:
    return [body for path, body in api.objects.items() if "/events/" in path]


def test_the_nodes_capacity_is_the_most_pods_and_may_change() -> None:
    async def body(world: World, api: Api) -> None:
        assert await world.health("apiserver") == SERVING
        lists = [query for query in api.queries if "watch" not in query]
        assert lists == [{"fieldSelector": ["metadata.name=node-1"]}], "the own node, and nothing else, is asked for"
        outcomes = await asyncio.gather(*(world.address(f"p{n}", 40) for n in range(12)), return_exceptions=True)
        assert sum(isinstance(o, str) for o in outcomes) == 11
        await api.put(NODE, node(pods=14))
        assert await world.address("later", 40)

    run(body, found=node(pods=11), WARM_IP_TARGET="1")


def test_adds_are_served_while_the_api_server_is_away() -> None:
    async def body(world: World, api: Api) -> None:
        await api.stop()
        await world.start()
        assert await world.address("a")
        assert await world.health("apiserver") == NOT_SERVING
        await world.delete("a")
        await api.start()
        await world.until_health("apiserver")
        await api.stop()
        await world.until_health("apiserver", NOT_SERVING)
        assert await world.address("b")

    run(body, started=False)


def test_required_means_that_it_does_not_start_without() -> None:
    async def body(world: World, api: Api) -> None:
        await api.stop()
        world.spawn()
        assert world.process is not None
        assert await asyncio.to_thread(world.process.wait, 60) == 1
        assert "KUBERNETES_UNREACHABLE" in world.log()

    run(body, started=False, VPCCNI_KUBERNETES="required", VPCCNI_KUBERNETES_WAIT="1")


def test_a_cordoned_node_serves_what_it_has_and_does_not_grow() -> None:
    async def body(world: World, api: Api) -> None:
        before = (await world.settled()).total
        await api.put(NODE, node(spec={"unschedulable": True, "taints": [{"key": "other", "effect": "NoSchedule"}]}))

        async def noticed() -> bool:
            return "cordoned" in world.log()

        await until(noticed, world.log)
        for n in range(before):
            await world.address(f"p{n}")
        error = await refused(world.address("one-more", 20))
        assert error.reason is Reason.NODE_NOT_GROWING and "node-1 is cordoned" in error.message
        assert (await world.inspect()).total == before
        await api.put(NODE, node())
        assert await world.address("at-last", 40)

    run(body, WARM_IP_TARGET="2")


def test_a_cordoned_node_grows_where_that_is_wanted() -> None:
    async def body(world: World, api: Api) -> None:
        for n in range(12):
            assert await world.address(f"p{n}", 30)

    run(
        body,
        found=node(spec={"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}),
        WARM_IP_TARGET="1",
        AWS_MANAGE_ENIS_NON_SCHEDULABLE="true",
    )


def test_history_that_is_gone_is_listed_again() -> None:
    async def body(world: World, api: Api) -> None:
        await world.settled()
        await api.forget_history()
        await api.put(NODE, node(spec={"unschedulable": True}))

        async def noticed() -> bool:
            return "cordoned" in world.log()

        await until(noticed, world.log)
        assert api.requests.count(f"GET {NODES}") >= 3

    run(body)


def test_a_failed_add_is_an_event_of_the_pod() -> None:
    async def body(world: World, api: Api) -> None:
        for n in range(4):
            await world.address(f"p{n}", 40)
        error = await refused(world.address("late", 40))
        assert error.reason is Reason.MAX_PODS

        async def there() -> bool:
            return bool(events(api))

        await until(there, world.log)
        (event,) = events(api)
        assert event["reason"] == "MAX_PODS" and event["type"] == "Warning" and event["note"] == error.message
        pod = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "late", "uid": "u-late"}
        assert event["regarding"] == pod
        # The runtime tries again; the same failure of the same pod is said once.
        await refused(world.address("late", 40))
        await refused(world.address("other", 40))

        async def other() -> bool:
            return len(events(api)) == 2

        await until(other, world.log)
        assert {e["regarding"]["name"] for e in events(api)} == {"late", "other"}

    run(body, found=node(pods=4), WARM_IP_TARGET="1")


def test_an_add_of_a_plugin_too_far_from_our_version_is_an_event_of_the_pod() -> None:
    async def body(world: World, api: Api) -> None:
        error = await refused(world.add("late", plugin_version="9.9.0"))

        async def there() -> bool:
            return bool(events(api))

        await until(there, world.log)
        (event,) = events(api)
        assert (event["reason"], event["note"]) == ("VERSION_SKEW", error.message)
        assert event["regarding"]["name"] == "late"

    run(body)


def test_malformed_settings_and_missing_permissions_are_events_of_the_own_pod() -> None:
    async def body(world: World, api: Api) -> None:
        world.manager.error = ReasonError(Reason.IAM_DENIED, "ec2:AssignPrivateIpAddresses: not allowed")
        world.spawn()

        async def there() -> bool:
            return len(events(api)) >= 2

        await until(there, world.log)
        found = {event["reason"]: event for event in events(api)}
        assert set(found) == {"CONFIG_INVALID", "MissingIAMPermissions"}
        assert "WARM_ENI_TARGET='many'" in found["CONFIG_INVALID"]["note"]
        assert all(event["regarding"]["name"] == "aws-node-x" for event in found.values())
        assert all(event["metadata"]["namespace"] == "kube-system" for event in found.values())

    run(body, started=False, WARM_ENI_TARGET="many")


def test_malformed_settings_of_every_service_are_events_once() -> None:
    """netconf and eni-manager tell ipam; a value that two services read is said once, also after they restarted."""

    async def body(world: World, api: Api) -> None:
        level = "AWS_VPC_K8S_CNI_LOGLEVEL='LOUD': not one of: DEBUG, INFO, WARN, ERROR, FATAL; using 'DEBUG'"
        world.netconf.bad_settings = {"AWS_VPC_K8S_CNI_LOGLEVEL": level, "VPCCNI_NETCONF_REPAIR_INTERVAL": "too often"}
        world.manager.bad_settings = {"HTTP_TIMEOUT": "HTTP_TIMEOUT='soon': not an integer"}
        await world.start()
        names = ("AWS_VPC_K8S_CNI_LOGLEVEL", "HTTP_TIMEOUT", "VPCCNI_NETCONF_REPAIR_INTERVAL", "WARM_ENI_TARGET")

        def said() -> list[str]:
            return sorted(event["action"] for event in events(api) if event["reason"] == "CONFIG_INVALID")

        async def all_said() -> bool:
            return said() == [f"Read{name}" for name in names]

        await until(all_said, world.log)
        for leaf, name in ((world.netconf_leaf, "netconf"), (world.manager_leaf, "eni-manager")):
            await leaf.stop()
            await world.until_health(name, NOT_SERVING)
            await leaf.start()
            await world.until_health(name)
        assert await all_said()

    run(body, started=False, WARM_ENI_TARGET="many", AWS_VPC_K8S_CNI_LOGLEVEL="LOUD")


def condition(api: Api) -> tuple[str, str] | None:
    """(status, reason) of the node's condition."""
    found = api.objects[NODE].get("status", {}).get("conditions", ())
    return next(((c["status"], c["reason"]) for c in found if c["type"] == "PodAddressesExhausted"), None)


def test_the_node_s_condition_says_when_addresses_run_out_and_when_they_are_back() -> None:
    async def body(world: World, api: Api) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        await api.put(NODE, node() | {"status": {"capacity": {"pods": "110"}, "conditions": [ready]}})

        async def said(wanted: tuple[str, str]) -> None:
            async def there() -> bool:
                return condition(api) == wanted

            await until(there, world.log, 40)

        await world.start()
        await said(("False", "AddressesAvailable"))
        world.manager.subnet_free = 0
        for name in ("a", "b"):
            assert await world.address(name, 40)
        await said(("True", "SUBNET_FULL"))
        await world.kill()
        await world.start()
        world.manager.subnet_free = 5
        await said(("False", "AddressesAvailable"))
        assert ready in api.objects[NODE]["status"]["conditions"], "those of others stay"

    run(body, started=False, WARM_IP_TARGET="2", VPCCNI_NODE_CONDITION="true")


def pod(name: str, uid: str = "") -> dict[str, Any]:
    return {"metadata": {"uid": uid or f"u-{name}"}, "spec": {"nodeName": "node-1"}}


def pod_path(name: str) -> str:
    return f"/api/v1/namespaces/default/pods/{name}"


def said(api: Api, name: str) -> Any:
    return api.objects[pod_path(name)]["metadata"].get("annotations", {}).get(POD_IPS)


def test_the_address_is_annotated_and_taken_back() -> None:
    async def body(world: World, api: Api) -> None:
        for name in ("a", "b"):
            await api.put(pod_path(name), pod(name))
        await api.put(pod_path("again"), pod("again", uid="another-pod-of-that-name"))
        addresses = {name: await world.address(name) for name in ("gone", "again", "a", "b")}

        async def annotated() -> bool:
            return bool(said(api, "a") == addresses["a"] and said(api, "b") == addresses["b"])

        await until(annotated, world.log)
        assert said(api, "again") is None, "the annotation is for the pod that was added, not for its successor"
        changed = api.objects[pod_path("b")]
        changed["metadata"]["annotations"][POD_IPS] = "10.9.9.9"
        await api.put(pod_path("b"), changed)
        await world.delete("b")
        await world.delete("a")

        async def taken_back() -> bool:
            return bool(said(api, "a") == "")

        await until(taken_back, world.log)
        assert said(api, "b") == "10.9.9.9", "what someone else wrote stays"

    run(body, ANNOTATE_POD_IP="true")


def test_annotations_wait_for_the_api_server_and_adds_do_not() -> None:
    async def body(world: World, api: Api) -> None:
        await api.put(pod_path("a"), pod("a"))
        await api.stop()
        address = await world.address("a")
        await api.start()

        async def annotated() -> bool:
            return bool(said(api, "a") == address)

        await until(annotated, world.log)

    run(body, ANNOTATE_POD_IP="true")


def eni_config(subnet: str = "subnet-1a", groups: tuple[str, ...] = ("sg-1",)) -> dict[str, Any]:
    return {"kind": "ENIConfig", "spec": {"subnet": subnet, "securityGroups": list(groups)}}


CUSTOM: dict[str, Any] = {
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
    "ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone",
}
ZONE_LABEL = {"labels": {"topology.kubernetes.io/zone": "eu-1a"}}


def test_custom_networking_takes_subnet_and_groups_from_the_zones_eni_config() -> None:
    async def body(world: World, api: Api) -> None:
        await api.put(f"{ENI_CONFIGS}/eu-1a", eni_config())
        await world.start()
        address = await world.address("a", 40)
        (profile,) = {(p.name, p.subnet_id, tuple(p.security_groups)) for p in world.manager.profiles}
        assert profile == ("eu-1a", "subnet-1a", ("sg-1",))
        found = await world.inspect()
        holder = next(e for e in found.enis if any(x.address == address for c in e.cidrs for x in c.addresses))
        assert not holder.is_primary
        page = f"http://127.0.0.1:{world.introspection_port}/v1/eni-configs"
        assert json.loads(await asyncio.to_thread(_fetch, page)) == "eu-1a"
        # Annotation before label; the external label before both.
        world.manager.profiles.clear()
        await api.put(f"{ENI_CONFIGS}/mine", eni_config("subnet-2b", ()))
        await api.put(NODE, node(metadata=ZONE_LABEL | {"annotations": {"k8s.amazonaws.com/eniConfig": "mine"}}))

        async def named() -> bool:
            return bool(json.loads(await asyncio.to_thread(_fetch, page)) == "mine")

        await until(named, world.log)

    run(body, found=node(metadata=ZONE_LABEL), started=False, **CUSTOM)


def _fetch(url: str) -> str:
    import urllib.request

    with urllib.request.urlopen(url, timeout=5) as reply:
        return str(reply.read().decode())


def test_a_missing_or_malformed_eni_config_is_said_and_the_node_goes_on() -> None:
    async def body(world: World, api: Api) -> None:
        world.spawn()

        async def event_of(reason: str) -> bool:
            return any(e["reason"] == reason and e["regarding"]["kind"] == "Node" for e in events(api))

        await until(lambda: event_of("ENI_CONFIG_MISSING"), world.log)
        error = await refused(world.address("a", 20))
        assert error.reason is Reason.ENI_CONFIG_MISSING and "ENIConfig eu-1a does not exist" in error.message
        await api.put(f"{ENI_CONFIGS}/eu-1a", {"spec": {"subnet": "vpc-1"}})
        await until(lambda: event_of("ENI_CONFIG_INVALID"), world.log)
        error = await refused(world.address("a", 20))
        assert error.reason is Reason.ENI_CONFIG_INVALID and "spec.subnet is 'vpc-1'" in error.message
        assert world.process is not None and world.process.poll() is None
        await api.put(f"{ENI_CONFIGS}/eu-1a", eni_config())
        assert await world.address("a", 40)

    run(body, found=node(metadata=ZONE_LABEL), started=False, **CUSTOM)


def test_eni_configs_from_files_where_there_is_no_kubernetes() -> None:
    async def body(world: World, api: Api) -> None:
        directory = world.path / "eni-configs"
        directory.mkdir()
        (directory / "wrong.yaml").write_text("kind: ENIConfig\nmetadata: [\n")
        world.environ["VPCCNI_ENI_CONFIG_DIR"] = str(directory)
        world.spawn()

        async def missing() -> bool:
            return "ENI_CONFIG_MISSING" in world.log() and "wrong.yaml" in world.log()

        await until(missing, world.log)
        text = "kind: ENIConfig\nmetadata: {name: %s}\nspec: {subnet: %s}\n"
        both = "\n---\n".join(text % pair for pair in (("eu-1a", "subnet-1a"), ("eu-1b", "subnet-1b")))
        (directory / "zones.yaml").write_text(both)
        await world.until_health("ready")
        assert await world.address("a", 40)
        assert {(p.name, p.subnet_id) for p in world.manager.profiles} == {("eu-1b", "subnet-1b")}
        assert not api.requests

    labels = "topology.kubernetes.io/zone=eu-1b,x=y"
    run(body, started=False, VPCCNI_KUBERNETES="off", VPCCNI_NODE_LABELS=labels, **CUSTOM)


BRANCH = {
    "eniId": "eni-branch",
    "ifAddress": "02:00:00:00:bb:01",
    "privateIp": "10.0.9.7",
    "ipv6Addr": "",
    "vlanId": 7,
    "subnetCidr": "10.0.9.0/24",
    "subnetV6Cidr": "",
}
ASKS = {"nodeName": "node-1", "containers": [{"resources": {"limits": {"vpc.amazonaws.com/pod-eni": "1"}}}]}


def guarded(name: str, *branches: dict[str, Any], uid: str = "") -> dict[str, Any]:
    annotations = {"vpc.amazonaws.com/pod-eni": json.dumps(branches)} if branches else {}
    return {"metadata": {"uid": uid or f"u-{name}", "annotations": annotations}, "spec": ASKS}


async def with_trunk(world: World, api: Api) -> None:
    await api.put(f"{CNI_NODES}/node-1", {"spec": {"features": [{"name": "Other", "value": "x"}]}})
    await world.start()
    assert await world.address("plain")
    world.manager.enis.append(harness.ModelEni("eni-trunk", 2, [], "trunk"))
    await world.manager.bump()

    async def there() -> bool:
        return any(e.is_trunk for e in (await world.inspect()).enis)

    await until(there, world.log)


def asked(world: World) -> dict[str, Any]:
    """What `vpccni` sees."""
    with Node(world.socket, 5) as found:
        return found.inspect()


def test_a_pod_with_security_groups_gets_its_branch_eni() -> None:
    async def body(world: World, api: Api) -> None:
        await api.put(pod_path("plain"), pod("plain"))
        await with_trunk(world, api)

        async def asked_for() -> bool:
            features = api.objects[f"{CNI_NODES}/node-1"]["spec"]["features"]
            return bool(features == [{"name": "Other", "value": "x"}, {"name": "SecurityGroupsForPods", "value": ""}])

        await until(asked_for, world.log)
        held = (await world.inspect()).assigned

        await api.put(pod_path("sg"), guarded("sg"))
        waiting = asyncio.create_task(world.add("sg", 30))
        await asyncio.sleep(0.2)
        await api.put(pod_path("sg"), guarded("sg", BRANCH))
        result = await waiting
        (spec,) = [spec for spec in world.netconf.pods.values() if spec.HasField("branch")]
        assert spec.host_veth.startswith("vlan") and spec.branch.strict and spec.address == "10.0.9.7"
        assert (spec.branch.vlan_id, spec.branch.mac, spec.branch.gateway) == (7, "02:00:00:00:bb:01", "10.0.9.1")
        assert spec.branch.trunk_mac == "02:00:00:00:00:02"
        assert [(i.name[:5], i.mac, i.sandbox) for i in result.interfaces] == [
            (spec.host_veth[:5], "", ""),
            ("eth0", "0", "/run/netns/sg"),
            ("dummy", "7", ""),
        ]
        assert (result.ips[0].address, result.ips[0].gateway) == ("10.0.9.7/32", "10.0.9.1")
        assert (await world.inspect()).assigned == held, "it takes no address of the pool"
        assert "c-sg" not in world.stored()
        (branch,) = [view for view in (await world.inspect()).enis if view.branch_vlan]
        assert (branch.branch_vlan, branch.eni_id, branch.mac) == (7, "eni-branch", "02:00:00:00:bb:01")
        (line,) = branch.cidrs[0].addresses
        assert (branch.cidrs[0].cidr, line.state, line.key.container_id) == ("10.0.9.7/32", "assigned", "c-sg")
        lines = status.lines(await asyncio.to_thread(asked, world))
        assert "branch ENIs of pods: 1" in lines[0]
        assert any("eni-branch" in line and line.rstrip().endswith("branch, VLAN 7") for line in lines)

        # A restart of ipam keeps it wired, and knows it.
        await world.kill()
        await world.start()
        assert any(s.HasField("branch") for s in world.netconf.pods.values())
        await world.delete("sg", prev_result=result)
        assert not any(s.HasField("branch") for s in world.netconf.pods.values())
        # The record is gone: what the runtime kept is enough.
        world.netconf.pods[spec.host_veth] = spec
        await world.delete("sg", prev_result=result)
        assert not any(s.HasField("branch") for s in world.netconf.pods.values())

        async def said_so() -> bool:
            labels = api.objects[NODE]["metadata"].get("labels", {})
            return bool(labels.get("vpc.amazonaws.com/has-trunk-attached") == "true")

        await until(said_so, world.log)

    run(body, started=False, ENABLE_POD_ENI="true", WARM_IP_TARGET="2")


@pytest.mark.parametrize("multi_nic", ["true", "false"])
def test_a_pod_with_a_branch_eni_has_that_one_interface_also_when_it_asks_for_every_network_card(
    multi_nic: str,
) -> None:
    async def body(world: World, api: Api) -> None:
        await api.put(pod_path("plain"), pod("plain"))
        await with_trunk(world, api)
        await api.put(pod_path("sg"), guarded("sg", BRANCH))
        result = await world.add("sg", 30, multi_nic=True)
        assert [ip.address for ip in result.ips] == ["10.0.9.7/32"]
        assert [spec.index for spec in world.netconf.pods.values() if spec.name == "sg"] == [0]

    run(body, started=False, ENABLE_POD_ENI="true", WARM_IP_TARGET="2", ENABLE_MULTI_NIC=multi_nic)


def test_what_is_missing_for_a_branch_eni_is_the_reason() -> None:
    async def body(world: World, api: Api) -> None:
        await api.put(pod_path("sg"), guarded("sg", BRANCH))
        error = await refused(world.add("sg", 4))
        assert error.reason is Reason.TRUNK_MISSING
        await api.put(pod_path("bare"), guarded("bare"))
        error = await refused(world.add("bare", 4))
        assert error.reason is Reason.BRANCH_ENI_MISSING
        await api.put(pod_path("old"), guarded("old", BRANCH, uid="the-one-before"))
        error = await refused(world.add("old", 4))
        assert error.reason is Reason.POD_NOT_FOUND
        error = await refused(world.add("nobody", 4))
        assert error.reason is Reason.POD_NOT_FOUND
        await api.stop()
        error = await refused(world.add("later", 4))
        assert error.reason is Reason.KUBERNETES_UNREACHABLE

    run(body, ENABLE_POD_ENI="true", WARM_IP_TARGET="2")
