"""netconf as a real process in a node of its own: what the kernel holds afterwards, in the words of `ip` and `iptables-save`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import socket
from collections.abc import Iterator

import pytest
from netconf_node import (
    INTERNET,
    NODE_IP,
    Client,
    Node,
    Process,
    eni_spec,
    eventually,
    host_spec,
    serving,
    sh,
)
from netconf_scenario import scenario
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

RULES = """\
0: from all lookup local
512: from all to 10.0.1.33 lookup main
512: from all to 10.0.2.33 lookup main
1024: from all fwmark 0x80/0x80 lookup main
1536: from 10.0.2.33 lookup 2
32765: from 10.0.2.20 lookup 2
32766: from all lookup main
32767: from all lookup default
"""
MANGLE = """\
-A PREROUTING -i eth0 -m comment --comment "AWS, primary ENI" -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
-A PREROUTING -i vlan+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
"""
NAT = """\
:AWS-CONNMARK-CHAIN-0 - [0:0]
:AWS-SNAT-CHAIN-0 - [0:0]
-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0
-A PREROUTING -m comment --comment "AWS, CONNMARK" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
-A AWS-CONNMARK-CHAIN-0 -d 192.168.0.0/16 -m comment --comment "AWS CONNMARK CHAIN" -j RETURN
-A AWS-CONNMARK-CHAIN-0 -d 10.1.0.0/16 -m comment --comment "AWS CONNMARK CHAIN" -j RETURN
-A AWS-CONNMARK-CHAIN-0 -d 10.0.0.0/16 -m comment --comment "AWS CONNMARK CHAIN" -j RETURN
-A AWS-CONNMARK-CHAIN-0 -m comment --comment "AWS, CONNMARK" -j CONNMARK --set-xmark 0x80/0x80
-A AWS-SNAT-CHAIN-0 -d 192.168.0.0/16 -m comment --comment "AWS SNAT CHAIN EXCLUSION" -j RETURN
-A AWS-SNAT-CHAIN-0 -d 10.1.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN
-A AWS-SNAT-CHAIN-0 -d 10.0.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN
-A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.0.1.10 --random-fully
"""
NFT = """\
table ip aws-cni {
	chain snat-mark {
		counter ip daddr 10.0.0.0/16 return
		counter ip daddr 10.1.0.0/16 return
		counter ip daddr 192.168.0.0/16 return
		counter ct mark set ct mark | 0x00000080
	}

	chain nat-prerouting {
		type nat hook prerouting priority dstnat + 10; policy accept;
		fib daddr type local return
		iifname "eni*" counter jump snat-mark
		counter meta mark set ct mark & 0x00000080
	}
}
"""


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


def saved(node: Node, tool: str, table: str) -> str:
    """The rules of a table and the declarations of its own chains, without the built-in ones and counters."""
    lines = node.exec(f"{tool}-save", "-t", table).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(("-A", ":AWS")))


def test_worked_example_of_the_original_byte_for_byte(node: Node, tmp_path: pathlib.Path) -> None:
    first, second = node.add_pod("10.0.1.33"), node.add_pod("10.0.2.33", 2)

    async def body(client: Client) -> None:
        applied = await client.set_up(host_spec(), eni_spec())
        assert (applied.packet_filter_backend, applied.primary_link) == ("iptables-nft", "eth0")
        for pod in (first, second):
            await client.setup_pod(pod)
        assert node.exec("ip", "rule").replace("\t", " ") == RULES
        assert node.routes("2") == ["default via 10.0.2.1 dev eth1", "10.0.2.1 dev eth1 scope link"]
        assert node.routes() == [
            "default via 10.0.1.1 dev eth0",
            "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.10",
            f"10.0.1.33 dev {first.host_veth} scope link",
            f"10.0.2.33 dev {second.host_veth} scope link",
        ]
        assert saved(node, "iptables-nft", "mangle") == MANGLE
        assert saved(node, "iptables-nft", "nat") == NAT
        assert node.exec("cat", "/proc/sys/net/ipv4/conf/eth0/rp_filter") == "2\n"
        assert [line.rstrip() for line in node.in_pod(first, "ip", "route").splitlines()] == [
            "default via 169.254.1.1 dev eth0",
            "169.254.1.1 dev eth0 scope link",
        ]

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_malformed_settings_are_told_with_every_host_set_up(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        told = dict((await client.set_up()).bad_settings)
        assert told == {"VPCCNI_NETCONF_REPAIR_INTERVAL": told["VPCCNI_NETCONF_REPAIR_INTERVAL"]}
        assert "'often': not an integer; allowed: 1 to 3600; using 30" in told["VPCCNI_NETCONF_REPAIR_INTERVAL"]

    with serving(node, tmp_path, VPCCNI_NETCONF_REPAIR_INTERVAL="often") as process:
        scenario(process, body)


def test_inspect_tells_the_backend_and_what_does_not_fit_it(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        await client.setup_pod(node.add_pod("10.0.1.33"))
        told = await client.call("Inspect", pb.InspectRequest())
        assert (told.packet_filter_backend, told.packet_filter_problem) == ("iptables-nft", "")
        assert (told.pods, told.enis) == (1, 1)
        assert told.settings["VPCCNI_NETCONF_PACKET_FILTER"] == "iptables-nft"
        node.exec("iptables-legacy", "-t", "nat", "-N", "KUBE-SERVICES")
        told = await client.call("Inspect", pb.InspectRequest())
        assert told.packet_filter_problem.startswith("ours is iptables-nft, ")

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER="iptables-nft") as process:
        scenario(process, body)


def test_legacy_binaries_list_the_same(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        assert (await client.set_up()).packet_filter_backend == "iptables-legacy"
        assert saved(node, "iptables-legacy", "mangle") == MANGLE
        assert saved(node, "iptables-legacy", "nat") == NAT
        assert saved(node, "iptables-nft", "nat") == ""

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER="iptables-legacy") as process:
        scenario(process, body)


def test_native_nftables_marks_and_iptables_translates(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        assert (await client.set_up()).packet_filter_backend == "nftables"
        assert node.exec("nft", "-s", "list", "table", "ip", "aws-cni") == NFT
        assert "CONNMARK" not in saved(node, "iptables-nft", "nat")
        assert (await client.set_up()).changes == 0

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER="nftables") as process:
        scenario(process, body)


def test_the_backend_is_the_one_that_kubelet_uses(node: Node, tmp_path: pathlib.Path) -> None:
    node.exec("iptables-legacy", "-t", "mangle", "-N", "KUBE-KUBELET-CANARY")

    async def body(client: Client) -> None:
        assert (await client.set_up()).packet_filter_backend == "iptables-legacy"

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER="auto") as process:
        scenario(process, body)


@pytest.mark.parametrize("backend", ["iptables-nft", "iptables-legacy", "nftables"])
def test_packets(node: Node, tmp_path: pathlib.Path, backend: str) -> None:
    """Every path of a pod. The VPC drops what leaves by the wrong ENI or with a foreign source."""
    first, second = node.add_pod("10.0.1.33"), node.add_pod("10.0.2.33", 2)

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        for pod in (first, second):
            await client.setup_pod(pod)
        assert node.pings(first, "10.0.2.33", size=8973), "pod to pod on the node, 9001 bytes"
        assert node.pings(first, NODE_IP) and node.pings(second, NODE_IP), "pod to node"
        for pod in (first, second):
            assert node.pings(pod, "10.0.1.1"), "pod to the VPC"
            assert node.pings(pod, INTERNET), "pod to the internet, translated"
        node.exec("ping", "-c", "1", "-W", "3", "10.0.2.33")
        sh("ip", "netns", "exec", node.vpc, "ping", "-c", "1", "-W", "3", "-I", "10.0.1.1", "10.0.2.33")

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend) as process:
        scenario(process, body)


def test_second_apply_changes_nothing_and_teardown_leaves_nothing(node: Node, tmp_path: pathlib.Path) -> None:
    pods = [node.add_pod(f"10.0.{1 if n % 2 else 2}.{40 + n}", 254 if n % 2 else 2) for n in range(4)]

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        before = (node.rules(), node.routes(), node.links())
        for pod in pods:
            assert (await client.setup_pod(pod)).changes > 0
        assert (await client.call("ApplyHost", pb.ApplyHostRequest(host=host_spec()))).changes == 0
        assert (await client.call("ApplyEni", pb.ApplyEniRequest(eni=eni_spec()))).changes == 0
        assert (await client.call("ApplyPods", pb.ApplyPodsRequest(pods=pods))).changes == 0
        for pod in pods:
            assert (await client.setup_pod(pod)).changes == 0
            assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=pod))).differences
        for pod in pods:
            assert (await client.teardown_pod(pod)).changes > 0
            assert (await client.teardown_pod(pod)).changes == 0
        eventually(lambda: not [link for link in node.links() if link.startswith("eni")], "the pods' links are gone")
        assert (node.rules(), node.routes(), node.links()) == before
        assert pods[0].netns and "eth0" not in node.in_pod(pods[0], "ip", "-o", "link")

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_the_first_packet_of_a_pod_arrives(node: Node, tmp_path: pathlib.Path) -> None:
    def udp() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    pods = [node.add_pod(f"10.0.1.{100 + n}") for n in range(20)]

    async def body(client: Client) -> None:
        await client.set_up(host_spec())
        with contextlib.closing(node.run(udp)) as receiver:
            receiver.bind(("0.0.0.0", 0))
            receiver.settimeout(0.5)
            for pod in pods:
                with contextlib.closing(node.run(udp, pod.netns)) as sender:
                    await client.setup_pod(pod)
                    sender.sendto(pod.address.encode(), ("10.0.1.10", receiver.getsockname()[1]))
                    assert receiver.recvfrom(100)[1][0] == pod.address

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_pods_keep_running_through_a_crash_and_are_taken_over(node: Node, tmp_path: pathlib.Path) -> None:
    kept, gone = node.add_pod("10.0.2.33", 2), node.add_pod("10.0.1.34")
    with serving(node, tmp_path) as process:

        async def before(client: Client) -> None:
            await client.set_up(host_spec(), eni_spec())
            for pod in (kept, gone):
                await client.setup_pod(pod)

        scenario(process, before)
        process.kill()
        assert node.pings(kept, INTERNET), "without netconf"
        node.exec("ip", "rule", "del", "from", "10.0.2.33")
        process.start()

        async def after(client: Client) -> None:
            await client.set_up(host_spec(), eni_spec())
            answer = await client.call("ApplyPods", pb.ApplyPodsRequest(pods=[kept]))
            assert answer.changes > 0 and not answer.missing_links
            assert node.pings(kept, INTERNET)
            eventually(lambda: gone.host_veth not in " ".join(node.links()), "what is not listed is removed")
            assert not [rule for rule in node.rules() if gone.address in rule]
            assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=kept))).differences

        scenario(process, after)
        assert process.stop() == 0
        assert node.pings(kept, INTERNET), "after an orderly stop"


def refused(process: Process, call: str, request: object) -> ReasonError:
    found: list[ReasonError] = []

    async def body(client: Client) -> None:
        with pytest.raises(ReasonError) as caught:
            await client.call(call, request, 3)
        found.append(caught.value)

    scenario(process, body)
    return found[0]


def test_bad_namespaces_and_taken_names_are_refused_and_change_nothing(node: Node, tmp_path: pathlib.Path) -> None:
    pod = node.add_pod("10.0.1.33")
    plain = tmp_path / "plain"
    plain.write_text("")
    node.in_pod(pod, "ip", "link", "add", "taken", "type", "veth", "peer", "name", "other")
    cases: list[tuple[dict[str, str | int], Reason]] = [
        ({"netns": "/var/run/netns/h4-none"}, Reason.NETNS_GONE),
        ({"netns": str(plain)}, Reason.NETNS_INVALID),
        ({"netns": str(tmp_path)}, Reason.NETNS_INVALID),
        ({"netns": "/dev/null"}, Reason.NETNS_INVALID),
        ({"netns": "/proc/self/ns/mnt"}, Reason.NETNS_INVALID),
        ({"netns": f"/var/run/netns/{node.netns}"}, Reason.NETNS_INVALID),
        ({"ifname": "taken"}, Reason.LINK_EXISTS),
        ({"ifname": "a/b"}, Reason.REQUEST_INVALID),
        ({"ifname": "sixteen-letters-"}, Reason.REQUEST_INVALID),
        ({"host_veth": ""}, Reason.REQUEST_INVALID),
        ({"address": "10.0.1.333"}, Reason.REQUEST_INVALID),
        ({"mtu": 100}, Reason.REQUEST_INVALID),
        ({"container_id": ""}, Reason.REQUEST_INVALID),
        ({"route_table": 255}, Reason.TABLE_CONFLICT),
    ]
    with serving(node, tmp_path) as process:
        before, inside = node.snapshot(), node.in_pod(pod, "ip", "-o", "link")
        for changes, reason in cases:
            asked = pb.PodSpec()
            asked.CopyFrom(pod)
            for field, value in changes.items():
                setattr(asked, field, value)
            error = refused(process, "SetupPod", pb.SetupPodRequest(pod=asked))
            assert error.reason is reason, f"{changes}: {error}"
            assert error.origin == "netconf"
        assert node.snapshot() == before
        assert node.in_pod(pod, "ip", "-o", "link") == inside


def test_a_link_that_never_appears_is_named_before_the_call_ends(node: Node, tmp_path: pathlib.Path) -> None:
    with serving(node, tmp_path) as process:
        error = refused(process, "ApplyEni", pb.ApplyEniRequest(eni=eni_spec(mac="02:00:00:00:09:09")))
        assert error.reason is Reason.LINK_MISSING
        assert "02:00:00:00:09:09" in error.message


def test_an_eni_that_appears_late_is_waited_for(tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        waiting = asyncio.create_task(client.call("ApplyEni", pb.ApplyEniRequest(eni=eni_spec())))
        done, _ = await asyncio.wait((waiting,), timeout=0.5)
        assert not done
        fresh.attach_second()
        answer = await waiting
        assert (answer.link_name, answer.route_table) == ("eth1", 2)
        assert "10.0.2.20/24" in fresh.exec("ip", "-o", "addr", "show", "dev", "eth1")
        assert not [route for route in fresh.routes() if "eth1" in route], (
            "no connected route to the subnet by this ENI"
        )

    with Node() as fresh, serving(fresh, tmp_path) as process:
        scenario(process, body)


def test_rules_of_a_freed_eni_go(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        request = pb.RemoveEniRequest(eni_id="eni-2", primary_ip="10.0.2.20", route_table=2)
        assert (await client.call("RemoveEni", request)).changes == 1
        assert not [rule for rule in node.rules() if "10.0.2.20" in rule]
        assert (await client.call("RemoveEni", request)).changes == 0

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_new_sandbox_replaces_the_old_and_its_late_del_does_no_harm(node: Node, tmp_path: pathlib.Path) -> None:
    old, new = node.add_pod("10.0.1.33", name="db-0"), node.add_pod("10.0.2.34", 2, name="db-0")
    new.host_veth = old.host_veth

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        await client.setup_pod(old)
        await client.setup_pod(new)
        assert "eth0" not in node.in_pod(old, "ip", "-o", "link")
        assert (await client.teardown_pod(old)).changes == 1, "the old address's rule, nothing else"
        assert node.pings(new, INTERNET)
        assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=new))).differences

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_what_an_earlier_owner_of_the_address_left_behind_is_overruled(node: Node, tmp_path: pathlib.Path) -> None:
    pod = node.add_pod("10.0.2.33", 2)
    for table in ("7", "8"):
        node.exec("ip", "rule", "add", "from", "10.0.2.33", "lookup", table, "pref", "1536")
    node.exec("ip", "route", "add", "10.0.2.33", "dev", "eth0")

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        await client.setup_pod(pod)
        assert [rule for rule in node.rules() if rule.startswith("1536:")] == ["1536: from 10.0.2.33 lookup 2"]
        assert [route for route in node.routes() if "10.0.2.33" in route] == [
            f"10.0.2.33 dev {pod.host_veth} scope link"
        ]

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_failed_set_up_is_undone(node: Node, tmp_path: pathlib.Path) -> None:
    """A rule that lets nothing be reached makes the kernel refuse the pod's gateway, after the link was made."""
    pod = node.add_pod("10.0.1.33")
    node.in_pod(pod, "ip", "rule", "add", "pref", "0", "blackhole")

    async def body(client: Client) -> None:
        await client.set_up()
        before = (node.rules(), node.routes(), node.links())
        with pytest.raises(ReasonError) as caught:
            await client.setup_pod(pod)
        assert caught.value.reason is Reason.KERNEL_REFUSED
        assert "ip route replace default via 169.254.1.1 dev eth0" in caught.value.message
        assert (node.rules(), node.routes(), node.links()) == before

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_check_names_what_differs_and_a_repeated_set_up_mends_it_in_place(node: Node, tmp_path: pathlib.Path) -> None:
    pod = node.add_pod("10.0.2.33", 2)

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        made = await client.setup_pod(pod)
        node.in_pod(pod, "ip", "neigh", "del", "169.254.1.1", "dev", "eth0")
        node.in_pod(pod, "ip", "route", "del", "default")
        node.in_pod(pod, "ip", "addr", "add", "10.0.2.99/32", "dev", "eth0")
        node.in_pod(pod, "ip", "link", "set", "eth0", "mtu", "1400")
        node.in_pod(pod, "ip", "addr", "add", "192.168.7.7/24", "dev", "lo")
        answer = await client.call("CheckPod", pb.CheckPodRequest(pod=pod))
        assert list(answer.differences) == [
            "ip link set eth0 mtu 9001 up",
            "ip route replace default via 169.254.1.1 dev eth0 table main",
            f"ip neigh replace 169.254.1.1 lladdr {made.host_mac} dev eth0 nud permanent",
            "ip addr del 10.0.2.99/32 dev eth0 noprefixroute",
        ]
        again = await client.setup_pod(pod)
        assert (again.changes, again.host_index, again.host_mac) == (4, made.host_index, made.host_mac)
        assert node.pings(pod, INTERNET)
        assert "192.168.7.7/24" in node.in_pod(pod, "ip", "addr"), "what others put there stays"

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_pod_without_its_interface_is_said_so(node: Node, tmp_path: pathlib.Path) -> None:
    pod, other = node.add_pod("10.0.1.33"), node.add_pod("10.0.1.34")

    async def body(client: Client) -> None:
        await client.set_up()
        answer = await client.call("CheckPod", pb.CheckPodRequest(pod=pod))
        assert list(answer.differences) == [f"host link {pod.host_veth} is missing"]
        await client.setup_pod(pod)
        pod.netns = other.netns
        answer = await client.call("CheckPod", pb.CheckPodRequest(pod=pod))
        assert list(answer.differences) == [f"eth0 is missing in {other.netns}"]

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_read_only_proc_sys_is_named(node: Node, tmp_path: pathlib.Path) -> None:
    wrapper = ("sh", "-c", 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"', "sh")
    with serving(node, tmp_path, wrapper=wrapper) as process:
        error = refused(process, "ApplyHost", pb.ApplyHostRequest(host=host_spec(disable_tcp_early_demux=True)))
        assert error.reason is Reason.KERNEL_REFUSED
        assert "rp_filter=2" in error.message and "(EROFS); the container needs a writable /proc/sys" in error.message


def test_forty_pods_at_once(node: Node, tmp_path: pathlib.Path) -> None:
    pods = [node.add_pod(f"10.0.{n % 2 + 1}.{40 + n}", 2 if n % 2 else 254) for n in range(40)]

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        before = node.rules(), node.routes(), node.links()
        made = await asyncio.gather(*(client.setup_pod(pod) for pod in pods))
        assert len({answer.host_mac for answer in made}) == len({answer.host_index for answer in made}) == 40
        assert len([rule for rule in node.rules() if rule.startswith(("512:", "1536:"))]) == 60
        assert all(node.pings(pods[n], pods[n + 1].address) for n in range(0, 40, 8))
        observed = await client.call("Observe", pb.ObserveRequest(veth_prefix="eni"))
        assert {o.address for o in observed.pods if o.link and o.route and o.to_rule} == {p.address for p in pods}
        assert {o.address for o in observed.pods if o.from_rule} == {p.address for p in pods if p.route_table == 2}
        await asyncio.gather(*(client.teardown_pod(pod) for pod in pods))
        assert not (await client.call("Observe", pb.ObserveRequest(veth_prefix="eni"))).pods
        eventually(lambda: (node.rules(), node.routes(), node.links()) == before, "the node is as before")

    with serving(node, tmp_path) as process:
        scenario(process, body)
