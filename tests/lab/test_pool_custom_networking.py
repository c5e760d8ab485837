"""Custom networking on the lab's EC2, without Kubernetes: ENIConfigs from files, the zone's label, the real eni-manager."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from pool_node import PoolNode, harness, run
from vpccni_api.reasons import Reason, ReasonError

pytestmark = pytest.mark.wire
CUSTOM = {
    "VPCCNI_NODE_LABELS": "topology.kubernetes.io/zone=us-west-2a",
    "ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
    "WARM_IP_TARGET": "2",
}


def pod_subnet(node: PoolNode) -> tuple[Any, str]:
    """A subnet of the node's zone, and a security group, for pods alone."""
    ec2 = node.aws.ec2
    subnet = ec2.create_subnet(node.aws.vpc.id, "10.0.64.0/20", "us-west-2a")
    return subnet, ec2.create_security_group(node.aws.vpc.id, "pods").id


def configure(node: PoolNode, subnet_id: str, *groups: str) -> None:
    directory = node.path / "eni-configs"
    directory.mkdir(exist_ok=True)
    text = f"kind: ENIConfig\nmetadata: {{name: us-west-2a}}\nspec:\n  subnet: {subnet_id}\n  securityGroups: {list(groups)}\n"
    (directory / "zone.yaml").write_text(text)
    node.environ["VPCCNI_ENI_CONFIG_DIR"] = str(directory)


async def refused(node: PoolNode, name: str) -> ReasonError:
    with pytest.raises(ReasonError) as caught:
        await node.address(name, 10)
    return caught.value


def test_pods_are_in_the_zones_subnet_with_its_groups_and_not_on_the_primary_eni() -> None:
    async def body(node: PoolNode) -> None:
        subnet, group = pod_subnet(node)
        configure(node, subnet.id, group)
        await node.start()
        held = await node.add_all([f"p{n}" for n in range(12)])
        assert all(ipaddress.ip_address(a) in ipaddress.ip_network(subnet.cidr) for a in held.values())
        primary = node.aws.ec2.primary_eni(node.aws.node.id)
        others = [eni for eni in node.attached() if eni.id != primary.id]
        assert not primary.secondary_ips and primary.subnet_id == node.aws.subnet.id
        assert [(e.subnet_id, tuple(e.groups)) for e in others] == [(subnet.id, (group,))] * len(others)
        assert len(others) == 2, "m5.large: nine addresses each"

    run(body, started=False, **CUSTOM)


def test_turned_on_under_running_pods() -> None:
    async def body(node: PoolNode) -> None:
        old = await node.add_all(["a", "b"])
        subnet, group = pod_subnet(node)
        configure(node, subnet.id, group)
        await node.kill()
        node.environ.update(CUSTOM)
        await node.start()
        assert await node.add_all(["a", "b"]) == old, "pods that run keep their addresses on the primary ENI"
        new = await node.address("c", 30)
        assert ipaddress.ip_address(new) in ipaddress.ip_network(subnet.cidr)

    run(body, WARM_IP_TARGET="2")


def test_a_misspelt_subnet_or_group_is_said_and_can_be_corrected() -> None:
    async def body(node: PoolNode) -> None:
        subnet, group = pod_subnet(node)
        configure(node, "subnet-0123456789abcdef0", group)
        node.spawn()

        async def said() -> bool:
            return "ENI_CONFIG_INVALID" in node.log()

        await harness.until(said, node.log)
        error = await refused(node, "a")
        assert error.reason is Reason.ENI_CONFIG_INVALID and "us-west-2a" in error.message
        assert "subnet-0123456789abcdef0" in error.message
        assert node.process is not None and node.process.poll() is None
        configure(node, subnet.id, group)
        await node.until_health("ready")
        assert await node.address("a", 30)

    run(body, started=False, **CUSTOM)
