"""netconf keeps the kernel as it should be: whatever of ours is deleted or changed by hand comes back, and is told."""

from __future__ import annotations

import asyncio
import os
import pathlib
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from netconf_node import INTERNET, Client, Node, Process, eni_spec, eventually, host_spec, serving, sh
from object_kinds import KINDS
from vpccni_api.netconf.v1 import netconf_pb2 as pb

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
BACKENDS = ["iptables-nft", "iptables-legacy", "nftables"]


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


def scenario(process: Process, body: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with process.client() as client:
            await body(client)

    asyncio.run(run())


async def until(check: Callable[[], bool], what: str) -> None:
    """As ``eventually``, without holding up the event loop."""
    await asyncio.to_thread(eventually, check, what)


def metric(node: Node, start: str) -> float:
    """Sum of the samples whose line starts so."""
    text = node.run(lambda: urllib.request.urlopen("http://127.0.0.1:61683/metrics", timeout=5).read().decode())
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))


def state(node: Node) -> tuple[list[str], list[str]]:
    """Rules and main routes. The kernel's rule of its empty table "default" is nobody's concern."""
    return [rule for rule in node.rules() if not rule.startswith("32767:")], sorted(node.routes())


def filter_text(node: Node, backend: str) -> str:
    flavour = "legacy" if backend == "iptables-legacy" else "nft"
    both = "".join(node.exec(f"{name}-{flavour}-save") for name in ("iptables", "ip6tables"))
    lines = [line for line in both.splitlines() if line.startswith(("-A", ":AWS"))]
    native = node.exec("nft", "-s", "list", "table", "ip", "aws-cni", check=False) if backend == "nftables" else ""
    return "\n".join((*sorted(lines), native))


IN_POD, ON_HOST = True, False
DAMAGE = [
    ("Rule", ON_HOST, "ip rule del to 10.0.2.33"),
    ("Rule", ON_HOST, "ip rule del from 10.0.2.33"),
    ("Rule", ON_HOST, "ip rule del pref 1024"),
    ("Rule", ON_HOST, "ip rule del from 10.0.2.20"),
    ("Rule", ON_HOST, "ip rule flush"),
    ("Rule", ON_HOST, "ip rule add from 10.0.2.33 lookup 77 pref 1536"),
    ("Route", ON_HOST, "ip route del 10.0.2.33"),
    ("Route", ON_HOST, "ip route replace 10.0.2.33 dev eth0"),
    ("Route", ON_HOST, "ip route del default table 2"),
    ("Route", ON_HOST, "ip route flush table 2"),
    ("Route", ON_HOST, "ip route add 10.0.2.0/24 dev eth1 src 10.0.2.20"),
    ("Route", ON_HOST, "ip -6 route del fd00::ac:10 dev veth00000001"),
    ("Route", IN_POD, "ip route del default"),
    ("Route", IN_POD, "ip route flush table main"),
    ("Route", IN_POD, "ip -6 route del default"),
    ("Address", ON_HOST, "ip addr del 10.0.2.20/24 dev eth1"),
    ("Address", ON_HOST, "ip addr flush dev veth00000001"),
    ("Address", IN_POD, "ip addr del 10.0.2.33/32 dev eth0"),
    ("Address", IN_POD, "ip addr flush dev v6if0 scope global"),
    ("Neighbour", IN_POD, "ip neigh del 169.254.1.1 dev eth0"),
    ("Neighbour", IN_POD, "ip neigh replace 169.254.1.1 lladdr 02:00:00:00:99:99 dev eth0 nud permanent"),
    ("Neighbour", IN_POD, "ip neigh flush nud permanent"),
    ("Link", ON_HOST, "ip link set eth1 down"),
    ("Link", ON_HOST, "ip link set eth1 mtu 1500"),
    ("Link", ON_HOST, "ip link set {veth} down"),
    ("Link", ON_HOST, "ip link set {veth} address 02:00:00:00:99:99"),
    ("Link", ON_HOST, "ip link set veth00000001 down"),
    ("Link", ON_HOST, "ip link del {veth}"),
    ("Link", ON_HOST, "ip link del veth00000001"),
    ("Link", IN_POD, "ip link set eth0 down"),
    ("Link", IN_POD, "ip link set eth0 mtu 1400"),
    ("Link", IN_POD, "ip link set v6if0 down"),
    ("Link", IN_POD, "ip link del eth0"),
    ("Sysctl", ON_HOST, "sysctl -qw net.ipv4.conf.eth0.rp_filter=1"),
    ("Sysctl", ON_HOST, "sysctl -qw net.ipv6.conf.all.forwarding=0"),
    ("Sysctl", ON_HOST, "sysctl -qw net.ipv6.conf.eth0.accept_ra=0"),
    ("Sysctl", ON_HOST, "sysctl -qw net.ipv6.conf.{veth}.accept_ra=1"),
    ("Sysctl", ON_HOST, "sysctl -qw net.ipv6.conf.{veth}.accept_redirects=0"),
    ("Sysctl", ON_HOST, "sysctl -qw net.ipv6.conf.veth00000001.forwarding=1"),
]  # fmt: skip


