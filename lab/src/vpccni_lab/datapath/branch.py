"""Pods with branch ENIs (security groups for pods), strict and standard: a lab with netconf alone, which is asked directly.

Needs a kernel with VLAN devices. What the VPC resource controller and ipam would do is done here: branch ENIs are made by
the lab, and netconf gets the specifications that ipam derives from the pods' annotations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import lifecycle
from vpccni_lab.client import LabClient
from vpccni_lab.datapath import rows
from vpccni_lab.datapath.observe import Observed, observe
from vpccni_lab.demo.expect import Party, Question, RowPlan
from vpccni_lab.fabric import namespaces
from vpccni_lab.fabric.plan import INTERNET_HOST, PEER_HOST, gateway
from vpccni_lab.lifecycle import Progress
from vpccni_lab.nodes import services
from vpccni_lab.nodes.node import Node
from vpccni_lab.nodes.services import Service
from vpccni_lab.probe.reach import PORT, Endpoint, Probe
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pods
from vpccni_lab.spec import LabSpec, NodeSpec, SubnetSpec

MODES: Final = ("branch strict", "branch standard")
BACKEND: Final = "iptables-nft"
SOCKET: Final = "/run/vpccni/netconf.sock"
_START_WITHIN: Final = 600.0
"""Seconds; under emulation a Python process takes its time."""
_TIMEOUT: Final = 60.0


def run(name: str, progress: Progress) -> Iterator[list[Observed]]:
    """Both modes on one lab, one after the other: the change of mode is part of what is shown."""
    spec = LabSpec(
        name=name,
        subnets=(SubnetSpec("a", "10.0.1.0/24"),),
        nodes=(NodeSpec("node-a", "a", cni="none", iptables="nft"), NodeSpec("node-b", "a", cni="none")),
        traces=False,
    )
    try:
        with lifecycle.up(spec, progress) as lab, _Netconf(lab, lab.node("node-a")) as netconf:
            for mode in MODES:
                yield _Mode(lab, netconf, mode, progress).rows()
    except ReasonError as exc:
        said, path = str(exc).strip()[:900], "nodes and pods come up"
        yield [Observed(mode, "-", BACKEND, path, "up", said, False, 0) for mode in MODES]
    finally:
        lifecycle.down(name, progress)


class _Netconf:
    """netconf on one node, as a context."""

    def __init__(self, lab: LabClient, node: Node) -> None:
        env = services.environment(node, {"VPCCNI_NETCONF_PACKET_FILTER": BACKEND}, traces=False)
        record = lab.state.processes / f"{node.name}-netconf.json"
        self._service = Service(services.SERVICES[0], node, env, lab.state.logs / f"{node.name}-netconf.log", record)
        self._channel = grpc.insecure_channel(f"unix:{node.file(SOCKET)}")
        self.stub = netconf_pb2_grpc.NetconfStub(self._channel)

    def __enter__(self) -> _Netconf:
        self._service.start()
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
            return getattr(self.stub, name)(request, timeout=_TIMEOUT)
        except grpc.RpcError as exc:
            said = f"{name}: {exc.code().name}: {exc.details()}"
            raise ReasonError(Reason.INTERNAL, f"{said}; the end of its log: {self._service.last_words(600)}") from exc


@dataclasses.dataclass(frozen=True)
class _Pod:
    spec: pb.PodSpec
    party: Party
    pod: podlib.Pod


class _Mode:
    def __init__(self, lab: LabClient, netconf: _Netconf, mode: str, progress: Progress) -> None:
        self._lab, self._netconf, self._mode, self._progress = lab, netconf, mode, progress
        self._strict = mode == MODES[0]
        self._node, self._open = lab.node("node-a"), contextlib.ExitStack()

    def rows(self) -> list[Observed]:
        with self._open:
            self._pods = self._open.enter_context(Pods(self._node, workers=2))
            self._apply_host()
            guarded = self._lab.add_branch("node-a", [self._guarded_group()])
            opened = [self._lab.add_branch("node-a") for _ in range(2)]
            self._apply_trunk()
            pods = [self._branch_pod(entry, f"branch-{n}") for n, entry in enumerate([*opened, guarded])]
            plain = self._plain_pod()
            self._progress(f"{self._mode}: {len(pods) + 1} pods wired")
            found = observe(self._mode, "SNAT on (prng)", [(BACKEND, row) for row in self._plans(pods, plain)])
            found += self._facts([*pods, plain], [*opened, guarded])
            differ = sum(not row.ok for row in found)
            self._progress(f"{self._mode}: {len(found)} rows" + (f", {differ} differ" if differ else ""))
            return found

    # set-up

    def _apply_host(self) -> None:
        primary = self._eni(0)
        host = pb.HostSpec(
            primary_mac=primary["mac"],
            primary_ip=primary["private_ip"],
            vpc_cidrs=["10.0.0.0/16", "10.1.0.0/16"],
            node_port_support=True,
            randomize_snat="prng",
            veth_prefix="eni",
            connmark=0x80,
            eni_mtu=9001,
            configure_rp_filter=True,
            pod_eni_strict=self._strict,
            disable_tcp_early_demux=True,
        )
        self._netconf.call("ApplyHost", pb.ApplyHostRequest(host=host))

    def _eni(self, index: int) -> dict[str, Any]:
        return next(eni for eni in self._lab.enis()["node-a"] if eni["device_index"] == index)

    def _trunk(self) -> dict[str, Any]:
        return self._lab.enis()["node-a"][-1]

    def _apply_trunk(self) -> None:
        trunk = self._trunk()
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

    def _guarded_group(self) -> str:
        """A security group that lets in TCP on the probes' port from node-b and nothing else."""
        vpc = self._lab.status()["vpc"]
        name = self._mode.replace(" ", "-")
        group = str(self._lab.ec2("CreateSecurityGroup", VpcId=vpc, GroupName=name, Description=name)["GroupId"])
        allow = {
            "IpProtocol": "tcp",
            "FromPort": PORT,
            "ToPort": PORT,
            "IpRanges": [{"CidrIp": f"{self._lab.node('node-b').address}/32"}],
        }
        self._lab.ec2("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[allow])
        return group

    def _branch_pod(self, entry: dict[str, Any], name: str) -> _Pod:
        branch = pb.BranchSpec(
            vlan_id=entry["vlanId"],
            mac=entry["ifAddress"],
            subnet_cidr=entry["subnetCidr"],
            gateway=gateway(entry["subnetCidr"]),
            trunk_mac=self._trunk()["mac"],
            strict=self._strict,
        )
        prefix = "vlan" if self._strict else "eni"
        return self._wire(name, entry["privateIp"], prefix, branch=branch)

    def _plain_pod(self) -> _Pod:
        primary = self._eni(0)["id"]
        assigned = self._lab.ec2(
            "AssignPrivateIpAddresses", NetworkInterfaceId=primary, SecondaryPrivateIpAddressCount=1
        )
        return self._wire("plain", assigned["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"], "eni")

    def _wire(self, name: str, address: str, prefix: str, **more: Any) -> _Pod:
        pod = dataclasses.replace(podlib.new_pod("node-a", name), addresses=(address,))
        self._pods.make_sandbox(pod)
        self._open.callback(self._pods.drop_sandbox, pod)
        spec = pb.PodSpec(
            container_id=pod.container_id,
            ifname="eth0",
            netns=pod.netns,
            host_veth=f"{prefix}{pod.container_id[:11]}",
            address=address,
            route_table=0 if more else 254,
            mtu=9001,
            namespace=pod.namespace,
            name=name,
            **more,
        )
        self._netconf.call("SetupPod", pb.SetupPodRequest(pod=spec))
        return _Pod(spec, Party(podlib.endpoint(self._node, pod), "node-a", name), pod)

    # expectations

    def _plans(self, pods: list[_Pod], plain: _Pod) -> list[RowPlan]:
        first, second, guarded = (pod.party for pod in pods)
        own, near = "own address", Party(self._node.endpoint, "node-a")
        far = Party(self._lab.node("node-b").endpoint, "node-b")
        return [
            rows.pairs("pod -> pod, both branch, same node", own, [(first, second), (second, first)]),
            rows.pairs("branch pod <-> ordinary pod, same node", own, [(first, plain.party), (plain.party, first)]),
            rows.pairs("branch pod <-> another node", own, [(first, far), (far, first)]),
            rows.pairs("node -> its branch pod", "node's address", [(near, first)]),
            rows.pairs("branch pod -> its node", own, [(first, near)]),
            *self._outside(first),
            *_guard(guarded, far, near, first, strict=self._strict),
        ]

    def _outside(self, pod: Party) -> list[RowPlan]:
        name, node = self._lab.state.name, self._node.address
        internet = Party(Endpoint("internet", namespaces.path(name, "internet"), INTERNET_HOST))
        peer = Party(Endpoint("peer", namespaces.path(name, "peer"), PEER_HOST))
        if self._strict:  # leaves by its own ENI, untranslated; that has no public address
            return [
                rows.pairs("branch pod -> internet", "nothing arrives", [(pod, internet)], ""),
                rows.pairs("branch pod -> peered network", "own address", [(pod, peer)]),
            ]
        return [
            rows.pairs("branch pod -> internet", "public address", [(pod, internet)], self._lab.public()[node]),
            rows.pairs("branch pod -> peered network", "node's address", [(pod, peer)], node),
        ]

    # kernel state

    def _facts(self, pods: list[_Pod], entries: list[dict[str, Any]]) -> list[Observed]:
        again = [self._netconf.call("SetupPod", pb.SetupPodRequest(pod=pod.spec)).changes for pod in pods]
        differences = [
            line
            for pod in pods
            for line in self._netconf.call("CheckPod", pb.CheckPodRequest(pod=pod.spec)).differences
        ]
        routes = [len(self._ip("route", "show", "table", str(100 + entry["vlanId"]))) for entry in entries]
        want = [3 if self._strict else 2] * len(entries)
        for pod in pods:
            self._netconf.call("TeardownPod", pb.TeardownPodRequest(pod=pod.spec))
        facts = [
            ("second SetupPod", "no change", "no change" if not any(again) else f"changes {again}"),
            ("CHECK", "no difference", "; ".join(differences) or "no difference"),
            ("routes in the tables of branch ENIs", f"{want}", f"{routes}"),
            ("after DEL: links, rules, routes", "none left", self._left(pods, entries)),
        ]
        for entry in entries:
            self._lab.del_branch(entry["eniId"])
        return [Observed(self._mode, "kernel", BACKEND, path, want, saw, saw == want, 1) for path, want, saw in facts]

    def _left(self, pods: list[_Pod], entries: list[dict[str, Any]]) -> str:
        deadline = time.monotonic() + 30  # the kernel takes links away a little after DEL is answered
        while (left := self._found(pods, entries)) and time.monotonic() < deadline:
            time.sleep(0.5)
        return ", ".join(left) or "none left"

    def _found(self, pods: list[_Pod], entries: list[dict[str, Any]]) -> list[str]:
        links = {f"vlan.eth.{entry['vlanId']}" for entry in entries} | {pod.spec.host_veth for pod in pods}
        addresses = {pod.spec.address for pod in pods}
        found = [link["ifname"] for link in self._ip("link") if link["ifname"] in links]
        found += [
            f"rule {r}" for r in self._ip("rule") if r["priority"] == 10 or {r.get("src"), r.get("dst")} & addresses
        ]
        found += [f"route {r}" for r in self._ip("route", "show", "table", "all") if r["dst"] in addresses]
        return found

    def _ip(self, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self._node.run(["ip", "-j", *words], timeout=_TIMEOUT).stdout or "[]"))


def _guard(guarded: Party, far: Party, near: Party, other: Party, *, strict: bool) -> list[RowPlan]:
    """The pod whose group lets in TCP from node-b alone. Standard mode: what stays on the node does not pass the group."""

    def local(party: Party, name: str, says: str) -> RowPlan:
        source = "" if strict else party.endpoint.address
        question = Question(Probe(party.endpoint, guarded.endpoint), source)
        return RowPlan(name, "nothing arrives" if strict else says, (question,))

    allowed = Question(Probe(far.endpoint, guarded.endpoint), far.endpoint.address)
    refused = dataclasses.replace(allowed, source="")
    return [
        RowPlan("security group: what it allows (TCP)", "own address", (allowed,), udp=False),
        RowPlan("security group: what it does not (UDP)", "nothing arrives", (refused,), tcp=False),
        local(near, "security group: node -> its pod", "node's address"),
        local(other, "security group: pod -> pod, same node", "own address"),
        RowPlan(
            "security group: answers to what the pod asks",
            "own address",
            (Question(Probe(guarded.endpoint, far.endpoint), guarded.endpoint.address),),
        ),
    ]
