"""ENABLE_MULTI_NIC on the lab's EC2: one pool per network card, a pod with an address of each, and what goes wrong."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import pathlib
import urllib.request
from typing import Any

import pytest
from eni_aws import fails, fault
from pool_node import PoolNode, harness, run
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason
from vpccni_cli.commands import status
from vpccni_cli.node import Node

pytestmark = pytest.mark.wire

TWO_CARDS, FOUR_CARDS, ONE_ENI_PER_CARD = "c6in.32xlarge", "p4d.24xlarge", "hpc6id.32xlarge"
MULTI = {"ENABLE_MULTI_NIC": "true", "WARM_IP_TARGET": "2"}


async def again(node: PoolNode, **environ: str) -> None:
    """ipam killed and started, with other settings."""
    await node.kill()
    node.environ.update(environ)
    await node.start()


async def settled(node: PoolNode, cards: int) -> list[Any]:
    """Waits until every card has an address at hand. The cards as Inspect has them."""
    seen: list[Any] = []

    async def there() -> bool:
        seen[:] = (await node.inspect()).cards
        idle = all(card.deficit <= 0 and not card.growth.active for card in seen)
        return len(seen) == cards and idle and all(card.free or card.left_out_why for card in seen)

    await harness.until(there, lambda: f"{seen}\n{node.log()}")
    return seen


async def on_every_card(node: PoolNode, name: str) -> Any:
    return await node.add(name, multi_nic=True)


def addresses(result: Any) -> list[str]:
    return [ip.address.partition("/")[0] for ip in result.ips]


def card_of(node: PoolNode, address: str) -> int:
    held = {ip: e.attachment for e in node.attached() for ip in e.secondary_ips}
    attachment = held[address]
    assert attachment is not None
    return int(attachment.network_card)


def checkpoint(node: PoolNode, card: int) -> pathlib.Path:
    first: pathlib.Path = node.checkpoint
    return first.with_name(f"ipam-nic-{card}.json") if card else first


def stored(node: PoolNode, card: int) -> dict[str, str]:
    return {a["containerID"]: a["ipv4"] for a in json.loads(checkpoint(node, card).read_text())["allocations"]}


async def attach(node: PoolNode, card: int, interface_type: str) -> str:
    """An ENI that somebody else puts there."""
    call = node.aws.ec2.call
    made = call("admin", "CreateNetworkInterface", {"SubnetId": node.aws.subnet.id, "InterfaceType": interface_type})
    eni_id = str(made.value()["NetworkInterface"]["NetworkInterfaceId"])
    place = {"NetworkInterfaceId": eni_id, "InstanceId": node.aws.node.id, "DeviceIndex": 1, "NetworkCardIndex": card}
    call("admin", "AttachNetworkInterface", place).value()
    await asyncio.sleep(0.1)
    return eni_id


def test_one_add_takes_an_address_of_every_card_and_one_del_gives_them_back() -> None:
    async def body(node: PoolNode) -> None:
        before = await settled(node, 2)
        assert [(card.index, card.total) for card in before] == [(0, 2), (1, 1)]
        plain = await node.add("plain")
        result = await on_every_card(node, "a")
        first, second = addresses(result)
        assert [card_of(node, ip) for ip in (*addresses(plain), first, second)] == [0, 0, 1]

        specs = sorted((s for s in node.netconf.pods.values() if s.name == "a"), key=lambda s: s.index)
        assert [(s.index, s.ifname, s.address, s.route_table) for s in specs] == [
            (0, "eth0", first, 254),
            (1, "mNicIf1", second, 10100),
        ]
        named = [(i.name, i.mac, i.sandbox) for i in result.interfaces]
        assert named == [
            (specs[0].host_veth, "", ""),
            ("eth0", "254", "/run/netns/a"),
            (specs[1].host_veth, "", ""),
            ("mNicIf1", "10100", "/run/netns/a"),
            ("dummy" + specs[0].host_veth[3:], "0", "0"),
        ]
        assert [ip.interface for ip in result.ips] == [1, 3]
        assert (stored(node, 0), stored(node, 1)) == ({"c-plain": addresses(plain)[0], "c-a": first}, {"c-a": second})
        counts = json.loads(checkpoint(node, 1).read_text())["allocations"][0]["metadata"]["interfacesCount"]
        assert counts == 2

        assert await on_every_card(node, "a") == result
        await again(node)
        assert await on_every_card(node, "a") == result
        await check(node, "a", result)
        await node.delete("a", prev_result=result)
        assert (set(stored(node, 0)), stored(node, 1)) == ({"c-plain"}, {})
        assert {s.name for s in node.netconf.pods.values()} == {"plain"}

    run(body, instance_type=TWO_CARDS, **MULTI)


async def check(node: PoolNode, name: str, result: Any) -> None:
    whole = node.del_request(name, result)
    request = pb.CheckPodRequest(
        key=whole.key, pod=whole.pod, netns=whole.netns, conf=whole.conf, plugin_version="0.1.0", prev_result=result
    )
    await node.channel.call(node.stub.CheckPod, request, 5)


def test_every_card_is_shown() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        await on_every_card(node, "a")
        fault(node.aws, "subnet-full")
        await fails(on_every_card(node, "b"))
        lines = status.lines(await asyncio.to_thread(asked, node))
        (card,) = [line for line in lines if line.startswith("  card 1")]
        assert "1 total, 1 assigned, 0 free" in card and "(1 short)" in card
        assert any(line.startswith("    failed") and "SUBNET_FULL" in line for line in lines)
        page = await asyncio.to_thread(http, node, "/", "text/html")
        assert "<h2>Network card 1</h2>" in page and "SUBNET_FULL" in page
        pools = json.loads(await asyncio.to_thread(http, node, "/v1/enis"))
        assert {number: pool["AssignedIPs"] for number, pool in pools.items()} == {"0": 1, "1": 1}
        metrics = await asyncio.to_thread(http, node, "/metrics", port=node.metrics_port)
        assert "awscni_assigned_ip_addresses 2.0" in metrics and "awscni_eni_max 16.0" in metrics

    run(body, instance_type=TWO_CARDS, **MULTI)


def asked(node: PoolNode) -> Any:
    """What `vpccni` sees."""
    with Node(node.socket, 5) as found:
        return found.inspect()


def http(node: PoolNode, path: str, accept: str = "*/*", port: int = 0) -> str:
    url = f"http://127.0.0.1:{port or node.introspection_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=5) as reply:
        return str(reply.read().decode())


def test_check_sees_what_is_wrong_with_any_of_the_interfaces_and_gc_takes_them_all() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        results = [await on_every_card(node, name) for name in "ab"]
        (second,) = [name for name, spec in node.netconf.pods.items() if (spec.name, spec.index) == ("a", 1)]
        spec = node.netconf.pods.pop(second)
        assert (await fails(check(node, "a", results[0]))).reason is Reason.STATE_DIFFERS
        node.netconf.pods[second] = spec
        await check(node, "a", results[0])
        valid = [pb.PodInterface(container_id="c-b", ifname="eth0")]
        request = pb.GcRequest(network_name="aws-cni", valid_attachments=valid, plugin_version="0.1.0")
        assert (await node.channel.call(node.stub.Gc, request, 5)).released == 1
        assert (set(stored(node, 0)), set(stored(node, 1))) == ({"c-b"}, {"c-b"})
        assert sorted(s.index for s in node.netconf.pods.values()) == [0, 1]

    run(body, instance_type=TWO_CARDS, **MULTI)


def test_where_one_card_has_no_address_none_is_taken_and_the_reason_names_the_card() -> None:
    async def body(node: PoolNode) -> None:
        await node.add("plain")
        for _ in range(3):
            error = await fails(on_every_card(node, "a"))
            assert error.reason is Reason.IAM_DENIED
            assert "network card 1" in error.message
        seen = await node.inspect()
        assert (seen.assigned, seen.cooling, seen.growth.last_reason) == (1, 0, "")
        assert [card.growth.last_reason for card in seen.cards] == ["", "IAM_DENIED"]
        assert {s.name for s in node.netconf.pods.values()} == {"plain"}
        await node.channel.call(node.stub.Status, pb.StatusRequest(plugin_version="0.1.0"), 5)

    async def denied(node: PoolNode) -> None:
        fault(node.aws, "deny", "CreateNetworkInterface")
        await node.start()
        await body(node)

    run(denied, instance_type=TWO_CARDS, started=False, **MULTI)


def test_wiring_that_fails_on_one_card_undoes_all_of_them() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        node.netconf.refused_index = 1
        error = await fails(on_every_card(node, "a"))
        assert error.reason is Reason.KERNEL_REFUSED
        assert node.netconf.pods == {}
        assert (stored(node, 0), stored(node, 1)) == ({}, {})

    async def with_netconf(node: PoolNode) -> None:
        set_up = node.netconf.SetupPod

        async def refusing(request: Any, context: Any) -> Any:
            if request.pod.index == getattr(node.netconf, "refused_index", -1):
                raise harness.ReasonError(Reason.KERNEL_REFUSED, "no")
            return await set_up(request, context)

        node.netconf.SetupPod = refusing
        await node.netconf_leaf.stop()
        await node.netconf_leaf.start()
        await node.start()
        await body(node)

    run(with_netconf, instance_type=TWO_CARDS, started=False, **MULTI)


def test_an_add_that_waits_for_one_card_gives_back_what_it_has_of_the_other_when_its_caller_gives_up() -> None:
    async def body(node: PoolNode) -> None:
        fault(node.aws, "attach-delay", seconds=4)
        await node.start()
        error = await fails(node.add("a", 1.0, multi_nic=True))
        assert error.reason in (Reason.POOL_WARMING, Reason.DEADLINE_EXCEEDED)
        seen = await node.inspect()
        assert (seen.assigned, seen.cooling) == (0, 0)
        assert node.netconf.pods == {}
        assert len(addresses(await node.add("a", 30, multi_nic=True))) == 2  # as soon as the ENI is there

    run(body, instance_type=TWO_CARDS, started=False, **MULTI)


def test_without_the_setting_a_pod_that_asks_is_told_so_and_pods_that_have_several_keep_them() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        result = await on_every_card(node, "a")
        await again(node, ENABLE_MULTI_NIC="false")
        error = await fails(on_every_card(node, "b"))
        assert error.reason is Reason.CONFIG_INVALID
        assert "ENABLE_MULTI_NIC is false" in error.message and "nicConfig" in error.message
        assert addresses(await node.add("a")) == addresses(result)
        node.aws.mark()
        cards = list((await node.inspect()).cards)
        assert [(card.assigned, bool(card.left_out_why)) for card in cards] == [(1, False), (1, True)]
        assert card_of(node, await node.address("c")) == 0
        await node.delete("a")
        assert stored(node, 1) == {}
        await again(node, ENABLE_MULTI_NIC="true")
        assert len(addresses(await on_every_card(node, "d"))) == 2

    run(body, instance_type=TWO_CARDS, **MULTI)


def test_a_card_with_nothing_but_an_efa_only_interface_is_left_out() -> None:
    async def body(node: PoolNode) -> None:
        await attach(node, 1, "efa-only")
        await node.start()
        cards = await settled(node, 4)
        assert [card.left_out_why for card in cards] == ["", "network card 1 has only an EFA-only interface", "", ""]
        result = await on_every_card(node, "a")
        assert [card_of(node, ip) for ip in addresses(result)] == [0, 2, 3]
        assert [i.mac for i in result.interfaces[1:6:2]] == ["254", "10200", "10300"]
        assert [i.name for i in result.interfaces[1:6:2]] == ["eth0", "mNicIf1", "mNicIf2"]
        assert sum(e.attachment.network_card == 1 for e in node.attached() if e.attachment) == 1

    run(body, instance_type=FOUR_CARDS, started=False, **MULTI)


def test_a_pod_that_asks_for_one_address_gets_it_of_another_card_when_card_0_is_full() -> None:
    async def body(node: PoolNode) -> None:
        held = await node.add_all([f"p{n}" for n in range(49)])  # 50 addresses per ENI, one ENI per card
        assert {card_of(node, ip) for ip in held.values()} == {0}
        last = await node.add("last")
        assert [card_of(node, ip) for ip in addresses(last)] == [1]
        assert (last.interfaces[1].name, last.interfaces[1].mac) == ("eth0", "10100")
        assert await node.add("last") == last
        await again(node)
        assert await node.add("last") == last
        await node.delete("last")
        assert stored(node, 1) == {}

    run(body, instance_type=ONE_ENI_PER_CARD, **MULTI, VPCCNI_MAX_PODS="200")


def test_with_prefixes_an_idle_card_keeps_its_only_one() -> None:
    """ipam.md, trap 8: the original frees and assigns it again every half minute."""

    async def body(node: PoolNode) -> None:
        before = await settled(node, 2)
        assert [(card.total, card.free) for card in before] == [(16, 16), (16, 16)]
        prefixes = [p for e in node.attached() for p in e.prefixes]
        node.aws.mark()
        await asyncio.sleep(2.5)  # twice the pace at which a surplus is given back here
        assert node.aws.calls() == {}
        assert [p for e in node.attached() for p in e.prefixes] == prefixes
        assert len(addresses(await on_every_card(node, "a"))) == 2

    run(body, instance_type=TWO_CARDS, **MULTI, ENABLE_PREFIX_DELEGATION="true")


def test_ipv6_has_a_prefix_on_every_card() -> None:
    async def body(node: PoolNode) -> None:
        result = await on_every_card(node, "a")
        prefixes = {e.attachment.network_card: e.ipv6_prefixes for e in node.attached() if e.attachment}
        assert sorted(prefixes) == [0, 1]
        for card, ip in enumerate(result.ips):
            (prefix,) = prefixes[card]
            assert ipaddress.ip_address(ip.address.removesuffix("/128")) in ipaddress.ip_network(prefix)
        assert await on_every_card(node, "a") == result

    ipv6 = {"ENABLE_IPv4": "false", "ENABLE_IPv6": "true", "ENABLE_PREFIX_DELEGATION": "true"}
    run(body, instance_type=TWO_CARDS, ipv6_address=True, ENABLE_MULTI_NIC="true", **ipv6)


def test_a_checkpoint_of_the_original_says_no_index_and_is_understood() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        result = await on_every_card(node, "a")
        plain = await node.add("plain")
        wired = dict(node.netconf.pods)
        await node.kill()
        for card in (0, 1):
            whole = json.loads(checkpoint(node, card).read_text())
            del whole["vpccni"]
            for item in whole["allocations"]:
                del item["vpccni"]
            checkpoint(node, card).write_text(json.dumps(whole))
        await node.start()
        assert {name: spec.index for name, spec in node.netconf.pods.items()} == {
            name: spec.index for name, spec in wired.items()
        }
        assert await on_every_card(node, "a") == result
        assert await node.add("plain") == plain
        await node.delete("a")
        assert {s.name for s in node.netconf.pods.values()} == {"plain"}

    run(body, instance_type=TWO_CARDS, **MULTI)


def test_a_corrupt_checkpoint_of_a_card_is_rebuilt_from_what_the_kernel_has_of_that_card() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        result = await on_every_card(node, "a")
        await node.kill()
        checkpoint(node, 1).write_text("{")
        await node.start()
        held = [a for e in (await node.inspect()).enis for c in e.cidrs for a in c.addresses if a.HasField("key")]
        assert sorted(a.address for a in held) == sorted(addresses(result))
        other = await on_every_card(node, "b")
        assert not set(addresses(other)) & set(addresses(result))
        await node.delete("a", prev_result=result)
        assert {s.name for s in node.netconf.pods.values()} == {"b"}
        assert set(stored(node, 1)) == {"c-b"}

    run(body, instance_type=TWO_CARDS, **MULTI)


def test_an_add_that_a_crash_left_half_recorded_is_completed_by_its_retry() -> None:
    async def body(node: PoolNode) -> None:
        await settled(node, 2)
        result = await on_every_card(node, "a")
        await node.kill()
        whole = json.loads(checkpoint(node, 1).read_text())
        checkpoint(node, 1).write_text(json.dumps({**whole, "allocations": []}))
        await node.start()
        retried = await on_every_card(node, "a")
        assert addresses(retried)[0] == addresses(result)[0]
        assert [card_of(node, ip) for ip in addresses(retried)] == [0, 1]
        assert [i.name for i in retried.interfaces] == [i.name for i in result.interfaces]

    run(body, instance_type=TWO_CARDS, **MULTI)
