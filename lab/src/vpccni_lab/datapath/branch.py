"""The packet table for pods with branch ENIs, strict and standard: three nodes, one for each packet filter, each with netconf
alone. Needs a kernel with VLAN devices."""

from __future__ import annotations

import contextlib
import functools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import lifecycle
from vpccni_lab.client import LabClient
from vpccni_lab.datapath import branch_rows
from vpccni_lab.datapath.branch_node import BranchNode, Netconf
from vpccni_lab.datapath.labs import BACKENDS, FILTERS
from vpccni_lab.datapath.observe import Observed, Patience, observe
from vpccni_lab.datapath.rows import SETTINGS, Place, Setting, service_rules
from vpccni_lab.demo.expect import Party
from vpccni_lab.fabric import namespaces
from vpccni_lab.fabric.plan import INTERNET_HOST, PEER_HOST
from vpccni_lab.lifecycle import Progress
from vpccni_lab.probe.reach import PORT, Endpoint
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.spec import LabSpec, NodeSpec, SubnetSpec

_T = TypeVar("_T")
_R = TypeVar("_R")
_PATIENCE: Final = Patience(answer_s=90.0, silence_s=4.0)
"""Under emulation a packet takes its time."""


def run(name: str, progress: Progress) -> Iterator[list[Observed]]:
    """Both modes on one lab, one after the other: the change of mode is part of what is shown."""
    nodes = [NodeSpec(node, "a", cni="none", iptables=FILTERS[node]) for node in BACKENDS]
    spec = LabSpec(
        name=name,
        subnets=(SubnetSpec("a", "10.0.1.0/24"), SubnetSpec("second", "10.1.1.0/24")),
        nodes=(*nodes, NodeSpec("plain", "second", public_ip=False, cni="none")),
        traces=False,
    )
    try:
        with lifecycle.up(spec, progress) as lab, contextlib.ExitStack() as stack:
            started = {node: Netconf(lab, lab.node(node), backend) for node, backend in BACKENDS.items()}
            netconfs = {node: stack.enter_context(netconf) for node, netconf in started.items()}
            for mode in branch_rows.MODES:
                yield from _Mode(lab, netconfs, mode, progress).blocks()
    except (ReasonError, CniError) as exc:
        said, path = str(exc).strip()[:900], "nodes and pods come up"
        yield [Observed(mode, "-", "-", path, "up", said, False, 0) for mode in branch_rows.MODES]
    finally:
        lifecycle.down(name, progress)


class _Mode:
    def __init__(self, lab: LabClient, netconfs: Mapping[str, Netconf], mode: str, progress: Progress) -> None:
        self._lab, self._netconfs, self._mode, self._progress = lab, netconfs, mode, progress
        self._strict = mode == branch_rows.STRICT

    def blocks(self) -> Iterator[list[Observed]]:
        """The rows of the mode, setting by setting, and what the kernel holds."""
        with contextlib.ExitStack() as stack:
            nodes = [
                stack.enter_context(BranchNode(self._lab, netconf, name, BACKENDS[name], strict=self._strict))
                for name, netconf in self._netconfs.items()
            ]
            entries = self._wire(nodes)
            places = self._places(nodes)
            for node, place in zip(nodes, places, strict=True):
                program, text = service_rules(place, node.backend)
                done = node.node.run(shlex.split(program), stdin=text)
                if done.returncode:
                    raise ReasonError(Reason.KERNEL_REFUSED, f"{program} on {node.node.name}: {done.stderr}")
            for number, setting in enumerate(SETTINGS):
                if number:
                    _each(nodes, functools.partial(_apply, setting))
                yield self._said(setting.name, self._observe(nodes, places, setting, first=not number))
            facts = _each(nodes, lambda node: node.facts(self._mode))
            for entry in entries:
                self._lab.del_branch(entry["eniId"])
            yield self._said("kernel", [row for rows in facts for row in rows])

    def _said(self, what: str, found: list[Observed]) -> list[Observed]:
        differ = sum(not row.ok for row in found)
        self._progress(f"{self._mode}, {what}: {len(found)} rows" + (f", {differ} differ" if differ else ""))
        return found

    # set-up

    def _wire(self, nodes: list[BranchNode]) -> list[dict[str, Any]]:
        """Branch ENIs and pods on every node; the ENIs' annotations."""
        _each(nodes, lambda node: node.apply_host(SETTINGS[0]))
        wishes: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = []
        for number, node in enumerate(nodes):
            name, other = node.node.name, nodes[(number + 1) % len(nodes)].node
            group = self._guarded_group(f"{self._mode} {name}".replace(" ", "-"), other.address)
            own = [self._lab.add_branch(name), self._lab.add_branch(name), self._lab.add_branch(name, [group])]
            wishes.append((own, self._lab.enis()[name][-1], self._assign(name)))
        _each(list(zip(nodes, wishes, strict=True)), lambda pair: pair[0].wire(*pair[1]))
        self._progress(f"{self._mode}: pods wired")
        return [entry for own, _, _ in wishes for entry in own]

    def _guarded_group(self, name: str, address: str) -> str:
        """A security group that lets in TCP on the probes' port from one address and nothing else."""
        vpc = self._lab.status()["vpc"]
        group = str(self._lab.ec2("CreateSecurityGroup", VpcId=vpc, GroupName=name, Description=name)["GroupId"])
        ranges = [{"CidrIp": f"{address}/32"}]
        allow = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "IpRanges": ranges}
        self._lab.ec2("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[allow])
        return group

    def _assign(self, node: str) -> str:
        """A new secondary address of the node's primary ENI."""
        primary = next(eni["id"] for eni in self._lab.enis()[node] if eni["device_index"] == 0)
        done = self._lab.ec2("AssignPrivateIpAddresses", NetworkInterfaceId=primary, SecondaryPrivateIpAddressCount=1)
        return str(done["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"])

    # rows

    def _places(self, nodes: list[BranchNode]) -> list[Place]:
        name, public = self._lab.state.name, self._lab.public()
        plain = self._lab.node("plain").endpoint
        found = []
        for number, node in enumerate(nodes):
            first, second, _, ordinary = (pod.party for pod in node.pods)
            other = nodes[(number + 1) % len(nodes)]
            their = [pod.party for pod in other.pods]
            found.append(
                Place(
                    node=node.party,
                    pods=(first, second),
                    mates=(ordinary,),
                    other=other.party,
                    their=(their[0], their[1], their[3]),
                    second=(Party(plain, "plain"),),
                    internet=Party(Endpoint("internet", namespaces.path(name, "internet"), INTERNET_HOST)),
                    peer=Party(Endpoint("peer", namespaces.path(name, "peer"), PEER_HOST)),
                    public=public[node.node.address],
                )
            )
        return found

    def _observe(
        self, nodes: list[BranchNode], places: list[Place], setting: Setting, *, first: bool
    ) -> list[Observed]:
        plans = [
            (node.backend, plan)
            for node, place in zip(nodes, places, strict=True)
            for plan in branch_rows.plans(place, node.pods[2].party, setting, self._mode, first=first)
            if plan.questions
        ]
        return observe(self._mode, setting.name, plans, _PATIENCE)


def _apply(setting: Setting, node: BranchNode) -> None:
    node.apply_host(setting)


def _each(items: Sequence[_T], do: Callable[[_T], _R]) -> list[_R]:
    """On all nodes at the same time."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(do, items))
