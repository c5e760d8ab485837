"""The real ipam process over real sockets: ADD, DEL, waiting, restarts, leaves that go away."""

from __future__ import annotations

import asyncio
import json
import pathlib
import signal
import urllib.request
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError
from wire_ipam import World, harness, run, until

pytestmark = pytest.mark.wire
NOT_SERVING = 2


async def refused(call: Any) -> ReasonError:
    with pytest.raises(ReasonError) as caught:
        await call
    return caught.value


def test_add_is_durable_wired_and_repeatable() -> None:
    async def body(world: World) -> None:
        result = await world.add("a")
        address = result.ips[0].address.removesuffix("/32")
        assert world.stored() == {"c-a": address}
        (spec,) = world.netconf.pods.values()
        assert (spec.address, spec.container_id, spec.netns, spec.route_table, spec.mtu) == (
            address,
            "c-a",
            "/run/netns/a",
            254,
            9001,
        )
        assert [i.name for i in result.interfaces] == [spec.host_veth, "eth0", "dummy" + spec.host_veth[3:]]
        assert (result.interfaces[1].mac, result.interfaces[1].sandbox) == ("254", "/run/netns/a")
        assert await world.add("a") == result
        assert len(world.stored()) == 1
        await world.delete("a")
        assert world.stored() == {} and world.netconf.pods == {}
        await world.delete("a")
        found = await world.inspect()
        assert (found.assigned, found.cooling) == (0, 1)

    run(body)


def test_concurrent_calls_of_one_key_give_one_address() -> None:
    async def body(world: World) -> None:
        await world.settled()
        addresses = await asyncio.gather(*(world.address("a") for _ in range(8)))
        assert len(set(addresses)) == 1
        assert len(world.stored()) == 1
        calls = [world.delete("a"), world.address("b"), world.delete("a"), world.address("b")]
        await asyncio.gather(*calls)
        assert set(world.stored()) == {"c-b"}

    run(body)


def test_a_call_that_waits_too_long_for_the_one_before_it_is_told() -> None:
    async def body(world: World) -> None:
        await world.settled()
        world.netconf.setup_delay = 3
        slow = asyncio.create_task(world.address("a"))
        await until_called(world, "SetupPod")
        error = await refused(world.delete("a", 1.0))
        assert error.reason is Reason.POD_BUSY
        assert await slow

    run(body)


def test_110_at_once_get_110_addresses_in_few_writes() -> None:
    async def body(world: World) -> None:
        world.manager.max_enis, world.manager.per_eni = 4, 31
        await world.start()
        await world.settled()
        addresses = await asyncio.gather(*(world.address(f"p{n}") for n in range(110)))
        assert len(set(addresses)) == 110
        assert sorted(world.stored().values()) == sorted(addresses)

    run(body, started=False, MAX_ENI="4", WARM_IP_TARGET="110")


def test_60_adds_at_once_on_a_node_with_one_eni() -> None:
    """27 addresses fit (3 ENIs of 9); the rest is told at once, not after the longest wait."""

    async def body(world: World) -> None:
        world.manager.attach_delay = 2
        await world.start()
        calls = [asyncio.create_task(world.address(f"p{n}", 40)) for n in range(60)]

        async def told() -> bool:
            return sum(call.done() for call in calls) >= 9 + 33

        await until(told, world.log)
        assert len(world.manager.enis) <= 2  # told while the second ENI is being attached, not after the third
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        given = [o for o in outcomes if isinstance(o, str)]
        failed = [o for o in outcomes if isinstance(o, ReasonError)]
        assert len(given) == len(set(given)) == 27
        assert {o.reason for o in failed} == {Reason.ENI_LIMIT} and len(failed) == 33
        assert set(world.stored().values()) == set(given)

    run(body, started=False)


