"""The packet table's rows: which probes one node is asked to pass, and what their receivers should see. Pure.

Expectations are those of the original: IPv4 pods are seen by their own address inside the VPC and by the node's primary
address outside it, unless translation is off or the destination excluded; IPv6 pods by their own address everywhere.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from vpccni_lab.demo.expect import Party, Question, RowPlan
from vpccni_lab.probe.reach import PORT, Endpoint, Probe

NODE_PORT: Final = 30100
"""NodePort of the node's first pod, its other pods' follow; then the same with the source translated, and one of a pod on
another node."""
HOST_PORT: Final = 8080


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One way to set source translation. ``inside``: the peered network counts as inside (an excluded CIDR)."""

    name: str
    env: tuple[tuple[str, str], ...] = ()
    snat: bool = True
    inside: bool = False
    ports: str = "random"
    paths: bool = True


SETTINGS: Final = (
    Setting("SNAT on (prng)", (("AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng"),)),
    Setting("SNAT off", (("AWS_VPC_K8S_CNI_EXTERNALSNAT", "true"),), snat=False),
    Setting("excluded CIDR", (("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "10.99.0.0/24"),), inside=True),
    Setting("SNAT hashrandom", (("AWS_VPC_K8S_CNI_RANDOMIZESNAT", "hashrandom"),), paths=False),
    Setting("SNAT none", (("AWS_VPC_K8S_CNI_RANDOMIZESNAT", "none"),), ports="kept", paths=False),
)
SETTINGS6: Final = (
    Setting("IPv6", ports=""),
    *(
        Setting(f"IPv6, {name}", SETTINGS[at].env, snat=False, ports="")
        for at, name in ((1, "SNAT off"), (2, "excluded CIDR"))
    ),
)
VARIABLES: Final = tuple(dict.fromkeys(name for setting in SETTINGS for name, _ in setting.env))


@dataclasses.dataclass(frozen=True, slots=True)
class Egress:
    """The address family that is not the cluster's. ``pods``: by their egress addresses. ``node``: the node's own address,
    ``public``: what the internet sees of that."""

    pods: tuple[Party, ...]
    internet: Party
    peer: Party
    node: str
    public: str


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """One node and what surrounds it. ``pods``: one pod per ENI; ``Party.eni``: name of the ENI's link. ``mates``: further
    pods of the node. ``other``: another node, with ``their`` pods. ``public``: where the internet reaches the node."""

    node: Party
    pods: tuple[Party, ...]
    mates: tuple[Party, ...]
    other: Party
    their: tuple[Party, ...]
    second: tuple[Party, ...]
    internet: Party
    peer: Party
    public: str
    egress: Egress | None = None

    @property
    def six(self) -> bool:
        return ":" in self.node.endpoint.address


def node_ports(place: Place) -> list[tuple[int, Party, bool]]:
    """(port, pod, whether the source is translated, as with externalTrafficPolicy Cluster): the node's Services, the last with
    its pod on the other node."""
    pods = [*((pod, False) for pod in place.pods), *((pod, True) for pod in (*place.pods, place.their[0]))]
    return [(NODE_PORT + number, pod, translated) for number, (pod, translated) in enumerate(pods)]


def rows(place: Place, setting: Setting) -> list[RowPlan]:
    """Every row of one node under one setting."""
    return [*inside(place), *outside(place, setting), *egress_rows(place), *inwards(place), *port_rows(place, setting)]


def inside(place: Place) -> list[RowPlan]:
    """Paths that stay in the VPC."""
    own, nodes = "own address", "node's address"
    local = (*place.pods, *place.mates)
    straight = [(a, b) for a, b in itertools.product(place.pods, place.their) if a.eni == b.eni]
    across = [(a, b) for a, b in itertools.product(place.pods, place.their) if a.eni != b.eni]
    return [
        pairs("pod -> pod, same node", own, itertools.permutations(local, 2)),
        pairs("pod -> pod, other node, same ENI", own, straight),
        pairs("pod -> pod, other node, across ENIs", own, across),
        pairs("node -> its pod", nodes, ((place.node, pod) for pod in local)),
        pairs("node -> pod of another node", nodes, ((place.node, pod) for pod in place.their)),
        pairs("pod -> its node", own, ((pod, place.node) for pod in local)),
        pairs("pod -> another node", own, ((pod, place.other) for pod in place.pods)),
        pairs("pod -> second VPC CIDR", own, itertools.product(place.pods, place.second)),
        pairs("second VPC CIDR -> pod", own, itertools.product(place.second, place.pods)),
    ]


def outside(place: Place, setting: Setting) -> list[RowPlan]:
    """From pods to what is outside the VPC, and from there."""
    node = place.node.endpoint.address
    if place.six:
        return [
            pairs("pod -> internet", "own address", ((pod, place.internet) for pod in place.pods)),
            pairs("pod -> peered network", "own address", ((pod, place.peer) for pod in place.pods)),
            pairs("peered network -> pod", "own address", ((place.peer, pod) for pod in place.pods)),
        ]
    public = place.public if setting.snat else ""
    peered = "" if setting.inside or not setting.snat else node
    return [
        pairs(
            "pod -> internet",
            "public address" if public else "nothing arrives",
            ((pod, place.internet) for pod in place.pods),
            public,
        ),
        pairs(
            "pod -> peered network",
            "node's address" if peered else "own address",
            ((pod, place.peer) for pod in place.pods),
            peered or None,
        ),
        pairs("peered network -> pod", "own address", ((place.peer, pod) for pod in place.pods)),
    ]


def egress_rows(place: Place) -> list[RowPlan]:
    """From pods to the outside in the other address family: translated to the node's address, whatever the setting; and to no
    other pod."""
    egress = place.egress
    if egress is None:
        return []
    family = "IPv4" if place.six else "IPv6"
    seen = "node's address" if egress.public == egress.node else "public address"
    return [
        pairs(f"pod -> internet by {family}", seen, ((pod, egress.internet) for pod in egress.pods), egress.public),
        pairs(
            f"pod -> peered network by {family}",
            "node's address",
            ((pod, egress.peer) for pod in egress.pods),
            egress.node,
        ),
        pairs(f"pod -> pod by {family}", "nothing arrives", itertools.permutations(egress.pods, 2), ""),
    ]


def inwards(place: Place, *, untranslated: bool = True) -> list[RowPlan]:
    """To pods by ports of their node. ``untranslated``: whether pods can be reached without the node's address as source (where
    the node itself reaches its pods through the VPC, a foreign source does not get past the source/destination check)."""
    internet, address = place.internet, place.node.endpoint.address
    plans = [_node_port_row(place, port, pod, translated, untranslated) for port, pod, translated in node_ports(place)]
    outsiders = ((internet, place.public), *((party, address) for party in (place.other, *place.their)))
    first, *others = [
        _to(party, place.pods[0], to, HOST_PORT, party.endpoint.address if untranslated else "")
        for party, to in outsiders
    ]
    lost = "" if untranslated else "nothing arrives"
    return [
        *plans,
        RowPlan("internet -> hostPort", lost or "internet host", (first,)),
        RowPlan("another node, its pods -> hostPort", lost or "own address", tuple(others)),
        RowPlan(
            "node -> hostPort of its own",
            "node's address",
            (_to(place.node, place.pods[0], address, HOST_PORT, address),),
        ),
    ]


def _node_port_row(place: Place, port: int, pod: Party, translated: bool, untranslated: bool) -> RowPlan:
    local = pod.node == place.node.node
    name = f"internet -> NodePort{', translated' if translated and local else ''} -> "
    name += f"pod on {pod.eni}" if local else "pod of another node"
    if translated:
        says, source = "node's address", place.node.endpoint.address
    elif untranslated:
        says, source = "internet host", place.internet.endpoint.address
    else:
        says, source = "nothing arrives", ""
    return RowPlan(name, says, (_to(place.internet, pod, place.public, port, source),))


def port_rows(place: Place, setting: Setting) -> list[RowPlan]:
    """Whether source ports of translated connections are kept or spread: many datagrams from known ports, UDP alone."""
    if not setting.ports or not setting.snat or setting.inside:
        return []
    node = place.node.endpoint.address
    first = FIRST_PORT + 1000 * SETTINGS.index(setting)
    questions = tuple(
        Question(Probe(pod.endpoint, place.peer.endpoint, source_port=first + PORTS * index + number), node)
        for index, pod in enumerate(place.pods)
        for number in range(PORTS)
    )
    says = "kept" if setting.ports == "kept" else "spread at random"
    return [RowPlan(SOURCE_PORTS, says, questions, tcp=False)]


SOURCE_PORTS: Final = "source ports of translated pods"
FIRST_PORT: Final = 20_001
"""A connection stays as it was under the setting that it began with. So no port is used under two settings, and all are below
those that the kernel chooses for the other probes (ip_local_port_range)."""
PORTS: Final = 40


def judge_ports(sent: Sequence[int], seen: Sequence[int]) -> str:
    """``kept`` or ``spread at random``, or what is neither.

    By chance at most a few of some 100 random ports are kept and they cover nearly all of 64,000; neighbouring numbers would not.
    """
    kept = sum(a == b for a, b in zip(sent, seen, strict=True))
    if kept >= len(sent) * 0.9:
        return "kept"
    width = max(seen, default=0) - min(seen, default=0)
    if kept <= len(sent) // 10 and width > 20_000 and len(set(seen)) >= len(seen) * 0.95:
        return "spread at random"
    return f"{kept} of {len(sent)} ports kept, {len(set(seen))} different ones over {width}"


def _to(source: Party, target: Party, address: str, port: int, seen_as: str) -> Question:
    return Question(Probe(source.endpoint, target.endpoint, to=address, port=port), seen_as)


def pairs(name: str, says: str, parties: Iterable[tuple[Party, Party]], source: str | None = None) -> RowPlan:
    """A row of (sender, receiver) pairs. ``source`` None: each sender's own address."""
    questions = (
        Question(Probe(a.endpoint, b.endpoint), a.endpoint.address if source is None else source) for a, b in parties
    )
    return RowPlan(name, says, tuple(questions))


def service_rules(place: Place, backend: str) -> tuple[str, str]:
    """(program, its stdin): the node's NodePorts as kube-proxy writes them for ``backend``, at the priorities that it uses.

    The pod port is the probes' own. Source translation by mark 0x4000, kube-proxy's.
    """
    ports = [(port, _socket(pod.endpoint), translated) for port, pod, translated in node_ports(place)]
    if backend == "nftables":
        return "nft -f -", _nft(ports, six=place.six)
    program = ("ip6tables" if place.six else "iptables") + backend.removeprefix("iptables")
    return f"{program}-restore --noflush", _iptables(ports)


def _socket(endpoint: Endpoint) -> str:
    return f"[{endpoint.address}]:{PORT}" if ":" in endpoint.address else f"{endpoint.address}:{PORT}"


def _iptables(ports: Sequence[tuple[int, str, bool]]) -> str:
    lines = [
        "*nat",
        ":KUBE-SERVICES - [0:0]",
        ":KUBE-POSTROUTING - [0:0]",
        "-I PREROUTING -m addrtype --dst-type LOCAL -j KUBE-SERVICES",
        "-I POSTROUTING -j KUBE-POSTROUTING",
        "-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully",
    ]
    for (port, target, translated), protocol in itertools.product(ports, ("tcp", "udp")):
        match = f"-A KUBE-SERVICES -p {protocol} -m {protocol} --dport {port}"
        if translated:
            lines.append(f"{match} -j MARK --set-xmark 0x4000/0x4000")
        lines.append(f"{match} -j DNAT --to-destination {target}")
    return "\n".join([*lines, "COMMIT", ""])


def _nft(ports: Sequence[tuple[int, str, bool]], *, six: bool) -> str:
    family = "ip6" if six else "ip"
    rules = []
    for (port, target, translated), protocol in itertools.product(ports, ("tcp", "udp")):
        mark = "meta mark set meta mark or 0x4000 " if translated else ""
        rules.append(f"    fib daddr type local {protocol} dport {port} {mark}dnat to {target}")
    return "\n".join(
        [
            f"table {family} kube-proxy",
            f"delete table {family} kube-proxy",
            f"table {family} kube-proxy {{",
            "  chain nat-prerouting {",
            "    type nat hook prerouting priority dstnat; policy accept;",
            *rules,
            "  }",
            "  chain nat-postrouting {",
            "    type nat hook postrouting priority srcnat; policy accept;",
            "    meta mark & 0x4000 == 0x4000 masquerade fully-random",
            "  }",
            "}",
            "",
        ]
    )