def test_every_kind_of_object_that_we_own_is_among_them() -> None:
    """Links of branch ENIs need VLAN devices: tests/wire/test_netconf_modes.py::test_branch_eni_pods, under qemu."""
    assert {kind for kind, _, _ in DAMAGE} | {"VlanLink"} == KINDS
    assert {kind for kind, place, _ in DAMAGE if place is IN_POD} == {"Route", "Address", "Neighbour", "Link"}


def pod_with_egress(node: Node) -> pb.PodSpec:
    pod = node.add_pod("10.0.2.33", 2)
    pod.egress.address, pod.egress.host_veth = "fd00::ac:10", "veth00000001"
    pod.egress.host_mac, pod.egress.mac = "02:00:00:00:0e:01", "02:00:00:00:0d:01"
    return pod


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in DAMAGE}))
def test_what_is_damaged_by_hand_comes_back_and_is_told(node: Node, tmp_path: pathlib.Path, kind: str) -> None:
    pod = pod_with_egress(node)
    told: list[pb.DriftEvent] = []

    async def watch(stream: AsyncIterator[pb.DriftEvent]) -> None:
        async for event in stream:
            told.append(event)  # noqa: PERF401 - one at a time, as they come

    async def body(client: Client) -> None:
        watching = asyncio.create_task(watch(client.stub.WatchDrift(pb.WatchDriftRequest())))
        await client.set_up(host_spec(v6_egress=True), eni_spec())
        await client.setup_pod(pod)
        whole, table = state(node), node.routes("2")
        await until(lambda: node.listened_to(pod), "netconf listens inside the pod")
        assert not told, "set-up is not drift"
        for place, damage in [(place, damage) for of_kind, place, damage in DAMAGE if of_kind == kind]:
            told.clear()
            before = metric(node, "vpccni_netconf_repairs_total")
            run = partial(node.in_pod, pod) if place is IN_POD else node.exec
            run(*damage.format(veth=pod.host_veth).split())
            await until(lambda: bool(told), f"an event after {damage}")
            await until(
                lambda: (state(node), node.routes("2")) == (whole, table),
                f"rules and routes as before after {damage}",
            )
            await same_again(client, pod, damage)
            assert {event.action for event in told} <= {"repaired", "fight"}, damage
            assert kind.lower() in {event.kind for event in told}, f"{damage}: {told}"
            steps = partial(lambda was: metric(node, "vpccni_netconf_repairs_total") - was, before)
            await until(lambda steps=steps: steps() == len(told), f"a metric step for each repair after {damage}")
            if " del " in damage and not damage.startswith("ip link"):
                assert [event.kind for event in told].count(kind.lower()) == 1, f"{damage}: {told}"
            assert node.pings(pod, INTERNET), damage
        watching.cancel()

    with serving(node, tmp_path) as process:
        scenario(process, body)