def test_adds_beyond_the_subnet_are_told_so() -> None:
    async def body(world: World) -> None:
        world.manager.subnet_free = 12
        await world.start()
        outcomes = await asyncio.gather(*(world.address(f"p{n}", 40) for n in range(20)), return_exceptions=True)
        assert sum(isinstance(o, str) for o in outcomes) == 12
        assert {o.reason for o in outcomes if isinstance(o, ReasonError)} == {Reason.SUBNET_FULL}
        again = await refused(world.address("late", 40))
        assert again.reason is Reason.SUBNET_FULL and "subnet-1" in again.message

    run(body, started=False)


def test_one_ec2_call_serves_a_burst_that_one_assign_can_serve() -> None:
    async def body(world: World) -> None:
        world.manager.per_eni = 20
        await world.start()
        await world.settled()
        before = [c for c in world.manager.calls if c.startswith("EnsureCapacity")]
        await asyncio.gather(*(world.address(f"p{n}") for n in range(14)))
        await world.settled()
        after = [c for c in world.manager.calls if c.startswith("EnsureCapacity")]
        assert len(after) - len(before) == 1

    run(body, started=False, WARM_IP_TARGET="1", MINIMUM_IP_TARGET="1")


def test_an_add_waits_for_growth_and_gives_up_before_its_deadline() -> None:
    async def body(world: World) -> None:
        world.manager.attach_delay = 3
        await world.start()
        await asyncio.gather(*(world.address(f"p{n}") for n in range(9)))
        error = await refused(world.address("hasty", 1.5))
        assert error.reason is Reason.POOL_WARMING
        assert await world.address("patient", 30)
        assert "c-hasty" not in world.stored()

    run(body, started=False)


def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    async def body(world: World) -> None:
        await world.settled()
        world.netconf.setup_delay = 0.3
        call = asyncio.create_task(world.add("gone"))
        await until_called(world, "SetupPod")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until_called(world, "TeardownPod")

        async def clean() -> bool:
            return world.stored() == {} and (await world.inspect()).assigned == 0

        await until(clean, world.log)
        assert world.netconf.pods == {}

    run(body)


async def until_called(world: World, method: str) -> None:
    async def there() -> bool:
        return method in world.netconf.calls

    await until(there, lambda: f"{method} not called: {world.netconf.calls}")


def test_a_pod_that_cannot_be_wired_is_undone_and_its_reason_kept() -> None:
    async def body(world: World) -> None:
        world.netconf.setup_error = ReasonError(Reason.NETNS_GONE, "/run/netns/a does not exist")
        error = await refused(world.add("a"))
        assert (error.reason, error.origin) == (Reason.NETNS_GONE, "netconf")
        assert world.stored() == {}
        assert "TeardownPod" in world.netconf.calls
        world.netconf.setup_error = None
        assert await world.address("a")

    run(body)


def test_an_address_cools_down_also_over_a_restart() -> None:
    async def body(world: World) -> None:
        await world.settled()
        first = await world.address("a")
        await world.delete("a")
        await world.kill()
        await world.start()
        rest = [await world.address(f"p{n}") for n in range(9 + 9 - 1)]
        assert first not in rest

    run(body, MAX_ENI="2")


def test_a_node_without_provisioning_uses_what_is_attached_and_says_so() -> None:
    async def body(world: World) -> None:
        world.manager.enis[0].ips = world.manager._new_ips(4)
        await world.start()
        outcomes = await asyncio.gather(*(world.address(f"p{n}", 40) for n in range(6)), return_exceptions=True)
        assert sum(isinstance(o, str) for o in outcomes) == 4
        assert {o.reason for o in outcomes if isinstance(o, ReasonError)} == {Reason.NODE_NOT_GROWING}
        assert not any(call.startswith(("Ensure", "Release")) for call in world.manager.calls)

    run(body, started=False, DISABLE_NETWORK_RESOURCE_PROVISIONING="true")


def test_all_cooling_is_told_and_the_first_to_wait_is_the_first_served() -> None:
    async def body(world: World) -> None:
        await world.settled()
        for n in range(9):
            await world.address(f"p{n}")
        for n in range(9):
            await world.delete(f"p{n}")
        error = await refused(world.address("hasty", 1.0))
        assert error.reason is Reason.ALL_COOLING
        assert await world.address("patient", 20)

    run(body, MAX_ENI="1", IP_COOLDOWN_PERIOD="4")


