"""The labs of the packet table: three nodes, one for each packet filter, so that one change of settings serves all three."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab import lifecycle
from vpccni_lab.client import LabClient
from vpccni_lab.datapath.rows import HOST_PORT, VARIABLES, Egress, Place, Setting, service_rules
from vpccni_lab.demo.expect import Party
from vpccni_lab.fabric import namespaces
from vpccni_lab.fabric.plan import INTERNET_HOST, INTERNET_HOST6, PEER_HOST, PEER_HOST6
from vpccni_lab.lifecycle import Progress
from vpccni_lab.linux import syscalls
from vpccni_lab.probe.reach import PORT, Endpoint
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Failure, Pod
from vpccni_lab.spec import CniSpec, LabSpec, NodeSpec, SubnetSpec

BACKENDS: Final[Mapping[str, str]] = {
    "legacy": "iptables-legacy",
    "nft": "iptables-nft",
    "nftables": "nftables",
}
"""Node name -> packet filter."""
FILTERS: Final[Mapping[str, str]] = {"legacy": "legacy", "nft": "nft", "nftables": "nft"}
"""Node name -> what its ``iptables`` is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mode:
    """How pods get addresses. ``pods``: as many as it takes until every ENI of a node holds one."""

    name: str
    instance_type: str
    pods: int
    env: Mapping[str, str]
    six: bool = False

    @property
    def egress(self) -> bool:
        """Whether pods have egress links: with IPv6 they do by default."""
        return self.six or self.env.get("ENABLE_V6_EGRESS") == "true"


MODES: Final = (
    Mode("IPv4 secondary", "t3.small", 7, {"ENABLE_V6_EGRESS": "true"}),
    Mode("IPv4 prefix", "t3.micro", 17, {"ENABLE_PREFIX_DELEGATION": "true", "VPCCNI_MAX_PODS": "40"}),
    Mode(
        "IPv6",
        "t3.small",
        2,
        {"ENABLE_IPv4": "false", "ENABLE_IPv6": "true", "ENABLE_PREFIX_DELEGATION": "true"},
        six=True,
    ),
)


def spec_of(mode: Mode, name: str) -> LabSpec:
    """The lab of one mode. Pools are filled as pods ask, so that no time goes into warm addresses."""
    nodes = [
        NodeSpec(
            node,
            f"subnet{number}",
            mode.instance_type,
            ipv6=1,
            env={"VPCCNI_NETCONF_PACKET_FILTER": backend},
            iptables=FILTERS[node],
        )
        for number, (node, backend) in enumerate(BACKENDS.items())
    ]
    subnets = [SubnetSpec(f"subnet{n}", f"10.0.{n}.0/24", ipv6_cidr=f"2001:db8:0:10{n}::/64") for n in range(3)]
    return LabSpec(
        name=name,
        ipv6_cidrs=("2001:db8:0:100::/56",),
        subnets=(*subnets, SubnetSpec("second", "10.1.1.0/24", ipv6_cidr="2001:db8:0:110::/64")),
        nodes=(*nodes, NodeSpec("plain", "second", public_ip=False, cni="none", ipv6=1)),
        env={"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": str(mode.pods), **mode.env},
        cni=CniSpec(chained=({"type": "portmap", "snat": True, "capabilities": {"portMappings": True}},)),
        traces=False,
    )


@contextlib.contextmanager
def lab_of(mode: Mode, name: str, progress: Progress) -> Iterator[LabClient]:
    """The lab, up, with pods and Services; removed afterwards. Raises ReasonError."""
    try:
        with lifecycle.up(spec_of(mode, name), progress) as lab:
            _start_pods(lab, mode)
            for backend, place in places(lab, mode):
                program, rules = service_rules(place, backend)
                done = lab.node(place.node.node).run(shlex.split(program), stdin=rules)
                if done.returncode:
                    raise ReasonError(Reason.KERNEL_REFUSED, f"{program} on {place.node.node}: {done.stderr}")
            yield lab
    finally:
        lifecycle.down(name, progress)


def _start_pods(lab: LabClient, mode: Mode) -> None:
    ports: list[dict[str, Any]] = [
        {"hostPort": HOST_PORT, "containerPort": PORT, "protocol": protocol} for protocol in ("tcp", "udp")
    ]

    def start(name: str) -> list[Pod | Failure]:
        with lab.pods(name, workers=8) as runtime:
            first = runtime.run([podlib.new_pod(name, f"{name}-0", capabilities={"portMappings": ports})])
            return first + runtime.run([podlib.new_pod(name, f"{name}-{n}") for n in range(1, mode.pods)])

    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        for outcome in [outcome for of_node in pool.map(start, BACKENDS) for outcome in of_node]:
            if isinstance(outcome, Failure):
                raise ReasonError(Reason.NOT_READY, f"pod {outcome.pod.name} did not start: {outcome.error}")


