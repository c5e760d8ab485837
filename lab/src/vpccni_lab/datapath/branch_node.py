"""A node of the branch rows: netconf alone, asked directly, with what the VPC resource controller and ipam would do done here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.client import LabClient
from vpccni_lab.datapath.observe import Observed
from vpccni_lab.datapath.rows import HOST_PORT, Setting
from vpccni_lab.demo.expect import Party
from vpccni_lab.fabric.plan import gateway
from vpccni_lab.nodes import services
from vpccni_lab.nodes.node import Node
from vpccni_lab.nodes.services import Service
from vpccni_lab.probe.reach import PORT
from vpccni_lab.runtime import conflist, invoke
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.conflist import ConfList
from vpccni_lab.runtime.network import PLUGIN_DIR
from vpccni_lab.runtime.pods import Pods

SOCKET: Final = "/run/vpccni/netconf.sock"
_START_WITHIN: Final = 600.0
"""Seconds; under emulation a Python process takes its time."""
_TIMEOUT: Final = 120.0
_PORTMAP_TIMEOUT: Final = 600.0
"""It starts some twenty iptables programs."""
_TRIES: Final = 3
"""Under emulation the packet filter's programs may take longer than netconf waits for them."""
_PORTMAP: Final[Mapping[str, Any]] = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}