def test_kill_9_loses_no_pod_and_gives_no_address_twice() -> None:
    async def body(world: World) -> None:
        before = {n: await world.address(f"p{n}") for n in range(12)}
        for round_number in range(3):
            burst = [asyncio.create_task(world.address(f"r{round_number}-{n}")) for n in range(4)]
            await asyncio.sleep(0.01 * round_number)
            await world.kill()
            outcomes = await asyncio.gather(*burst, return_exceptions=True)
            await world.start()
            stored = world.stored()
            for n, outcome in enumerate(outcomes):
                if isinstance(outcome, str):
                    assert stored[f"c-r{round_number}-{n}"] == outcome
            assert {n: stored[f"c-p{n}"] for n in before} == before
            assert len(set(stored.values())) == len(stored)
            wired = {pod.container_id: pod.address for pod in world.netconf.pods.values()}
            assert wired == stored
            for n in range(4):
                await world.delete(f"r{round_number}-{n}")
        assert await world.address("p3") == before[3]

    run(body, IP_COOLDOWN_PERIOD="0")


def test_a_corrupt_checkpoint_is_set_aside_and_pods_come_back_from_the_kernel() -> None:
    async def body(world: World) -> None:
        held = {await world.address(name) for name in ("a", "b")}
        await world.kill()
        world.checkpoint.write_text('{"version":"vpc-cni-ipam/1","alloc')
        await world.start()
        assert list(world.checkpoint.parent.glob("ipam.json.corrupt-*"))
        found = await world.inspect()
        assert found.assigned == 2
        check = pb.CheckPodRequest()
        check.ParseFromString(world.del_request("a").SerializeToString())
        error = await refused(world.channel.call(world.stub.CheckPod, check, 5))
        assert error.reason is Reason.STATE_DIFFERS, "the model compares every field; unknown it is not"
        others = {await world.address(f"p{n}") for n in range(25)}
        assert not others & held
        await world.delete("a")
        await world.delete("b")
        assert len(world.stored()) == 25
        assert len(world.netconf.pods) == 25

    run(body)


def test_a_record_without_a_host_link_is_dropped_at_start() -> None:
    async def body(world: World) -> None:
        await world.address("a")
        b = await world.address("b")
        await world.kill()
        del world.netconf.pods[next(v for v, p in world.netconf.pods.items() if p.container_id == "c-a")]
        await world.start()
        assert world.stored() == {"c-b": b}

    run(body)


def test_a_checkpoint_of_the_original_is_taken_over() -> None:
    async def body(world: World) -> None:
        a = await world.address("a")
        await world.kill()
        text = json.loads(world.checkpoint.read_text())
        del text["vpccni"]
        for entry in text["allocations"]:
            del entry["vpccni"]
        world.checkpoint.write_text(json.dumps(text))
        await world.start()
        assert await world.address("a") == a
        assert {pod.route_table for pod in world.netconf.pods.values()} == {254}
        await world.delete("a")
        assert world.netconf.pods == {}

    run(body)


def test_dels_of_the_plugins_queue_are_carried_out_before_the_first_add() -> None:
    async def body(world: World) -> None:
        result = await world.add("a")
        await world.address("b")
        await world.kill()
        world.pending.mkdir(exist_ok=True)
        for name, text in (
            ("c-a-eth0.json", json_format.MessageToJson(world.del_request("a", result))),
            ("c-none-eth0.json", json_format.MessageToJson(world.del_request("none"))),
            ("bad.json", "{"),
            (".c-b-eth0.json.7", json_format.MessageToJson(world.del_request("b"))),
        ):
            (world.pending / name).write_text(text)
        await world.start()
        assert set(world.stored()) == {"c-b"}
        assert [p.container_id for p in world.netconf.pods.values()] == ["c-b"]
        assert sorted(p.name for p in world.pending.iterdir()) == [".bad-bad.json", ".c-b-eth0.json.7"]

    run(body)