def places(lab: LabClient, mode: Mode) -> list[tuple[str, Place]]:
    """(backend, node with its surroundings) for every node."""
    enis = lab.enis()
    parties = {name: _pods(lab, name, enis[name]) for name in BACKENDS}
    public = lab.public()
    found = []
    for number, (name, backend) in enumerate(BACKENDS.items()):
        other = list(BACKENDS)[(number + 1) % len(BACKENDS)]
        ours, node = parties[name], _node(lab, name, enis, mode)
        found.append(
            (
                backend,
                Place(
                    node=node,
                    pods=ours[0],
                    mates=ours[1],
                    other=_node(lab, other, enis, mode),
                    their=parties[other][0],
                    second=(_node(lab, "plain", enis, mode),),
                    internet=_host(lab, "internet", INTERNET_HOST6 if mode.six else INTERNET_HOST),
                    peer=_host(lab, "peer", PEER_HOST6 if mode.six else PEER_HOST),
                    public=node.endpoint.address if mode.six else public[node.endpoint.address],
                    egress=_egress(lab, name, enis[name][0], (*ours[0], *ours[1]), mode) if mode.egress else None,
                ),
            )
        )
    return found


def _pods(lab: LabClient, node: str, enis: Sequence[Mapping[str, Any]]) -> tuple[tuple[Party, ...], tuple[Party, ...]]:
    """One pod of each ENI (the pod with the hostPort first), and one more of the primary ENI."""
    where = lab.node(node)
    by_link: dict[str, list[Party]] = {}
    for pod in podlib.recorded(where):
        link = link_of(pod.address, enis)
        by_link.setdefault(link, []).append(Party(podlib.endpoint(where, pod), node, link))
    first = {link: parties[0] for link, parties in sorted(by_link.items())}
    chosen = sorted(first.values(), key=lambda party: (party.endpoint.name != f"{node}-0", party.eni))
    return tuple(chosen), tuple(by_link[chosen[0].eni][1:2])


def _egress(lab: LabClient, name: str, primary: Mapping[str, Any], pods: Sequence[Party], mode: Mode) -> Egress:
    """Of all of ``pods``. ``primary``: the node's primary ENI."""
    six = mode.six
    node = lab.node(name).address if six else str(primary["ipv6_addresses"][0])
    return Egress(
        pods=tuple(_by_egress(pod, "v4if0" if six else "v6if0") for pod in pods),
        internet=_host(lab, "internet", INTERNET_HOST if six else INTERNET_HOST6),
        peer=_host(lab, "peer", PEER_HOST if six else PEER_HOST6),
        node=node,
        public=lab.public()[node] if six else node,
    )


def _by_egress(pod: Party, link: str) -> Party:
    show = ["ip", "-j", "addr", "show", "dev", link, "scope", "global"]
    done = syscalls.in_netns(pod.endpoint.netns, lambda: subprocess.run(show, capture_output=True, check=False))
    if done.returncode:
        raise ReasonError(Reason.LINK_MISSING, f"{pod.endpoint.name}: {done.stderr.decode().strip()}")
    (shown,) = json.loads(done.stdout)
    address = shown["addr_info"][0]["local"]
    return dataclasses.replace(pod, endpoint=dataclasses.replace(pod.endpoint, address=address))


def link_of(address: str, enis: Sequence[Mapping[str, Any]]) -> str:
    """The node's link of the ENI that EC2 has assigned ``address`` to. Raises ReasonError when there is none."""
    for eni in enis:
        held = [*eni["secondary_ips"], *eni["prefixes"], *eni["ipv6_addresses"], *eni["ipv6_prefixes"]]
        if any(ipaddress.ip_address(address) in ipaddress.ip_network(cidr) for cidr in held):
            return str(eni["link"])
    raise ReasonError(Reason.INTERNAL, f"EC2 has assigned {address} to no ENI of the node")


def _node(lab: LabClient, name: str, enis: Mapping[str, Sequence[Mapping[str, Any]]], mode: Mode) -> Party:
    address = enis[name][0]["ipv6_addresses"][0] if mode.six else lab.node(name).address
    return Party(Endpoint(name, lab.node(name).netns, address), name)


def _host(lab: LabClient, name: str, address: str) -> Party:
    return Party(Endpoint(name, namespaces.path(lab.state.name, name), address))


def apply(lab: LabClient, setting: Setting) -> None:
    """Restarts ipam of every node with the setting; returns when all are ready. Pods go on running."""
    env: dict[str, str | None] = {**dict.fromkeys(VARIABLES), **dict(setting.env)}

    def restart(node: str) -> None:
        with LabClient(lab.state.name) as client:
            client.service(node, "ipam", "restart", env=env)
            client.wait_ready(node)

    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        list(pool.map(restart, BACKENDS))
