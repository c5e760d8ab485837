"""The real ipam process with a real kube-apiserver: a script, run by test_ipam_apiserver.py in the API server's namespace.

Arguments: the kubeconfig of ipam, and kubectl. kubectl finds its own kubeconfig in KUBECONFIG.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import Any

_path = pathlib.Path(__file__).with_name("ipam_harness.py")
_spec = importlib.util.spec_from_file_location("ipam_harness", _path)
assert _spec is not None and _spec.loader is not None
harness = importlib.util.module_from_spec(_spec)
sys.modules["ipam_harness"] = harness
_spec.loader.exec_module(harness)

IPAM_CONFIG, KUBECTL = sys.argv[1:3]
POD_IPS = "vpc.amazonaws.com/pod-ips"
POD_ENI = "vpc.amazonaws.com/pod-eni"
BRANCH = {
    "eniId": "eni-b", "ifAddress": "02:00:00:00:bb:01", "privateIp": "10.0.9.7", "vlanId": 7, "subnetCidr": "10.0.9.0/24",
}  # fmt: skip


def kubectl(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run([KUBECTL, *arguments], input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"kubectl {arguments}: {done.stderr}"
    return done.stdout


def get(*what: str) -> Any:
    return json.loads(kubectl("get", *what, "-o", "json"))


def pod(name: str, *, asks: bool = False) -> str:
    """Creates it on this node; its uid."""
    container: dict[str, Any] = {"name": "c", "image": "x"}
    if asks:
        container["resources"] = {"limits": {POD_ENI: "1"}, "requests": {POD_ENI: "1"}}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": "node-1", "containers": [container]},
    }
    return str(json.loads(kubectl("create", "-o", "json", "-f", "-", text=json.dumps(body)))["metadata"]["uid"])


def annotation(name: str, key: str = POD_IPS) -> Any:
    return get("pod", name)["metadata"].get("annotations", {}).get(key)


def condition() -> Any:
    found = get("node", "node-1")["status"].get("conditions", ())
    return next(((c["status"], c["reason"]) for c in found if c["type"] == "PodAddressesExhausted"), None)


async def until(there: Any, what: str, log: Any) -> None:
    async def met() -> bool:
        return bool(await asyncio.to_thread(there))

    await harness.until(met, lambda: f"{what}\n{log()}", 60)


async def body(world: Any) -> None:
    log = world.log

    def event(kind: str, reason: str) -> Any:
        return [e for e in get("events", "-A")["items"] if (e["involvedObject"]["kind"], e["reason"]) == (kind, reason)]

    await until(lambda: event("Node", "ENI_CONFIG_MISSING"), "an event of the node", log)
    spec = {"subnet": "subnet-1a", "securityGroups": ["sg-1"]}
    config = {
        "apiVersion": "crd.k8s.amazonaws.com/v1alpha1",
        "kind": "ENIConfig",
        "metadata": {"name": "zone-a"},
        "spec": spec,
    }
    kubectl("create", "-f", "-", text=json.dumps(config))
    await world.until_health("ready")
    assert await world.health("apiserver") == harness.SERVING
    assert {(p.name, p.subnet_id) for p in world.manager.profiles} == {("zone-a", "subnet-1a")}

    identity = {"namespace": "default", "name": "a", "uid": pod("a")}
    result = await world.add("a", 40, pod=identity)
    address = result.ips[0].address.split("/")[0]
    await until(lambda: annotation("a") == address, "the annotation", log)
    request = world.del_request("a")
    request.pod.uid = identity["uid"]
    await world.channel.call(world.stub.DelPod, request, 20)
    await until(lambda: annotation("a") == "", "the annotation taken back", log)

    pod("other")
    await world.add(
        "other", 40, pod={"namespace": "default", "name": "other", "uid": get("pod", "other")["metadata"]["uid"]}
    )
    await until(lambda: annotation("other"), "the annotation", log)

    world.manager.enis.append(harness.ModelEni("eni-trunk", 2, [], "trunk"))
    await world.manager.bump()
    label = "vpc.amazonaws.com/has-trunk-attached"
    await until(lambda: get("node", "node-1")["metadata"]["labels"].get(label) == "true", "the node's label", log)
    features = {f["name"]: f.get("value", "") for f in get("cninode", "node-1")["spec"]["features"]}
    assert features == {"Other": "x", "SecurityGroupsForPods": "", "CustomNetworking": "zone-a"}, features
    sg = {"namespace": "default", "name": "sg", "uid": pod("sg", asks=True)}
    adding = asyncio.create_task(world.add("sg", 60, pod=sg))
    await asyncio.to_thread(kubectl, "annotate", "pod", "sg", f"{POD_ENI}={json.dumps([BRANCH])}")
    assert (await adding).ips[0].address == "10.0.9.7/32"

    kubectl("cordon", "node-1")
    await until(lambda: "node: node node-1 is cordoned" in log(), "the cordon", log)
    kubectl("uncordon", "node-1")
    await until(lambda: "node: schedulable again" in log(), "the end of the cordon", log)

    world.manager.subnet_free = 0
    for name in ("last", "very-last"):
        identity = {"namespace": "default", "name": name, "uid": pod(name)}
        await world.add(name, 40, pod=identity)
    await until(lambda: condition() == ("True", "SUBNET_FULL"), "the node's condition", log)


async def main() -> None:
    environ = {
        "VPCCNI_KUBERNETES": "on",
        "KUBECONFIG": IPAM_CONFIG,
        "MY_NODE_NAME": "node-1",
        "MY_POD_NAME": "aws-node-x",
        "WARM_IP_TARGET": "2",
        "ANNOTATE_POD_IP": "true",
        "VPCCNI_NODE_CONDITION": "true",
        "ENABLE_POD_ENI": "true",
        "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
        "ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone",
    }
    async with harness.world(started=False, **environ) as world:
        world.spawn()
        await body(world)
        refused = [line for line in world.log().splitlines() if "HTTP 403" in line]
        assert not refused, refused


asyncio.run(main())
