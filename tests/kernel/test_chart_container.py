"""netconf as the chart runs it: its named capabilities and no others, no new privileges, /proc/sys read-only."""

from __future__ import annotations

import asyncio
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import yaml
from netconf_node import INTERNET, TIMEOUT, Client, Node, Process, eni_spec, eventually, host_spec
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError
from vpccni_chart.manifest import CHART

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
]
CAPABILITIES: tuple[str, ...] = tuple(yaml.safe_load((CHART / "values.yaml").read_text())["netconf"]["capabilities"])
NUMBERS = {"NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21}  # linux/capability.h
BACKENDS = ("iptables-nft", "iptables-legacy", "nftables")


class Contained(Process):
    """As in its container. ``capabilities``: what is added after all were dropped."""

    def __init__(
        self, node: Node, directory: pathlib.Path, capabilities: tuple[str, ...] = CAPABILITIES, **environ: str
    ) -> None:
        self.mounted = directory / "net"
        self.mounted.mkdir()
        super().__init__(node, directory, **{"VPCCNI_SYSCTL_DIR": str(self.mounted), **environ})
        keep = "".join(f",+{name.lower()}" for name in capabilities)
        drop = f"exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all{keep}"
        mounts = (
            f"mount --bind /proc/sys/net {shlex.quote(str(self.mounted))}",
            "mount --bind /proc/sys /proc/sys",
            "mount -o remount,bind,ro /proc/sys",
        )
        self._argv = ["sh", "-ec", "\n".join((*mounts, f"{drop} {sys.executable} -m vpccni_netconf"))]

    def start(self) -> None:
        # `ip netns exec` has made a mount namespace of its own already, a slave of ours: what is mounted here stays there.
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self._node.netns, *self._argv],
                env=self._environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + TIMEOUT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"netconf does not serve: {self.log}")
            time.sleep(0.05)


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


def effective(process: Process) -> set[int]:
    assert process.process is not None
    status = pathlib.Path(f"/proc/{process.process.pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    return {bit for bit in range(64) if mask >> bit & 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_pods_work_with_exactly_these_capabilities(node: Node, tmp_path: pathlib.Path, backend: str) -> None:
    async def body(client: Client) -> None:
        assert (await client.set_up(host_spec(), eni_spec())).packet_filter_backend == backend
        first, second = node.add_pod("10.0.1.33"), node.add_pod("10.0.2.33", 2)
        for pod in (first, second):
            await client.setup_pod(pod)
            pings(node, pod, INTERNET)
        pings(node, first, "10.0.2.33")
        for pod in (first, second):
            await client.teardown_pod(pod)

    process = Contained(node, tmp_path, VPCCNI_NETCONF_PACKET_FILTER=backend)
    process.start()
    try:
        assert effective(process) == {NUMBERS[name] for name in CAPABILITIES}
        asyncio.run(with_client(process, body))
        assert node.exec("cat", "/proc/sys/net/ipv4/conf/eth0/rp_filter") == "2\n"
    finally:
        process.kill()


def pings(node: Node, pod: pb.PodSpec, address: str) -> None:
    eventually(lambda: node.pings(pod, address), f"{pod.address} reaches {address}")


async def with_client(process: Process, body: object) -> None:
    assert callable(body)
    async with process.client() as client:
        await body(client)


@pytest.mark.parametrize(
    ("missing", "backend", "refusal"),
    [
        ("NET_ADMIN", "iptables-nft", "Operation not permitted"),
        ("NET_RAW", "iptables-legacy", "PACKET_FILTER_FAILED"),
        ("SYS_ADMIN", "iptables-nft", "setns: Operation not permitted"),
    ],
)
def test_each_capability_is_needed(
    node: Node, tmp_path: pathlib.Path, missing: str, backend: str, refusal: str
) -> None:
    async def body(client: Client) -> None:
        await client.set_up(host_spec())
        await client.setup_pod(node.add_pod("10.0.1.33"))

    rest = tuple(name for name in CAPABILITIES if name != missing)
    process = Contained(node, tmp_path, rest, VPCCNI_NETCONF_PACKET_FILTER=backend)
    try:
        with pytest.raises((ReasonError, AssertionError)) as failed:
            process.start()
            asyncio.run(with_client(process, body))
        error = failed.value
        assert refusal in (f"{error.reason} {error}" if isinstance(error, ReasonError) else str(error))
    finally:
        process.kill()


def test_without_the_mount_the_reason_says_what_is_missing(node: Node, tmp_path: pathlib.Path) -> None:
    async def body(client: Client) -> None:
        await client.set_up(host_spec())

    process = Contained(node, tmp_path, VPCCNI_SYSCTL_DIR="/nowhere/net")
    process.start()
    try:
        with pytest.raises(ReasonError, match="the container needs a writable /proc/sys") as refusal:
            asyncio.run(with_client(process, body))
        assert refusal.value.reason is Reason.KERNEL_REFUSED
    finally:
        process.kill()
