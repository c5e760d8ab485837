"""A node and its VPC as two network namespaces, pods as further ones, and netconf as a real process in the node.

The VPC routes between the node's two ENIs, answers as a host on the internet, and drops packets whose source address does not
belong to the ENI that they leave by (reverse path filter), as EC2's source check does.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason
from vpccni_kit.channel import Channel

T = TypeVar("T")
PRIMARY_MAC = "02:00:00:00:01:0a"
SECOND_MAC = "02:00:00:00:02:14"
NODE_IP = "10.0.1.10"
SECOND_IP = "10.0.2.20"
INTERNET = "198.51.100.1"
TIMEOUT = 20.0


def sh(*argv: str, check: bool = True, text: str | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, input=text, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


class Node:
    """``with Node() as node``: everything is removed at the end, also after a failure."""

    def __init__(self) -> None:
        self.id = f"h4{secrets.token_hex(3)}"
        self.netns = f"{self.id}n"
        self.vpc = f"{self.id}v"
        self._made: list[str] = []

    def __enter__(self) -> Node:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(self._made):
            sh("ip", "netns", "del", name, check=False)

    def add_netns(self, name: str) -> str:
        """Path of a new, empty namespace."""
        sh("ip", "netns", "add", name)
        self._made.append(name)
        return f"/var/run/netns/{name}"

    def _build(self) -> None:
        for name in (self.netns, self.vpc):
            self.add_netns(name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        self.attach("eth0", PRIMARY_MAC, "gw0", "10.0.1.1/24")
        sh("ip", "-n", self.netns, "addr", "add", f"{NODE_IP}/24", "dev", "eth0")
        sh("ip", "-n", self.netns, "link", "set", "eth0", "up")
        sh("ip", "-n", self.netns, "route", "add", "default", "via", "10.0.1.1")
        sh("ip", "-n", self.vpc, "addr", "add", f"{INTERNET}/32", "dev", "lo")
        self.exec("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for name in ("all", "default", "gw0"):
            sh("ip", "netns", "exec", self.vpc, "sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=1")
        sh("ip", "netns", "exec", self.vpc, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def attach(self, link: str, mac: str, gateway_link: str, gateway: str) -> None:
        """A link of the node, down, without an address, as it is when EC2 has attached an ENI."""
        sh("ip", "-n", self.vpc, "link", "add", gateway_link, "type", "veth", "peer", "name", link, "netns", self.netns)
        sh("ip", "-n", self.netns, "link", "set", link, "address", mac)
        sh("ip", "-n", self.vpc, "link", "set", gateway_link, "mtu", "9001", "up")
        sh("ip", "-n", self.vpc, "addr", "add", gateway, "dev", gateway_link)

    def attach_second(self) -> None:
        self.attach("eth1", SECOND_MAC, "gw1", "10.0.2.1/24")

    def add_pod(self, address: str, table: int = 254, name: str = "") -> pb.PodSpec:
        """The namespace of a pod, its address known to the VPC (which delivers by ENI, without asking), and its spec."""
        number = address.rsplit(".", 1)[-1]
        path = self.add_netns(f"{self.id}p{address.replace('.', '-')}")
        sh("ip", "-n", f"{self.id}p{address.replace('.', '-')}", "link", "set", "lo", "up")
        link, mac = ("gw0", PRIMARY_MAC) if table == 254 else ("gw1", SECOND_MAC)
        sh("ip", "-n", self.vpc, "neigh", "replace", address, "lladdr", mac, "dev", link)
        return pb.PodSpec(
            container_id=f"c-{address}",
            ifname="eth0",
            netns=path,
            host_veth=f"eni{int(number):08x}{table:03x}",
            address=address,
            route_table=table,
            mtu=9001,
            namespace="default",
            name=name or f"pod-{number}",
        )

    def exec(self, *argv: str, check: bool = True) -> str:
        return sh("ip", "netns", "exec", self.netns, *argv, check=check)

    def in_pod(self, pod: pb.PodSpec, *argv: str, check: bool = True) -> str:
        return sh("ip", "netns", "exec", pod.netns.rsplit("/", 1)[-1], *argv, check=check)

    def listened_to(self, pod: pb.PodSpec) -> bool:
        """True once somebody has a netlink socket with multicast groups inside the pod."""
        lines = self.in_pod(pod, "cat", "/proc/net/netlink").splitlines()[1:]
        return any(line.split()[1] == "0" and int(line.split()[3], 16) for line in lines)

    def pings(self, pod: pb.PodSpec, address: str, *, size: int = 56) -> bool:
        name = pod.netns.rsplit("/", 1)[-1]
        argv = ["ip", "netns", "exec", name, "ping", "-c", "1", "-W", "3", "-M", "do", "-s", str(size), address]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def rules(self) -> list[str]:
        return [" ".join(line.split()) for line in self.exec("ip", "rule").splitlines()]

    def routes(self, table: str = "main") -> list[str]:
        return [" ".join(line.split()) for line in self.exec("ip", "-4", "route", "show", "table", table).splitlines()]

    def links(self) -> list[str]:
        """Name, MTU and MAC of every link (states settle by themselves and are left out)."""
        found = json.loads(self.exec("ip", "-j", "link"))
        return [f"{link['ifname']} mtu {link['mtu']} {link['address']}" for link in found]

    def run(self, job: Callable[[], T], path: str = "") -> T:
        """Runs a job on a thread of its own inside the node's namespace, or that at ``path``."""

        def body() -> T:
            fd = os.open(path or f"/var/run/netns/{self.netns}", os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            return job()

        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            return executor.submit(body).result()

    def snapshot(self) -> str:
        """All kernel state of the node that netconf may touch, in the words of the operator's tools."""
        addresses = self.exec("ip", "-o", "-4", "addr").splitlines()
        return "\n".join((*self.links(), *addresses, *self.rules(), *self.routes("all")))


def host_spec(**changes: Any) -> pb.HostSpec:
    """The default configuration of the worked example in the original's terms."""
    wanted: dict[str, Any] = {
        "primary_mac": PRIMARY_MAC,
        "primary_ip": NODE_IP,
        "vpc_cidrs": ["10.0.0.0/16", "10.1.0.0/16"],
        "exclude_snat_cidrs": ["192.168.0.0/16"],
        "node_port_support": True,
        "configure_rp_filter": True,
        "randomize_snat": "prng",
        "veth_prefix": "eni",
        "connmark": 0x80,
        "eni_mtu": 9001,
    }
    return pb.HostSpec(**(wanted | changes))


def eni_spec(**changes: Any) -> pb.EniSpec:
    wanted: dict[str, Any] = {
        "eni_id": "eni-2",
        "mac": SECOND_MAC,
        "primary_ip": SECOND_IP,
        "subnet_cidr": "10.0.2.0/24",
        "device_number": 1,
        "route_table": 2,
        "mtu": 9001,
    }
    return pb.EniSpec(**(wanted | changes))


def has_vlan() -> bool:
    """Whether this kernel can make a VLAN link (asked in a namespace of its own)."""
    argv = ["unshare", "-n", "sh", "-c"]
    probe = "ip link add a type veth peer name b && ip link add link a name a.7 type vlan id 7"
    return subprocess.run([*argv, probe], capture_output=True, check=False).returncode == 0


def branch_of(pod: pb.PodSpec, *, strict: bool) -> pb.PodSpec:
    pod.branch.vlan_id, pod.branch.strict = 7, strict
    pod.branch.mac, pod.branch.trunk_mac = "02:00:00:00:07:07", SECOND_MAC
    pod.branch.subnet_cidr, pod.branch.gateway = "10.0.3.0/24", "10.0.3.1"
    pod.host_veth = f"{'vlan' if strict else 'eni'}cc21c2d7785"
    return pod


class Process:
    """netconf as a process in a node."""

    def __init__(
        self,
        node: Node,
        directory: pathlib.Path,
        capabilities: str = "",
        wrapper: tuple[str, ...] = (),
        **environ: str,
    ) -> None:
        self.socket_path = str(directory / "netconf.sock")
        self._log_path = directory / "netconf.log"
        self._node = node
        sets = ("--bounding-set", "--inh-caps")
        drop = [word for one in sets for word in (one, "-all," + ",".join(f"+{c}" for c in capabilities.split(",")))]
        self._prefix = [*wrapper, *(["setpriv", *drop] if capabilities else ())]
        self._environ = {
            **os.environ,
            "VPCCNI_NETCONF_SOCKET": self.socket_path,
            "VPCCNI_NETCONF_HEALTH_PORT": "61681",
            "VPCCNI_NETCONF_METRICS_PORT": "61683",
            "VPCCNI_NETCONF_PACKET_FILTER": "iptables-nft",
            **environ,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self._node.netns, *self._prefix, sys.executable, "-m", "vpccni_netconf"],
                env=self._environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + TIMEOUT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"netconf does not serve: {self.log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket_path) == 0

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def kill(self) -> None:
        """As a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """Exit status after SIGTERM."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(TIMEOUT)
        self.process = None
        return status

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        channel = Channel(self.socket_path, "netconf", Reason.NETCONF_UNREACHABLE)
        try:
            yield Client(channel)
        finally:
            await channel.close()


class Client:
    """Calls by name: ``await client.call("SetupPod", SetupPodRequest(...))``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.stub = netconf_pb2_grpc.NetconfStub(channel.grpc_channel)

    async def call(self, name: str, request: Any, timeout: float = TIMEOUT) -> Any:
        return await self._channel.call(getattr(self.stub, name), request, timeout)

    async def set_up(self, host: pb.HostSpec | None = None, *enis: pb.EniSpec) -> Any:
        """Host, then ENIs; the answer of the host."""
        applied = await self.call("ApplyHost", pb.ApplyHostRequest(host=host or host_spec()))
        for eni in enis:
            await self.call("ApplyEni", pb.ApplyEniRequest(eni=eni))
        return applied

    async def setup_pod(self, pod: pb.PodSpec) -> Any:
        return await self.call("SetupPod", pb.SetupPodRequest(pod=pod))

    async def teardown_pod(self, pod: pb.PodSpec) -> Any:
        return await self.call("TeardownPod", pb.TeardownPodRequest(pod=pod))


@contextlib.contextmanager
def serving(
    node: Node, directory: pathlib.Path, capabilities: str = "", wrapper: tuple[str, ...] = (), **environ: str
) -> Iterator[Process]:
    """``capabilities``: all that the process may have, as names with commas; "": those of the caller. ``wrapper``: words of a
    command that runs the rest of the command line."""
    process = Process(node, directory, capabilities, wrapper, **environ)
    process.start()
    try:
        yield process
    finally:
        process.kill()


def eventually(check: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
    """For what happens in the background; the time is a limit for a hang, not a measurement."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)
