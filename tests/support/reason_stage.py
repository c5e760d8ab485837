"""A lab node on which failures are provoked, and the places where their reason is looked for afterwards."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

from node_api import NodeApi
from prometheus_client.parser import text_string_to_metric_families
from vpccni_api.eni.v1 import eni_pb2_grpc
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.ipam.v1 import ipam_pb2_grpc
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.version import VERSION
from vpccni_kit import telemetry
from vpccni_kit.channel import Channel
from vpccni_lab.client import LabClient
from vpccni_lab.nodes.node import PATH
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.runtime.pods import Failure, Pod

METRICS: Final = {"ipam": 61678, "netconf": 61683, "eni-manager": 61684}
SOCKETS: Final = {
    "ipam": "/run/aws-node/ipam.sock",
    "netconf": "/run/vpccni/netconf.sock",
    "eni-manager": "/run/vpccni/eni-manager.sock",
}
STUBS: Final = {
    "ipam": ipam_pb2_grpc.IpamStub,
    "netconf": netconf_pb2_grpc.NetconfStub,
    "eni-manager": eni_pb2_grpc.EniManagerStub,
}
SERVICES: Final = ("netconf", "eni-manager", "ipam")


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a provoked call said. ``error``: the CNI error's message, or the RPC's. Empty fields: the call has no such thing."""

    error: str
    method: str = "AddPod"
    service: str = "ipam"
    trace_id: str = ""
    pod: str = ""
    container: str = ""


@dataclasses.dataclass
class Mark:
    """How far logs and counters were before."""

    sizes: dict[str, int]
    counted: dict[tuple[str, str, str], float]