async def same_again(client: Client, pod: pb.PodSpec, damage: str) -> None:
    """CHECK finds nothing more, at the latest when the events of one deletion have all been answered."""
    found = None
    for _ in range(100):
        found = await client.call("CheckPod", pb.CheckPodRequest(pod=pod))
        if not found.differences:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{damage}: {found}")


def test_what_is_not_ours_is_left_alone(node: Node, tmp_path: pathlib.Path) -> None:
    foreign = [
        "ip rule add pref 700 to 10.0.9.9 lookup main",
        "ip rule add pref 1024 fwmark 0x4000/0x4000 lookup 99",
        "ip route add 10.0.9.9 via 10.0.1.1",
        "ip route add 10.0.8.0/24 dev eth1 table 2",
        "ip addr add 169.254.7.7/16 dev eth1",
        "iptables-nft -t nat -A POSTROUTING -s 10.0.9.9 -j ACCEPT",
        "iptables-nft -t nat -N KUBE-SERVICES",
    ]

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        for command in foreign:
            node.exec(*command.split())
        before = (node.rules(), node.routes(), node.routes("2"), filter_text(node, "iptables-nft"))
        node.exec("ip", "rule", "del", "from", "10.0.2.20")
        node.exec("iptables-nft", "-t", "nat", "-F", "AWS-SNAT-CHAIN-0")
        await until(
            lambda: (node.rules(), node.routes(), node.routes("2"), filter_text(node, "iptables-nft")) == before,
            "ours is back, theirs was not touched",
        )

    with serving(node, tmp_path, VPCCNI_NETCONF_REPAIR_INTERVAL="1") as process:
        scenario(process, body)


async def counted(node: Node, before: float) -> None:
    await until(lambda: metric(node, "vpccni_netconf_repairs_total") > before, "the repair is counted")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_packet_filter_comes_back(node: Node, tmp_path: pathlib.Path, backend: str) -> None:
    tool = "iptables-legacy" if backend == "iptables-legacy" else "iptables-nft"
    damage = [
        f"{tool} -t nat -F AWS-SNAT-CHAIN-0",
        f"{tool} -t nat -D AWS-SNAT-CHAIN-0 1",
        f"{tool} -t nat -F POSTROUTING",
        f"{tool} -t mangle -F PREROUTING",
        f"ip6{tool[2:]} -t nat -F AWS-EGRESS-CHAIN-0",
        f"ip6{tool[2:]} -t nat -F POSTROUTING",
        f"ip6{tool[2:]} -F FORWARD",
    ]
    damage += ["nft delete table ip aws-cni", "nft flush chain ip aws-cni snat-mark"] if backend == "nftables" else []

    async def body(client: Client) -> None:
        await client.set_up(host_spec(v6_egress=True, egress_ip="2001:db8::10"))
        whole = filter_text(node, backend)
        assert whole.count("fd00::ac:0/118") == 2
        for command in damage:
            before = metric(node, "vpccni_netconf_repairs_total")
            node.exec(*command.split())
            await until(lambda: filter_text(node, backend) == whole, f"the rules are back after {command}")
            await counted(node, before)
        assert metric(node, f'awscni_connmark_backend{{backend="{backend}"}}') == 1
        assert metric(node, 'awscni_connmark_reconcile_total{result="success"}') > len(damage)

    with serving(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend) as process:
        scenario(process, body)