def test_a_del_that_ipam_forgot_is_carried_out_from_the_kept_result() -> None:
    async def body(world: World) -> None:
        result = await world.add("a")
        await world.kill()
        world.checkpoint.unlink()
        kept = dict(world.netconf.pods)
        await world.start()
        world.netconf.pods = kept
        await world.delete("a", prev_result=result)
        assert world.netconf.pods == {}

    run(body)


def test_a_late_del_does_not_unwire_the_next_owner_of_the_address() -> None:
    async def body(world: World) -> None:
        await world.settled()
        result = await world.add("a")
        await world.delete("a")
        taken = ""
        for n in range(9):
            address = await world.address(f"p{n}")
            taken = f"c-p{n}" if f"{address}/32" == result.ips[0].address else taken
        assert taken
        before = len(world.netconf.calls)
        await world.delete("a", prev_result=result)
        assert "TeardownPod" not in world.netconf.calls[before:]

    run(body, IP_COOLDOWN_PERIOD="0", MAX_ENI="1")


def test_eni_manager_away_is_seen_and_adds_go_on_from_the_pool() -> None:
    async def body(world: World) -> None:
        await world.settled()
        await world.manager_leaf.stop()
        await world.until_health("ready", NOT_SERVING)
        assert [await world.health(name) for name in ("live", "startup", "eni-manager", "netconf")] == [1, 1, 2, 1]
        assert await world.address("a")
        await world.manager_leaf.start()
        await world.until_health("ready")
        addresses = {await world.address(f"p{n}") for n in range(20)}
        assert len(addresses) == 20

    run(body)


