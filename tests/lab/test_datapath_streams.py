"""What running connections feel: services that die, kernel objects that are deleted by hand, settings that change, others
who keep deleting. Two pods, one on each ENI, one connection to the internet each, one between them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.datapath.labs import link_of
from vpccni_lab.fabric import namespaces, plan
from vpccni_lab.nodes.node import Node
from vpccni_lab.probe import reach
from vpccni_lab.probe.ping import PingStream
from vpccni_lab.probe.reach import Endpoint, Probe
from vpccni_lab.probe.stream import TcpStream
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod
from vpccni_lab.spec import NodeSpec

from .conftest import FAST

pytestmark = pytest.mark.lab
BACKENDS = {"legacy": ("iptables-legacy", "legacy"), "nftables": ("nftables", "nft")}
SERVICES = ("netconf", "eni-manager", "ipam")
NEVER = {"VPCCNI_NETCONF_REPAIR_INTERVAL": "600"}
"""Seconds between complete comparisons: what comes back was noticed when it went."""
PROMISED_S = 1.0
FIGHT_WINDOW_S = 60.0


class World:
    """One node's pods and the parties around them."""

    def __init__(self, lab: LabClient, name: str) -> None:
        self.lab, self.name, self.node = lab, name, lab.node(name)
        enis = lab.enis()[name]
        by_link: dict[str, Pod] = {}
        for pod in podlib.recorded(self.node):
            by_link.setdefault(link_of(pod.address, enis), pod)
        self.pod0, self.pod1 = by_link["eth0"], by_link["eth1"]
        self.end0, self.end1 = (podlib.endpoint(self.node, pod) for pod in (self.pod0, self.pod1))
        self.internet = self._host("internet", plan.INTERNET_HOST)
        self.peer = self._host("peer", plan.PEER_HOST)
        self.veth = self._ip("route", "show", self.pod1.address)[0]["dev"]
        self.eth1 = enis[1]
        self.in_pod = f"nsenter --net={self.pod1.netns}"

    def _host(self, name: str, address: str) -> Endpoint:
        return Endpoint(name, namespaces.path(self.lab.state.name, name), address)

    def _ip(self, *words: str) -> list[dict[str, str]]:
        return list(json.loads(self.node.run(["ip", "-j", *words]).stdout))

    @contextlib.contextmanager
    def streams(self) -> Iterator[list[TcpStream]]:
        """Running connections; at the end all must have lived."""
        base = 8100 + 10 * list(BACKENDS).index(self.name)
        pairs = ((self.end0, self.internet), (self.end1, self.internet), (self.end1, self.peer), (self.end0, self.end1))
        with contextlib.ExitStack() as stack:
            running = [
                stack.enter_context(TcpStream(a, b, listen=base + n, grace=30.0)) for n, (a, b) in enumerate(pairs)
            ]
            yield running
            assert [stream.result.broken for stream in running if not stream.wait_rounds(5, 15)] == []

    def sh(self, *commands: str) -> None:
        for command in commands:
            done = self.node.run(["sh", "-c", command])
            assert done.returncode == 0, f"{command}: {done.stderr}"

    def reads(self, command: str) -> str:
        return self.node.run(["sh", "-c", command]).stdout


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    nodes = [
        NodeSpec(name, "a", "t3.small", iptables=ipt, env={"VPCCNI_NETCONF_PACKET_FILTER": backend})
        for name, (backend, ipt) in BACKENDS.items()
    ]
    made = make_lab(
        nodes=tuple(nodes), env={**FAST, **NEVER, "WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "5"}, traces=False
    )
    for name in BACKENDS:
        with made.pods(name, workers=4) as runtime:
            outcomes = runtime.run([podlib.new_pod(name, f"{name}-{number}") for number in range(4)])
            assert all(isinstance(outcome, Pod) for outcome in outcomes), outcomes
    return made


@pytest.fixture(params=list(BACKENDS))
def world(lab: LabClient, request: pytest.FixtureRequest) -> World:
    return World(lab, request.param)


def settles(look: Callable[[], bool], within: float = 15.0) -> bool:
    """``within`` is a limit for a hang, not a measurement."""
    deadline = time.monotonic() + within
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)
    return look()


def test_services_die_and_come_back(world: World) -> None:
    with world.streams() as running, PingStream(world.end0, world.end1) as ping:
        for service in SERVICES:
            world.lab.service(world.name, service, "kill")
        assert all(stream.wait_rounds(10) for stream in running)
        for service in SERVICES:
            world.lab.service(world.name, service, "start")
        world.lab.wait_ready(world.name)
        assert all(stream.wait_rounds(10) for stream in running)
    assert ping.result.sent > 10
    assert ping.result.lost == ()