class Stage:
    """One node. ``api``: its Kubernetes API."""

    def __init__(self, lab: LabClient, name: str, api: NodeApi, env: Mapping[str, str]) -> None:
        """``env``: the settings that ``reset`` goes back to."""
        self.lab, self.name, self.api = lab, name, api
        self.node = lab.node(name)
        self._base = {"PATH": PATH, **env}
        self._restarted = False
        self._env: dict[str, str | None] = {}
        self.wanted = ""
        """The reason that is provoked."""

    # what is done to the node

    def settings(self, services: tuple[str, ...] = ("ipam",), **env: str) -> None:
        """Restarts ``services`` with ``env`` until ``reset``; waits until ipam answers, not until it is ready."""
        self._env.update(env)
        self._restarted = True
        for service in services:
            self.lab.service(self.name, service, "restart", env=env)
        assert settles(self._answers, 30)

    def _answers(self) -> bool:
        try:
            self.inspect()
        except ReasonError:
            return False
        return True

    def reset(self) -> None:
        """No faults, no pods, settings as at first, services up."""
        self.lab.clear_faults()
        for service in SERVICES:
            if self.pid(service):
                self.lab.service(self.name, service, "signal", signal="CONT")
        changed = {name: self._base.get(name) for name in self._env}
        for service in SERVICES:
            if changed or not self.pid(service):
                self.lab.service(self.name, service, "restart", env=changed)
        self._env.clear()
        self._restarted = False
        self.lab.wait_ready(self.name)
        with self.lab.pods(self.name) as pods:
            pods.remove(pods.recorded())
        assert settles(self._rests, 40), self.inspect()

    def _rests(self) -> bool:
        now = self.inspect()
        return not (now.growth.active or now.growth.waiting_adds or now.growth.last_reason or now.deficit > 0)

    def wait_for_room(self, most_enis: int = 3) -> None:
        """Until the node may have one more ENI: one that an earlier row left goes when it is a minute old (docs/pool.md)."""
        assert settles(lambda: len(self.inspect().enis) < most_enis, 100), self.inspect()

    def pid(self, service: str) -> int | None:
        (view,) = (view for view in self.lab.status()["nodes"] if view["name"] == self.name)
        found: int | None = view["services"][service]["pid"]
        return found

    def detach_second_eni(self) -> tuple[str, ...]:
        """As somebody else would, while pods use it; the secondary addresses that it held."""
        (second,) = (found for found in self.lab.enis()[self.name] if found["device_index"])
        (eni,) = self.lab.ec2("DescribeNetworkInterfaces", NetworkInterfaceIds=[second["id"]])["NetworkInterfaces"]
        self.lab.ec2("DetachNetworkInterface", AttachmentId=eni["Attachment"]["AttachmentId"], Force=True)
        return tuple(second["secondary_ips"])

    # calls

    def rpc(self, service: str, method: str, request: Any, timeout: float = 5.0) -> Seen:
        """A call that must fail, past the plugin."""

        async def ask() -> tuple[str, str]:
            channel = Channel(str(self.node.file(SOCKETS[service])), service, Reason.INTERNAL)
            try:
                with telemetry.span("test") as span:
                    stub: Any = STUBS[service](channel.grpc_channel)
                    await channel.call(getattr(stub, method), request, timeout)
            except ReasonError as error:
                return str(error), span.traceparent[3:35]
            finally:
                await channel.close()
            return "", ""

        said, trace_id = asyncio.run(ask())
        of_pod = isinstance(request, pb.AddPodRequest | pb.CheckPodRequest)
        pod = f"{request.pod.namespace}/{request.pod.name}" if of_pod else ""
        return Seen(said, method, service, trace_id, pod, request.key.container_id if of_pod else "")

    def inspect(self) -> Any:
        async def ask() -> Any:
            channel = Channel(str(self.node.file(SOCKETS["ipam"])), "ipam", Reason.IPAM_UNREACHABLE)
            try:
                return await channel.call(ipam_pb2_grpc.IpamStub(channel.grpc_channel).Inspect, pb.InspectRequest(), 5)
            finally:
                await channel.close()

        return asyncio.run(ask())

    def request(self, name: str, **fields: Any) -> pb.AddPodRequest:
        """AddPod of a pod without a namespace of its own, with ``fields`` instead of what is right."""
        made = pb.AddPodRequest(
            key=pb.PodInterface(network_name="aws-cni", container_id=f"c-{name}", ifname="eth0"),
            pod=pb.PodIdentity(namespace="default", name=name, uid=f"u-{name}"),
            netns="/run/netns/none",
            conf=pb.PodNetConf(veth_prefix="eni", mtu=9001),
            plugin_version=VERSION,
        )
        for field, value in fields.items():
            setattr(made, field, value)
        return made

    def plugin(self, name: str, *, conf: Mapping[str, Any] | None = None, **env: str) -> Seen:
        """ADD by the plugin with ``env`` and ``conf`` over what a runtime gives it; the sandbox is gone afterwards."""
        pod = podlib.new_pod(self.name, name)
        config = json.loads(self.node.file("/etc/cni/net.d/10-aws.conflist").read_text())
        entry = {"cniVersion": config["cniVersion"], "name": config["name"], **config["plugins"][0], **(conf or {})}
        given = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": pod.container_id,
            "CNI_NETNS": pod.netns,
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": pod.attachment.cni_args,
            "CNI_PATH": "/opt/cni/bin",
            "TRACEPARENT": f"00-{pod.trace_id}-{'ab' * 8}-01",
            **env,
        }
        with self.lab.pods(self.name) as pods:
            pods.make_sandbox(pod)
            argv = ["env", *(f"{key}={value}" for key, value in given.items()), "/opt/cni/bin/aws-cni"]
            done = self.node.run(argv, stdin=json.dumps(entry))
            pods.drop_sandbox(pod)
        assert done.returncode == 1, done
        return self.failed(pod, json.loads(done.stdout)["msg"])

    def failed(self, pod: Pod, error: str) -> Seen:
        return Seen(error, "AddPod", "ipam", pod.trace_id, f"{pod.namespace}/{pod.name}", pod.container_id)

    def one(self, name: str, prepare: Callable[[Pod], None] = lambda pod: None) -> Seen:
        """ADD of one pod that must fail; ``prepare`` sees its sandbox first."""
        pod = podlib.new_pod(self.name, name)
        with self.lab.pods(self.name) as pods:
            pods.make_sandbox(pod)
            try:
                prepare(pod)
                pods.submit_add(pod).result()
            except CniError as error:
                return self.failed(pod, error.msg)
            finally:
                pods.remove([pod])
        raise AssertionError(f"ADD of {name} succeeded")

    def exhaust(self, name: str, more: int = 1) -> Seen:
        """As many pods as there are free addresses, and ``more``, until an ADD fails with ``wanted``; at most five times."""
        last: Seen | None = None
        with self.lab.pods(self.name, workers=32) as pods:
            for turn in range(5):
                count = self.inspect().free + more
                outcomes = pods.run([podlib.new_pod(self.name, f"{name}-{turn}-{i}") for i in range(count)])
                for outcome in outcomes:
                    if isinstance(outcome, Failure):
                        assert isinstance(outcome.error, CniError), outcome
                        last = self.failed(outcome.pod, outcome.error.msg)
                        if f"{self.wanted}: " in last.error:
                            return last
        assert last is not None, "every ADD succeeded"
        return last

    # what is looked at afterwards

    def log(self, service: str) -> Any:
        if service == "plugin":
            return self.lab.state.node_dir(self.name) / "log/plugin.log"
        return self.lab.state.logs / f"{self.name}-{service}.log"

    def mark(self) -> Mark:
        files = {name: self.log(name) for name in (*SERVICES, "plugin")}
        sizes = {name: path.stat().st_size if path.exists() else 0 for name, path in files.items()}
        return Mark(sizes, self.counted())

    def counted(self) -> dict[tuple[str, str, str], float]:
        """(service, method or what is counted, reason) -> count, of the services that answer."""
        found: dict[tuple[str, str, str], float] = {}
        for service in SERVICES:
            for name, labels, value in self.samples(service):
                if name == "vpccni_rpc_duration_seconds_count":
                    found[service, labels["method"], labels["reason"]] = value
                elif name == "vpccni_growth_failures_total":
                    found[service, "growth", labels["reason"]] = value
                elif name == "vpccni_bad_settings_total":
                    found[service, labels["name"], "CONFIG_INVALID"] = value
        return found

    def samples(self, service: str) -> list[tuple[str, dict[str, str], float]]:
        """Its /metrics; nothing when it does not answer."""

        def ask() -> str:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{METRICS[service]}/metrics", timeout=5) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        families = text_string_to_metric_families(self.node.inside(ask))
        return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]

    def lines(self, service: str, mark: Mark) -> list[dict[str, Any]]:
        """What was logged since."""
        path = self.log(service)
        if not path.exists():
            return []
        with path.open() as file:
            file.seek(mark.sizes[service])
            return [json.loads(line) for line in file if line.startswith("{")]

    def counts(self, service: str, method: str, reason: str, mark: Mark) -> bool:
        key = (service, method, reason)
        # A service that was restarted counts from nothing.
        return self.counted().get(key, 0) > (0 if self._restarted else mark.counted.get(key, 0))


def settles(look: Callable[[], bool], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not (done := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done