def test_netconf_back_is_told_everything_and_dels_meanwhile_are_carried_out() -> None:
    async def body(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.address(name)
        await world.settled()
        await world.netconf_leaf.stop()
        await world.until_health("netconf", NOT_SERVING)
        await world.delete("a")
        error = await refused(world.add("d", timeout=1.5))
        assert error.reason is Reason.NETCONF_UNREACHABLE
        assert len(list(world.pending.glob("*.json"))) == 1
        world.netconf.calls.clear()
        await world.netconf_leaf.start()
        await world.until_health("ready")

        async def drained() -> bool:
            return not list(world.pending.glob("*.json"))

        await until(drained, world.log)
        assert {"ApplyHost", "ApplyEni", "ApplyPods"} <= set(world.netconf.calls)
        assert set(world.stored()) == {"c-b", "c-c"}
        assert {p.container_id for p in world.netconf.pods.values()} == {"c-b", "c-c"}
        assert await world.address("d")

    run(body)


@pytest.mark.parametrize("ec2", [True, False], ids=["EC2 says so", "IMDS says so"])
def test_netconf_loses_an_eni_that_went_while_ipam_was_away(ec2: bool) -> None:
    """Not on IMDS's word alone."""

    async def body(world: World) -> None:
        for n in range(10):
            await world.address(f"p{n}")
        assert "eni-1" in world.netconf.enis
        await world.kill()
        world.manager.enis, world.manager.max_enis = world.manager.enis[:1], 1
        world.manager.ec2_error = None if ec2 else ReasonError(Reason.EC2_UNREACHABLE, "no way there")
        world.netconf.calls.clear()
        await world.start()

        async def told_twice() -> bool:
            return world.netconf.calls.count("ApplyPods") == 2

        await until(told_twice, world.log)
        assert ("RemoveEni" in world.netconf.calls) is ec2
        assert ("eni-1" in world.netconf.enis) is not ec2

    run(body, MAX_ENI="2")


def test_an_add_outdoes_the_queued_del_of_the_same_pod_interface() -> None:
    async def body(world: World) -> None:
        await world.address("a")
        await world.netconf_leaf.stop()
        await world.until_health("netconf", NOT_SERVING)
        await world.delete("a")
        assert len(list(world.pending.glob("*.json"))) == 1
        again = asyncio.create_task(world.address("a"))

        async def forgotten() -> bool:
            return not list(world.pending.glob("*.json"))

        await until(forgotten, world.log)
        await world.netconf_leaf.start()
        await world.until_health("ready")
        address = await again
        await world.delete("b")  # queued DELs are carried out by now, too
        assert world.stored() == {"c-a": address}
        assert {p.container_id for p in world.netconf.pods.values()} == {"c-a"}

    run(body)


def test_what_was_given_back_stays_out_when_ipam_restarts_at_once() -> None:
    """EC2's describes lag: right after a release that went well they may still list what is gone."""

    async def body(world: World) -> None:
        await world.settled()
        for n in range(8):
            await world.address(f"p{n}")
        await world.settled()
        for n in range(1, 8):
            await world.delete(f"p{n}")
        await until_asked(world, "ReleaseCapacity")
        await world.settled()
        given = set(json.loads(world.checkpoint.read_text())["vpccni"]["releasing"])
        assert given
        world.manager.enis[0].ips.extend(given)  # a late describe
        await world.kill()
        await world.start()
        await world.settled()
        assert (await world.inspect()).total == len(world.manager.enis[0].ips) - len(given)

    run(body, WARM_IP_TARGET="1", IP_COOLDOWN_PERIOD="0", VPCCNI_SHRINK_PACE="1", MAX_ENI="1")


def test_an_add_waits_for_a_netconf_that_is_being_restarted() -> None:
    async def body(world: World) -> None:
        await world.settled()
        await world.netconf_leaf.stop()
        await world.until_health("netconf", NOT_SERVING)
        adding = asyncio.create_task(world.address("a"))

        async def recorded() -> bool:
            return "c-a" in world.stored()

        await until(recorded, world.log)
        world.netconf.calls.clear()
        await world.netconf_leaf.start()
        address = await adding
        assert world.stored() == {"c-a": address}
        assert [p.address for p in world.netconf.pods.values()] == [address]

    run(body)


def test_start_without_eni_manager_serves_del_and_says_what_it_waits_for() -> None:
    async def body(world: World) -> None:
        await world.address("a")
        b = await world.address("b")
        await world.kill()
        await world.manager_leaf.stop()
        world.spawn()
        await world.until_health("netconf")
        await world.delete("a")
        assert world.stored() == {"c-b": b}
        assert await world.health("startup") == NOT_SERVING
        error = await refused(world.address("c", 2))
        assert error.reason is Reason.ENI_MANAGER_UNREACHABLE
        waiting = asyncio.create_task(world.address("c", 30))
        await asyncio.sleep(0.1)
        await world.manager_leaf.start()
        assert await waiting != b

    run(body)


def test_sigterm_drains() -> None:
    async def body(world: World) -> None:
        await world.settled()
        world.netconf.setup_delay = 0.5
        slow = asyncio.create_task(world.address("slow"))
        await until_called(world, "SetupPod")
        ended = asyncio.create_task(world.kill(signal.SIGTERM))
        assert await slow
        assert await ended == 0
        assert set(world.stored()) == {"c-slow"}

    run(body)


def test_a_store_that_fails_fails_adds_and_nothing_is_left() -> None:
    async def body(world: World) -> None:
        await world.settled()
        blocked = pathlib.Path(f"{world.checkpoint}.tmp")
        blocked.mkdir()
        error = await refused(world.add("a"))
        assert error.reason is Reason.STORE_FAILED and "ipam.json" in error.message
        await world.until_health("ready", NOT_SERVING)
        assert world.netconf.pods == {}
        blocked.rmdir()
        assert await world.address("a")
        await world.until_health("ready")

    run(body)


def test_gc_check_status_and_version() -> None:
    async def body(world: World) -> None:
        result = await world.add("a")
        await world.address("b")
        check = pb.CheckPodRequest()
        check.ParseFromString(world.del_request("a", result).SerializeToString())
        await world.channel.call(world.stub.CheckPod, check, 5)
        check.prev_result.ips[0].address = "10.9.9.9/32"
        error = await refused(world.channel.call(world.stub.CheckPod, check, 5))
        assert error.reason is Reason.STATE_DIFFERS and "10.9.9.9" in error.message
        world.netconf.pods.pop(result.interfaces[0].name)
        error = await refused(world.channel.call(world.stub.CheckPod, check, 5))
        assert "link missing" in error.message
        check.key.container_id = "c-none"
        assert (await refused(world.channel.call(world.stub.CheckPod, check, 5))).reason is Reason.UNKNOWN_POD

        gc = pb.GcRequest(
            network_name="aws-cni", valid_attachments=[pb.PodInterface(container_id="c-b", ifname="eth0")]
        )
        assert (await world.channel.call(world.stub.Gc, gc, 5)).released == 1
        assert set(world.stored()) == {"c-b"}

        await world.channel.call(world.stub.Status, pb.StatusRequest(plugin_version="0.2.7"), 5)
        skew = await refused(world.channel.call(world.stub.Status, pb.StatusRequest(plugin_version="0.9.0"), 5))
        assert skew.reason is Reason.VERSION_SKEW
        assert (await refused(world.add("z", plugin_version="1.0.0"))).reason is Reason.VERSION_SKEW

    run(body)


BAD = [
    ({"key": pb.PodInterface(container_id="../x")}, "container_id"),
    ({"key": pb.PodInterface(ifname="a234567890123456")}, "ifname"),
    ({"key": pb.PodInterface(ifname="a/b")}, "ifname"),
    ({"conf": pb.PodNetConf(veth_prefix="abcde")}, "veth_prefix"),
    ({"conf": pb.PodNetConf(veth_prefix="vlan")}, "veth_prefix"),
    ({"conf": pb.PodNetConf(mtu=500)}, "mtu"),
    ({"netns": "relative"}, "netns"),
]


def test_malformed_requests_are_refused_naming_the_field() -> None:
    async def body(world: World) -> None:
        for extra, field in BAD:
            error = await refused(world.add("a", **extra))
            assert error.reason is Reason.REQUEST_INVALID and field in error.message
        assert "SetupPod" not in world.netconf.calls

    run(body)


def test_status_says_why_no_add_can_be_served() -> None:
    async def body(world: World) -> None:
        await world.settled()
        for n in range(9):
            await world.address(f"p{n}")
        error = await refused(world.channel.call(world.stub.Status, pb.StatusRequest(), 5))
        assert error.reason in (Reason.ENI_LIMIT, Reason.POOL_WARMING)
        await world.delete("p0")
        error = await refused(world.channel.call(world.stub.Status, pb.StatusRequest(), 5))
        assert error.reason is Reason.ALL_COOLING

    run(body, MAX_ENI="1")


def test_surplus_is_given_back_and_only_what_is_free() -> None:
    async def body(world: World) -> None:
        await world.settled()
        pods = [await world.address(f"p{n}") for n in range(12)]
        await world.settled()
        for n in range(3, 12):
            await world.delete(f"p{n}")

        async def shrunk() -> bool:
            found = await world.inspect()
            held = sum(len(e.ips) for e in world.manager.enis)
            return (found.free, found.assigned, found.total, held) == (2, 3, 5, 5)

        await until(shrunk, world.log)
        assert not set(pods[:3]) & set(world.manager.released)

    run(body, WARM_IP_TARGET="2", IP_COOLDOWN_PERIOD="0", VPCCNI_SHRINK_PACE="1")


def test_what_imds_alone_no_longer_shows_stays_and_what_both_lost_is_set_aside() -> None:
    async def body(world: World) -> None:
        await world.settled()
        pods = {f"p{n}": await world.address(f"p{n}") for n in range(11)}
        await world.settled()
        second = next(e for e in world.manager.enis if e.eni_id == "eni-1")
        world.manager.stale = world.manager.inventory(1)
        del world.manager.stale.enis[1]
        await world.manager.bump()
        assert await world.address("p10") == pods["p10"]
        world.manager.enis.remove(second)
        world.manager.stale = None
        await world.manager.bump()

        async def aside() -> bool:
            found = await world.inspect()
            return any(e.eni_id == "eni-1" and e.state == "quarantined" for e in found.enis)

        await until(aside, world.log)
        on_second = sorted(name for name, ip in pods.items() if ip in second.ips)
        assert on_second and all(world.stored()[f"c-{name}"] == pods[name] for name in on_second)
        error = await refused(world.add(on_second[0]))
        assert error.reason is Reason.ADDRESS_QUARANTINED
        for name in on_second:
            await world.delete(name)
        world.manager.enis.append(second)
        await world.manager.bump()

        async def back() -> bool:
            found = await world.inspect()
            return any(e.eni_id == "eni-1" and e.state == "usable" for e in found.enis)

        await until(back, world.log)

    run(body)


def test_an_address_whose_release_was_cut_off_is_not_given_to_a_pod() -> None:
    """ipam dies while eni-manager gives addresses back: EC2 still lists them then, and may drop them any moment."""

    async def body(world: World) -> None:
        await world.settled()
        for n in range(8):
            await world.address(f"p{n}")
        await world.settled()
        world.manager.release_hangs = True
        for n in range(1, 8):
            await world.delete(f"p{n}")
        await until_asked(world, "ReleaseCapacity")
        releasing = json.loads(world.checkpoint.read_text())["vpccni"]["releasing"]
        assert releasing
        await world.kill()
        await world.start()
        outcomes = await asyncio.gather(*(world.address(f"n{n}", 4) for n in range(9)), return_exceptions=True)
        given = {o for o in outcomes if isinstance(o, str)}
        assert given and not given & set(releasing)

    run(body, WARM_IP_TARGET="1", IP_COOLDOWN_PERIOD="0", VPCCNI_SHRINK_PACE="1", MAX_ENI="1")


async def until_asked(world: World, call: str) -> None:
    async def there() -> bool:
        return call in world.manager.calls

    await until(there, lambda: f"{call} not called: {world.manager.calls}\n{world.log()}")


def test_an_eni_that_cannot_be_set_up_gives_no_address_until_it_is() -> None:
    async def body(world: World) -> None:
        world.netconf.eni_error = ReasonError(Reason.LINK_MISSING, "no link with MAC 02:00:00:00:00:01")
        await world.start()
        given = [await world.address(f"p{n}") for n in range(9)]
        error = await refused(world.address("p9", 2))
        assert error.reason is Reason.LINK_MISSING
        world.netconf.eni_error = None
        given.append(await world.address("p9", 30))
        assert len(set(given)) == 10

    run(body, started=False)


def test_a_new_sandbox_of_a_pod_survives_the_late_del_of_the_old_one() -> None:
    async def body(world: World) -> None:
        old = await world.add("a")
        key = pb.PodInterface(network_name="aws-cni", container_id="c-new", ifname="eth0")
        new = await world.add("a", key=key)
        assert new.interfaces[0].name == old.interfaces[0].name
        assert new.ips[0].address != old.ips[0].address
        await world.delete("a", prev_result=old)
        assert set(world.stored()) == {"c-new"}
        assert [pod.container_id for pod in world.netconf.pods.values()] == ["c-new"]
        await world.kill()
        await world.start()
        assert set(world.stored()) == {"c-new"}

    run(body)


def test_sigterm_tells_waiting_adds_at_once() -> None:
    async def body(world: World) -> None:
        world.manager.attach_delay = 30
        await world.start()
        for n in range(9):
            await world.address(f"p{n}")
        waiting = asyncio.create_task(world.address("late", 60))

        async def waits() -> bool:
            return (await world.inspect()).growth.waiting_adds == 1

        await until(waits, world.log)
        assert await world.kill(signal.SIGTERM) == 0
        assert (await refused(waiting)).reason is Reason.DRAINING

    run(body, started=False)


def test_max_pods_ends_growth() -> None:
    async def body(world: World) -> None:
        outcomes = await asyncio.gather(*(world.address(f"p{n}", 40) for n in range(14)), return_exceptions=True)
        assert sum(isinstance(o, str) for o in outcomes) == 12
        assert {o.reason for o in outcomes if isinstance(o, ReasonError)} == {Reason.MAX_PODS}

    run(body, VPCCNI_MAX_PODS="12", WARM_IP_TARGET="1")


def test_changed_vpc_cidrs_reach_the_host_rules() -> None:
    async def body(world: World) -> None:
        await world.settled()
        assert list(world.netconf.host.vpc_cidrs) == ["10.0.0.0/16"]
        world.manager.vpc_cidrs = ["10.0.0.0/16", "10.1.0.0/16"]
        await world.manager.bump()

        async def applied() -> bool:
            return list(world.netconf.host.vpc_cidrs) == ["10.0.0.0/16", "10.1.0.0/16"]

        await until(applied, world.log)

    run(body)


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return reply.read().decode()


def test_metrics_and_introspection() -> None:
    async def body(world: World) -> None:
        await world.address("a")
        await world.settled()
        metrics = await asyncio.to_thread(fetch, f"http://127.0.0.1:{world.metrics_port}/metrics")
        lines = metrics.splitlines()
        for line in (
            "# TYPE awscni_add_ip_req_count counter",
            "awscni_add_ip_req_count 1.0",
            "awscni_assigned_ip_addresses 1.0",
            "awscni_total_ip_addresses 18.0",
            "awscni_eni_max 3.0",
            "awscni_ip_max 27.0",
            'awscni_assigned_ip_per_eni{eni="eni-0"} 1.0',
            'vpccni_pool_addresses{state="free"} 17.0',
            'awscni_ipamd_action_inprogress{fn="nodeInit"} 0.0',
        ):
            assert line in lines, line
        base = f"http://127.0.0.1:{world.introspection_port}"
        index = json.loads(await asyncio.to_thread(fetch, f"{base}/"))
        assert "/v1/enis" in index["AvailableCommands"]
        pool = json.loads(await asyncio.to_thread(fetch, f"{base}/v1/enis"))["0"]
        assert (pool["TotalIPs"], pool["AssignedIPs"]) == (18, 1)
        cidr = next(iter(pool["ENIs"]["eni-0"]["AvailableIPv4Cidrs"].values()))
        assert cidr["Cidr"]["Mask"] == "/////w=="
        (address,) = cidr["IPAddresses"].values()
        assert address["IPAMKey"] == {"networkName": "aws-cni", "containerID": "", "ifName": ""}
        assert address["IPAMMetadata"]["k8sPodName"] == "a"
        for page in ("ipamd-env-settings", "networkutils-env-settings", "eni-configs"):
            assert json.loads(await asyncio.to_thread(fetch, f"{base}/v1/{page}"))

    run(body)


def test_introspection_on_a_unix_socket_and_none_when_disabled() -> None:
    async def body(world: World) -> None:
        reader, writer = await asyncio.open_unix_connection(str(world.path / "intro.sock"))
        writer.write(b"GET /v1/enis HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert reply.startswith("HTTP/1.1 200 OK") and "TotalIPs" in reply
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", world.metrics_port)

    async def scenario() -> None:
        async with harness.world(started=False) as made:
            made.environ["INTROSPECTION_BIND_ADDRESS"] = f"unix:{made.path}/intro.sock"
            made.environ["DISABLE_METRICS"] = "true"
            await made.start()
            await body(made)

    asyncio.run(scenario())


def test_a_configuration_that_cannot_work_ends_the_process_with_its_reason() -> None:
    async def body(world: World) -> None:
        world.spawn()
        assert world.process is not None
        assert await asyncio.to_thread(world.process.wait, 20) == 1
        assert "CONFIG_INVALID" in world.log() and "ENABLE_IPv4=false" in world.log()

    run(body, started=False, ENABLE_IPv4="false")


def test_a_log_file_that_cannot_be_opened_means_stderr() -> None:
    async def body(world: World) -> None:
        world.environ["AWS_VPC_K8S_CNI_LOG_FILE"] = str(world.path / "stderr" / "x.log")
        await world.start()
        assert "logging to stderr" in (world.path / "stderr").read_text()

    run(body, started=False)


def test_calls_over_the_wire_need_a_deadline() -> None:
    async def body(world: World) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stub.Inspect(pb.InspectRequest())
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(body)