def test_a_fight_is_told_once_and_pods_stay_reachable(node: Node, tmp_path: pathlib.Path) -> None:
    pod = node.add_pod("10.0.2.33", 2)
    told: list[pb.DriftEvent] = []

    async def watch(stream: AsyncIterator[pb.DriftEvent]) -> None:
        async for event in stream:
            told.append(event)  # noqa: PERF401 - one at a time, as they come

    async def body(client: Client) -> None:
        watching = asyncio.create_task(watch(client.stub.WatchDrift(pb.WatchDriftRequest())))
        await client.set_up(host_spec(), eni_spec())
        await client.setup_pod(pod)
        rule = "1536: from 10.0.2.33 lookup 2"
        for _ in range(6):
            node.exec("ip", "rule", "del", "from", "10.0.2.33")
            await until(lambda: rule in node.rules(), "the rule is back each time")
        await until(lambda: sum(event.action == "repaired" for event in told) == 3, "three plain repairs")
        assert [event.object for event in told if event.action == "fight"] == [
            "ip rule add pref 1536 from 10.0.2.33/32 lookup 2"
        ]
        assert node.pings(pod, INTERNET)
        watching.cancel()

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_the_rules_of_58_pods_are_back_together(node: Node, tmp_path: pathlib.Path) -> None:
    """`ip rule flush` with many pods: one comparison, one batch."""

    async def body(client: Client) -> None:
        await client.set_up(host_spec(), eni_spec())
        pods = [node.add_pod(f"10.0.{2 if n % 2 else 1}.{40 + n}", 2 if n % 2 else 254) for n in range(58)]
        await asyncio.gather(*(client.setup_pod(pod) for pod in pods))
        rules = node.rules()
        assert len([rule for rule in rules if rule.startswith(("512:", "1536:"))]) == 58 + 29
        node.exec("ip", "rule", "flush")
        await until(
            lambda: set(rules) - set(node.rules()) == {"32767: from all lookup default"}, "all of ours are back"
        )
        for pod in pods:
            assert not (await client.call("CheckPod", pb.CheckPodRequest(pod=pod))).differences

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_a_namespace_whose_name_goes_without_del_is_let_go(node: Node, tmp_path: pathlib.Path) -> None:
    """Listening inside a pod must not keep its namespace alive."""
    pod = node.add_pod("10.0.1.33")

    async def body(client: Client) -> None:
        await client.set_up()
        await client.setup_pod(pod)
        await until(lambda: node.listened_to(pod), "netconf listens inside the pod")
        sh("ip", "netns", "del", pod.netns.rsplit("/", 1)[-1])
        await until(lambda: pod.host_veth not in " ".join(node.links()), "the kernel has taken the namespace down")

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_what_a_pod_puts_in_the_place_of_our_route_stays(node: Node, tmp_path: pathlib.Path) -> None:
    """A VPN in the pod, say."""
    pod = node.add_pod("10.0.1.33")

    async def body(client: Client) -> None:
        await client.set_up()
        await client.setup_pod(pod)
        await until(lambda: node.listened_to(pod), "netconf listens inside the pod")
        for command in ("ip link add tun0 type veth", "ip link set tun0 up", "ip route replace default dev tun0"):
            node.in_pod(pod, *command.split())
        node.in_pod(pod, "ip", "neigh", "del", "169.254.1.1", "dev", "eth0")
        await until(lambda: "169.254.1.1" in node.in_pod(pod, "ip", "neigh"), "what was deleted beside it is back")
        assert node.in_pod(pod, "ip", "route", "show", "default").split()[:3] == ["default", "dev", "tun0"]

    with serving(node, tmp_path) as process:
        scenario(process, body)


async def health(process: Process, service: str) -> int:
    async with process.client() as client:
        stub = health_pb2_grpc.HealthStub(client._channel.grpc_channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)


def test_ready_follows_the_datapath(node: Node, tmp_path: pathlib.Path) -> None:
    serving_status, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    with serving(node, tmp_path) as process:
        assert asyncio.run(health(process, "live")) == serving_status
        assert asyncio.run(health(process, "ready")) == not_serving

        async def body(client: Client) -> None:
            await client.set_up()

        scenario(process, body)
        assert asyncio.run(health(process, "ready")) == serving_status
        assert asyncio.run(health(process, "datapath")) == serving_status
        assert "awscni_connmark_backend" in process.log or process.stop() == 0


def test_drift_streams_end_when_the_service_stops(node: Node, tmp_path: pathlib.Path) -> None:
    with serving(node, tmp_path) as process:

        async def body(client: Client) -> None:
            stream = client.stub.WatchDrift(pb.WatchDriftRequest())
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            await client.set_up()
            assert await asyncio.to_thread(process.stop) == 0
            await asyncio.wait((reading,))

        scenario(process, body)
