"""Modes of the pool on the lab's EC2: prefixes that are not to be had, a mode changed on a live node, IPv6, excluded subnets."""

from __future__ import annotations

import ipaddress
import json

import pytest
from pool_node import Held, PoolNode, run

pytestmark = pytest.mark.wire

PREFIX = {"ENABLE_PREFIX_DELEGATION": "true"}
IPV6 = {"ENABLE_IPv4": "false", "ENABLE_IPv6": "true", **PREFIX}
ROLE = "kubernetes.io/role/cni"


async def again(node: PoolNode, **environ: str) -> None:
    """ipam killed and started with other settings."""
    await node.kill()
    node.environ.update(environ)
    await node.start()


def in_prefixes(node: PoolNode, address: str) -> bool:
    cidrs = [cidr for eni in node.attached() for cidr in (*eni.prefixes, *eni.ipv6_prefixes)]
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(cidr) for cidr in cidrs)


def stored(node: PoolNode) -> dict[str, str]:
    found = json.loads(node.checkpoint.read_text())["allocations"]
    return {a["containerID"]: a.get("ipv4") or a["ipv6"] for a in found}


@pytest.mark.slow
def test_where_no_subnet_has_a_prefix_single_addresses_serve_and_prefixes_come_back() -> None:
    async def body(node: PoolNode) -> None:
        node.aws.ec2.faults.add({"kind": "no-prefix"})
        await node.start()
        held = await node.add_all(["a", "b", "c"])
        await node.holds(Held(3, 19, 0))  # 16 warm as with one prefix, and the three
        node.aws.ec2.faults.clear()
        await node.eni.kill()
        await node.eni.start()
        await again(node)
        await node.holds(Held(2, 3, 1))  # the prefix went where a slot was free, the singles without pods went back
        assert not any(in_prefixes(node, address) for address in held.values())
        assert in_prefixes(node, await node.address("d"))
        assert await node.add_all(["a", "b", "c"]) == held

    run(body, started=False, **PREFIX)


def test_why_each_subnet_was_refused_is_still_told_after_steps_that_looked_at_none() -> None:
    async def body(node: PoolNode) -> None:
        node.aws.ec2.faults.add({"kind": "no-prefix"})
        await node.start()
        await node.holds(Held(1, 16, 0))  # the single addresses that stand in fit on the primary ENI
        (why,) = (await node.inspect()).growth.candidates
        assert node.aws.subnet.id in why and "refused: InsufficientCidrBlocks" in why

    run(body, "m5.4xlarge", started=False, **PREFIX)


@pytest.mark.slow
def test_prefix_delegation_is_turned_on_and_off_under_running_pods() -> None:
    async def body(node: PoolNode) -> None:
        old = [f"old{n}" for n in range(5)]
        held = await node.add_all(old)
        await node.holds(Held(2, 18, 0))
        await again(node, ENABLE_PREFIX_DELEGATION="true")
        await node.holds(Held(1, 5, 1))
        assert await node.add_all(old) == held
        new = await node.add_all(["new"])
        assert in_prefixes(node, new["new"])
        await node.holds(Held(1, 5, 2))
        for name in old:
            await node.delete(name)
        await node.holds(Held(1, 0, 2))
        await again(node, ENABLE_PREFIX_DELEGATION="false")
        await node.holds(Held(2, 17, 1))
        assert await node.add_all(["new"]) == new
        assert not in_prefixes(node, await node.address("newer"))
        await node.delete("new")
        await node.holds(Held(2, 17, 0))

    run(body)


def test_one_prefix_serves_a_node_with_ipv6() -> None:
    async def body(node: PoolNode) -> None:
        await node.holds(Held(1, 0, 1))
        names = [f"p{n}" for n in range(60)]
        node.aws.mark()
        held = await node.add_all(names)
        assert len(set(held.values())) == 60 and all(in_prefixes(node, a) for a in held.values())
        assert node.netconf.host.ipv6 and node.netconf.host.primary_ip == node.attached()[0].ipv6_addresses[0]
        assert list(node.netconf.host.vpc_cidrs) == ["2001:db8:0:100::/56"]
        await again(node)
        assert stored(node) == {f"c-{name}": address for name, address in held.items()}
        assert await node.add_all(names[:3]) == {name: held[name] for name in names[:3]}
        assert await node.address("more") not in held.values()
        for name in names:
            await node.delete(name)
        await node.holds(Held(1, 0, 1))
        changing = {a for a in node.aws.calls() if not a.startswith("Describe")} - {"CreateTags"}
        assert not changing, "the prefix is all it needs"

    run(body, ipv6_address=True, **IPV6)


def test_ipv6_on_an_instance_without_prefixes_is_refused() -> None:
    async def body(node: PoolNode) -> None:
        node.spawn()
        assert node.process is not None
        assert await node.ended() == 1
        assert "ENABLE_IPv6=true on m4.large" in node.log()

    run(body, "m4.large", started=False, **IPV6)


@pytest.mark.slow
def test_an_eni_in_an_excluded_subnet_keeps_its_pods_and_gives_no_more() -> None:
    async def body(node: PoolNode) -> None:
        held = await node.add_all(["a", "b"])
        await node.holds(Held(2, 18, 0))
        ec2, vpc = node.aws.ec2, node.aws.vpc
        other = ec2.create_subnet(vpc.id, "10.0.32.0/20", "us-west-2a", tags={ROLE: "1"})
        node.tag(node.aws.subnet.id, ROLE, "0")
        await node.eni.kill()
        await node.eni.start()  # reads the subnets' tags
        await node.holds(Held(2, 11, 0))  # the pods' two; the empty secondary gave way to one in the other subnet
        new = await node.add_all([f"n{n}" for n in range(3)])
        assert all(ipaddress.ip_address(a) in other.cidr for a in new.values())
        await node.holds(Held(3, 20, 0))
        assert await node.add_all(["a", "b"]) == held
        for name in ("a", "b"):
            await node.delete(name)
        await node.holds(Held(3, 18, 0))

    run(body)


def test_a_burst_of_14_is_at_most_one_call_to_ec2() -> None:
    async def body(node: PoolNode) -> None:
        await node.holds(Held(1, 2, 0))
        node.aws.mark()
        assert len(set((await node.add_all([f"p{n}" for n in range(14)])).values())) == 14
        await node.holds(Held(1, 16, 0))
        assert node.aws.calls() == {"AssignPrivateIpAddresses": 1}

    run(body, "m5.4xlarge", WARM_IP_TARGET="2")