class Netconf:
    """netconf on one node, as a context."""

    def __init__(self, lab: LabClient, node: Node, backend: str) -> None:
        env = services.environment(node, {"VPCCNI_NETCONF_PACKET_FILTER": backend}, traces=False)
        record = lab.state.processes / f"{node.name}-netconf.json"
        self._service = Service(services.SERVICES[0], node, env, lab.state.logs / f"{node.name}-netconf.log", record)
        self._channel = grpc.insecure_channel(f"unix:{node.file(SOCKET)}")
        self._stub = netconf_pb2_grpc.NetconfStub(self._channel)
        self._service.start()

    def __enter__(self) -> Netconf:
        try:
            grpc.channel_ready_future(self._channel).result(_START_WITHIN)
        except grpc.FutureTimeoutError:
            said = self._service.last_words()
            self.__exit__()
            raise ReasonError(Reason.NOT_READY, f"netconf does not serve: {said}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._service.stop(10.0)

    def call(self, name: str, request: Any) -> Any:
        """Raises ReasonError with what was answered, and the end of netconf's log."""
        try:
            return getattr(self._stub, name)(request, timeout=_TIMEOUT)
        except grpc.RpcError as exc:
            said = f"{name}: {exc.code().name}: {exc.details()}"
            raise ReasonError(Reason.INTERNAL, f"{said}; the end of its log: {self._service.last_words(600)}") from exc


@dataclasses.dataclass(frozen=True)
class BranchPod:
    """``entry``: of the pod's annotation; None for an ordinary pod."""

    spec: pb.PodSpec
    party: Party
    pod: podlib.Pod
    entry: Mapping[str, Any] | None


class BranchNode:
    """The node's pods in one enforcing mode, as a context. ``backend``: its packet filter. It asks EC2 only when it is made, so
    that all nodes can work at the same time (a LabClient has one user)."""

    def __init__(self, lab: LabClient, netconf: Netconf, name: str, backend: str, *, strict: bool) -> None:
        self.backend = backend
        self.pods: list[BranchPod] = []
        self._netconf, self._strict = netconf, strict
        self.node = lab.node(name)
        self._primary = lab.enis()[name][0]
        self._open = contextlib.ExitStack()
        self._sandboxes = self._open.enter_context(Pods(self.node, workers=2))

    def __enter__(self) -> BranchNode:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def party(self) -> Party:
        return Party(self.node.endpoint, self.node.name)

    def apply_host(self, setting: Setting) -> None:
        """The node's settings, as ipam derives them from its environment."""
        primary, env = self._primary, dict(setting.env)
        excluded = env.get("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "")
        host = pb.HostSpec(
            primary_mac=primary["mac"],
            primary_ip=primary["private_ip"],
            vpc_cidrs=["10.0.0.0/16", "10.1.0.0/16"],
            node_port_support=True,
            external_snat=not setting.snat,
            randomize_snat=env.get("AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng"),
            exclude_snat_cidrs=[excluded] if excluded else [],
            veth_prefix="eni",
            connmark=0x80,
            eni_mtu=9001,
            configure_rp_filter=True,
            pod_eni_strict=self._strict,
            disable_tcp_early_demux=True,
        )
        for left in reversed(range(_TRIES)):
            try:
                self._netconf.call("ApplyHost", pb.ApplyHostRequest(host=host))
                return
            except ReasonError:
                if not left:
                    raise

    def wire(self, entries: Sequence[Mapping[str, Any]], trunk: Mapping[str, Any], ordinary: str) -> None:
        """A pod for each branch ENI, the first with a hostPort, and an ordinary one. ``entries``: of the pods' annotations."""
        self._apply_trunk(trunk)
        for number, entry in enumerate(entries):
            self._wire(f"branch {number + 1}", entry["privateIp"], entry, self._branch(entry, trunk["mac"]))
        self._wire("eth0", ordinary, None, None)
        self._portmap("ADD", self.pods[0])
        self._open.callback(self._portmap, "DEL", self.pods[0])

    def _apply_trunk(self, trunk: Mapping[str, Any]) -> None:
        eni = pb.EniSpec(
            eni_id=trunk["id"],
            mac=trunk["mac"],
            primary_ip=trunk["private_ip"],
            subnet_cidr="10.0.1.0/24",
            device_number=trunk["device_index"],
            route_table=trunk["device_index"] + 1,
            mtu=9001,
            is_trunk=True,
        )
        self._netconf.call("ApplyEni", pb.ApplyEniRequest(eni=eni))

    def _wire(self, eni: str, address: str, entry: Mapping[str, Any] | None, branch: pb.BranchSpec | None) -> None:
        ports = [{"hostPort": HOST_PORT, "containerPort": PORT, "protocol": protocol} for protocol in ("tcp", "udp")]
        made = podlib.new_pod(self.node.name, eni.replace(" ", "-"), capabilities={"portMappings": ports})
        pod = dataclasses.replace(made, addresses=(address,))
        self._sandboxes.make_sandbox(pod)
        self._open.callback(self._sandboxes.drop_sandbox, pod)
        prefix = "vlan" if entry and self._strict else "eni"
        spec = pb.PodSpec(
            container_id=pod.container_id,
            ifname="eth0",
            netns=pod.netns,
            host_veth=f"{prefix}{pod.container_id[:11]}",
            address=address,
            route_table=0 if entry else 254,
            mtu=9001,
            namespace=pod.namespace,
            name=pod.name,
            branch=branch,
        )
        self._netconf.call("SetupPod", pb.SetupPodRequest(pod=spec))
        party = Party(podlib.endpoint(self.node, pod), self.node.name, eni)
        self.pods.append(BranchPod(spec, party, pod, entry))

    def _branch(self, entry: Mapping[str, Any], trunk_mac: str) -> pb.BranchSpec:
        return pb.BranchSpec(
            vlan_id=entry["vlanId"],
            mac=entry["ifAddress"],
            subnet_cidr=entry["subnetCidr"],
            gateway=gateway(entry["subnetCidr"]),
            trunk_mac=trunk_mac,
            strict=self._strict,
        )

    def _portmap(self, command: str, wired: BranchPod) -> None:
        """The reference plugin for the pod's hostPort, as the runtime calls it behind ours. Raises CniError."""
        conf, attachment = ConfList("aws-cni", "1.0.0", (_PORTMAP,)), wired.pod.attachment
        interface = {"name": "eth0", "sandbox": wired.pod.netns}
        address = {"address": f"{wired.spec.address}/32", "interface": 0}
        previous = {"cniVersion": conf.cni_version, "interfaces": [interface], "ips": [address]}
        config = json.dumps(conflist.plugin_config(conf, _PORTMAP, attachment, previous)).encode()
        env = {
            "CNI_CONTAINERID": attachment.container_id,
            "CNI_NETNS": attachment.netns,
            "CNI_IFNAME": attachment.ifname,
            "CNI_PATH": PLUGIN_DIR,
        }
        run = self.node.inside(lambda: invoke.execute(f"{PLUGIN_DIR}/portmap", command, env, config, _PORTMAP_TIMEOUT))
        invoke.result_of(run)

    # kernel state

    def facts(self, mode: str) -> list[Observed]:
        """Whether netconf finds its own work right, and what is left of the pods after DEL; the pods are gone then."""
        again = [self._netconf.call("SetupPod", pb.SetupPodRequest(pod=pod.spec)).changes for pod in self.pods]
        differences = [
            line
            for pod in self.pods
            for line in self._netconf.call("CheckPod", pb.CheckPodRequest(pod=pod.spec)).differences
        ]
        vlans = [pod.entry["vlanId"] for pod in self.pods if pod.entry]
        routes = [len(self._ip("route", "show", "table", str(100 + vlan))) for vlan in vlans]
        want = [3 if self._strict else 2] * len(vlans)
        for pod in self.pods:
            self._netconf.call("TeardownPod", pb.TeardownPodRequest(pod=pod.spec))
        found = [
            ("second SetupPod", "no change", "no change" if not any(again) else f"changes {again}"),
            ("CHECK", "no difference", "; ".join(differences) or "no difference"),
            ("routes in the tables of branch ENIs", f"{want}", f"{routes}"),
            ("after DEL: links, rules, routes", "none left", self._left(vlans)),
        ]
        return [Observed(mode, "kernel", self.backend, path, want, saw, saw == want, 1) for path, want, saw in found]

    def _left(self, vlans: list[int]) -> str:
        deadline = time.monotonic() + 30  # the kernel takes links away a little after DEL is answered
        while (left := self._found(vlans)) and time.monotonic() < deadline:
            time.sleep(0.5)
        return ", ".join(left) or "none left"

    def _found(self, vlans: list[int]) -> list[str]:
        links = {f"vlan.eth.{vlan}" for vlan in vlans} | {pod.spec.host_veth for pod in self.pods}
        addresses = {pod.spec.address for pod in self.pods}
        found = [link["ifname"] for link in self._ip("link") if link["ifname"] in links]
        found += [
            f"rule {r}" for r in self._ip("rule") if r["priority"] == 10 or {r.get("src"), r.get("dst")} & addresses
        ]
        found += [f"route {r}" for r in self._ip("route", "show", "table", "all") if r["dst"] in addresses]
        return found

    def _ip(self, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self.node.run(["ip", "-j", *words], timeout=_TIMEOUT).stdout or "[]"))