def damages(world: World) -> dict[str, tuple[str, str]]:
    """What is done by hand -> (its command, what shows the state that must come back)."""
    pod, eth1, via = world.pod1.address, world.eth1, plan.gateway("10.0.1.0/24")
    inside = world.in_pod
    chains = f"{BACKENDS[world.name][0] if world.name == 'legacy' else 'iptables-nft'}"
    found = {
        "rule to the pod": (f"ip rule del to {pod} priority 512", "ip rule"),
        "rule from the pod": (f"ip rule del from {pod} priority 1536", "ip rule"),
        "rule of marks": ("ip rule del priority 1024", "ip rule"),
        "rule of the ENI": (f"ip rule del from {eth1['private_ip']} priority 32765", "ip rule"),
        "all rules": ("ip rule flush", "ip rule | grep -v 32767"),
        "route to the pod": (f"ip route del {pod}", "ip route show table main | sort"),
        "route of the ENI": ("ip route del default table 2", "ip route show table 2 | sort"),
        "gateway of the ENI": (f"ip route del {via} table 2", "ip route show table 2 | sort"),
        "all of the ENI's table": ("ip route flush table 2", "ip route show table 2 | sort"),
        "address of the ENI": (f"ip addr flush dev {eth1['link']}", f"ip -4 -o addr show {eth1['link']}"),
        "ENI down": (f"ip link set {eth1['link']} down", f"ip -o link show {eth1['link']} | grep -o ',UP'"),
        "ENI's MTU": (f"ip link set {eth1['link']} mtu 1500", f"cat /sys/class/net/{eth1['link']}/mtu"),
        "pod's link down": (f"ip link set {world.veth} down", f"ip -o link show {world.veth} | grep -o ',UP'"),
        "pod's link's MAC": (
            f"ip link set {world.veth} address 02:00:00:00:99:99",
            f"cat /sys/class/net/{world.veth}/address",
        ),
        "reverse path filter": ("sysctl -qw net.ipv4.conf.eth0.rp_filter=1", "sysctl -n net.ipv4.conf.eth0.rp_filter"),
        "SNAT rules": (f"{chains} -t nat -F AWS-SNAT-CHAIN-0", f"{chains} -t nat -S AWS-SNAT-CHAIN-0"),
        "jump to SNAT": (
            f'{chains} -t nat -D POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0',
            f"{chains} -t nat -S POSTROUTING",
        ),
        "IPv6 forwarding of the pod's link": (
            f"sysctl -qw net.ipv6.conf.{world.veth}.forwarding=1",
            f"sysctl -n net.ipv6.conf.{world.veth}.forwarding",
        ),
        "router advertisements on the pod's link": (
            f"sysctl -qw net.ipv6.conf.{world.veth}.accept_ra=1",
            f"sysctl -n net.ipv6.conf.{world.veth}.accept_ra",
        ),
        "default route inside the pod": (f"{inside} ip route del default", f"{inside} ip route"),
        "all routes inside the pod": (f"{inside} ip route flush table main", f"{inside} ip route | sort"),
        "address inside the pod": (f"{inside} ip addr del {pod}/32 dev eth0", f"{inside} ip -4 -o addr show eth0"),
        "neighbour inside the pod": (
            f"{inside} ip neigh del 169.254.1.1 dev eth0",
            f"{inside} ip neigh show nud permanent",
        ),
        "link down inside the pod": (
            f"{inside} ip link set eth0 down",
            f"{inside} ip -o link show eth0 | grep -o ',UP'; {inside} ip route | sort",
        ),
        "MTU inside the pod": (
            f"{inside} ip link set eth0 mtu 1400",
            f"{inside} ip -o link show eth0 | grep -o 'mtu [0-9]*'",
        ),
        "mangle rules": (f"{chains} -t mangle -F PREROUTING", f"{chains} -t mangle -S PREROUTING"),
    }
    if world.name == "legacy":
        found["connection marks"] = (
            f"{chains} -t nat -F AWS-CONNMARK-CHAIN-0",
            f"{chains} -t nat -S AWS-CONNMARK-CHAIN-0",
        )
    else:
        found["connection marks"] = ("nft delete table ip aws-cni", "nft -s list table ip aws-cni")
    return found


