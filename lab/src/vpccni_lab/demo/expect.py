"""The rows of the connectivity table: which pairs are probed and what should be seen. Pure.

Expectations are those of the VPC CNI with its default settings: inside the VPC every pod is seen by its own address,
outside it (internet, peered networks) by its node's primary address.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from vpccni_lab.probe.reach import Endpoint, Probe


@dataclasses.dataclass(frozen=True, slots=True)
class Party:
    """An endpoint with its place: ``node``, and ``eni`` ("primary", "secondary", or "" for what is not a pod)."""

    endpoint: Endpoint
    node: str = ""
    eni: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """All parties. ``node_address``: node name -> primary address. ``public``: private -> public address."""

    pods: tuple[Party, ...]
    nodes: tuple[Party, ...]
    second_cidr: tuple[Party, ...]
    internet: Party
    peer: Party
    node_address: Mapping[str, str]
    public: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """One probe and the source address that its receiver should see; empty: nothing should arrive."""

    probe: Probe
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class RowPlan:
    """One row of the table. ``says``: the expectation, for people. ``udp``, ``tcp``: ask by that."""

    name: str
    says: str
    questions: tuple[Question, ...]
    tcp: bool = True
    udp: bool = True


def rows(world: World, limit: int = 400) -> list[RowPlan]:
    """The table's rows, at most ``limit`` pairs each (spread evenly); rows that have no pairs are left out."""
    pods, nodes = world.pods, world.nodes
    same = [(a, b) for a, b in itertools.permutations(pods, 2) if a.node == b.node]
    across = [(a, b) for a, b in itertools.permutations(pods, 2) if a.node != b.node]
    own, node, public = "own address", "node's primary address", "node's primary (public)"
    plans = [_row("pod -> pod, same node", own, same, _own, limit)]
    for source, target in itertools.product(("primary", "secondary"), repeat=2):
        pairs = [(a, b) for a, b in across if (a.eni, b.eni) == (source, target)]
        plans.append(_row(f"pod -> pod, {source} -> {target} ENI", own, pairs, _own, limit))
    plans += [
        _row("pod -> its node", own, _pairs(pods, nodes, same_node=True), _own, limit),
        _row("pod -> another node", own, _pairs(pods, nodes, same_node=False), _own, limit),
        _row("node -> its pod", node, _pairs(nodes, pods, same_node=True), _own, limit),
        _row("node -> pod of another node", node, _pairs(nodes, pods, same_node=False), _own, limit),
        _row("pod -> internet host", public, [(p, world.internet) for p in pods], _public(world), limit),
        _row("node -> internet host", public, [(n, world.internet) for n in nodes], _public(world), limit),
        _row("pod -> peered network", node, [(p, world.peer) for p in pods], _node_address(world), limit),
        _row("pod -> second VPC CIDR", own, itertools.product(pods, world.second_cidr), _own, limit),
        _row("second VPC CIDR -> pod", own, itertools.product(world.second_cidr, pods), _own, limit),
        _big("9001-byte packet across nodes", across, 9001, min(limit, 40)),
    ]
    return [plan for plan in plans if plan.questions]


def spoofed(world: World) -> list[RowPlan]:
    """Rows in which nothing may arrive: a pod and a node claim an address that their ENIs do not hold."""
    from_pods = [
        Question(Probe(a.endpoint, b.endpoint, spoof=liar), "")
        for a, b in _first_across(world.pods)
        for liar in ("192.0.2.66", *_neighbours(world, b)[:1])
    ]
    from_nodes = [
        Question(Probe(a.endpoint, b.endpoint, spoof="192.0.2.66"), "")
        for a, b in itertools.permutations(world.nodes, 2)
    ]
    plans = [
        RowPlan("spoofed source, pod", "nothing arrives", tuple(from_pods), tcp=False),
        RowPlan("spoofed source, node", "nothing arrives", tuple(from_nodes), tcp=False),
    ]
    return [plan for plan in plans if plan.questions]


def _neighbours(world: World, pod: Party) -> list[str]:
    """Addresses of the other pods on the same node."""
    return [other.endpoint.address for other in world.pods if other.node == pod.node and other is not pod]


def _first_across(pods: Sequence[Party]) -> list[tuple[Party, Party]]:
    """One pair per node: its first pod and a pod elsewhere."""
    found: dict[str, tuple[Party, Party]] = {}
    for a, b in itertools.permutations(pods, 2):
        if a.node != b.node:
            found.setdefault(a.node, (a, b))
    return list(found.values())


def _row(
    name: str,
    says: str,
    pairs: Iterable[tuple[Party, Party]],
    source: Callable[[Party], str],
    limit: int,
) -> RowPlan:
    chosen = _spread(list(pairs), limit)
    return RowPlan(name, says, tuple(Question(Probe(a.endpoint, b.endpoint), source(a)) for a, b in chosen))


def _big(name: str, across: Sequence[tuple[Party, Party]], size: int, limit: int) -> RowPlan:
    questions = tuple(
        Question(Probe(a.endpoint, b.endpoint, size=size, dont_fragment=True), a.endpoint.address)
        for a, b in _spread(list(across), limit)
    )
    return RowPlan(name, "arrives whole", questions, tcp=False)


def _pairs(sources: Sequence[Party], targets: Sequence[Party], *, same_node: bool) -> list[tuple[Party, Party]]:
    return [(a, b) for a, b in itertools.product(sources, targets) if (a.node == b.node) is same_node]


def _spread(pairs: list[tuple[Party, Party]], limit: int) -> list[tuple[Party, Party]]:
    step = max(1, -(-len(pairs) // limit))
    return pairs[::step]


def _own(party: Party) -> str:
    return party.endpoint.address


def _node_address(world: World) -> Callable[[Party], str]:
    return lambda party: world.node_address[party.node]


def _public(world: World) -> Callable[[Party], str]:
    # a node without a public address reaches nobody out there
    return lambda party: world.public.get(world.node_address[party.node], "")