def repaired_within(world: World, name: str, command: str, shows: str) -> float:
    """Seconds until what the command took away is back, with all looks included."""
    before = world.reads(shows)
    assert before.strip(), f"{name}: {shows} shows nothing"
    world.sh(command)
    began = time.monotonic()
    assert settles(lambda: world.reads(shows) == before), f"{name}: {before} -> {world.reads(shows)}"
    return time.monotonic() - began


def test_what_is_deleted_by_hand_comes_back_under_running_streams(world: World) -> None:
    """Every kind within a second. The machine may be busy: what took longer is deleted again after a minute without a fight."""
    took: dict[str, list[float]] = {}
    with world.streams() as running, PingStream(world.end0, world.end1) as ping:
        for name, (command, shows) in damages(world).items():
            took[name] = [repaired_within(world, name, command, shows)]
            alive = [stream.wait_rounds(2, 20) for stream in running]
            assert all(alive), f"{name}: {[stream.result for stream in running]}"
        seen = reach.udp([Probe(end, world.internet) for end in (world.end0, world.end1)], 3)
        assert {s.source for s in seen} == {world.lab.public()[world.node.address]}
        if any(seconds[0] > PROMISED_S for seconds in took.values()):
            time.sleep(FIGHT_WINDOW_S)
            for name, (command, shows) in damages(world).items():
                if took[name][0] > PROMISED_S:
                    took[name].append(repaired_within(world, name, command, shows))
            assert all(stream.wait_rounds(2, 20) for stream in running)
    assert ping.result.sent > 0 and len(ping.result.lost) < ping.result.sent / 10, ping.result
    print("\nseconds until repaired:", *(f"{name}: {seconds}" for name, seconds in took.items()), sep="\n  ")
    assert {name: seconds for name, seconds in took.items() if min(seconds) > PROMISED_S} == {}


def test_settings_change_while_pods_run(world: World) -> None:
    """New connections follow the setting; those that run keep what they began with, as connection tracking has it."""
    own, node = world.pod1.address, world.node.address
    steps = [
        ({"AWS_VPC_K8S_CNI_EXTERNALSNAT": "true"}, own),
        ({"AWS_VPC_K8S_CNI_EXTERNALSNAT": None, "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "10.99.0.0/24"}, own),
        ({"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": None, "AWS_VPC_CNI_NODE_PORT_SUPPORT": "false"}, node),
        ({"AWS_VPC_CNI_NODE_PORT_SUPPORT": None, "AWS_VPC_ENI_MTU": "8000"}, node),
        ({"AWS_VPC_ENI_MTU": None}, node),
    ]
    with world.streams() as running:
        for env, source in steps:
            world.lab.service(world.name, "ipam", "restart", env=env)
            world.lab.wait_ready(world.name)
            (seen,) = reach.udp([Probe(world.end1, world.peer)], 3)
            assert (seen.source, seen.answered) == (source, True), env
            mtu = env.get("AWS_VPC_ENI_MTU") or "9001"
            assert world.reads(f"cat /sys/class/net/{world.eth1['link']}/mtu").strip() == mtu
            assert all(stream.wait_rounds(3) for stream in running), env


@pytest.mark.slow
def test_somebody_deletes_all_rules_every_five_seconds_for_a_minute(lab: LabClient) -> None:
    """As systemd-networkd does with rules that it does not know. Told once as a fight; pods are reachable all the time."""
    world, stop = World(lab, "nftables"), threading.Event()

    def networkd(node: Node) -> None:
        while not stop.wait(5):
            for rule in json.loads(node.run(["ip", "-j", "rule"]).stdout):
                if rule["priority"] in (512, 1024, 1536, 32765):
                    node.run(["ip", "rule", "del", "priority", str(rule["priority"])])

    log = world.lab.state.logs / f"{world.name}-netconf.log"
    before = len(log.read_text())
    deleter = threading.Thread(target=networkd, args=(world.node,), name="networkd")
    with world.streams() as running:
        deleter.start()
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                assert all(stream.wait_rounds(5, 15) for stream in running), [s.result for s in running]
                (seen,) = reach.udp([Probe(world.end0, world.end1)], 5)
                assert seen.ok
        finally:
            stop.set()
            deleter.join()
    said = log.read_text()[before:]
    fights = [line for line in said.splitlines() if "something keeps undoing" in line]
    assert fights
    objects = [line.partition("keeps undoing: ")[2] for line in fights]
    assert len(objects) == len(set(objects)), objects
