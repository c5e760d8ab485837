"""Holds rows of expectations against real packets."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from vpccni_lab.client import LabClient
from vpccni_lab.demo.expect import Party, Question, RowPlan, World
from vpccni_lab.fabric import namespaces
from vpccni_lab.fabric.plan import INTERNET_HOST, PEER_HOST
from vpccni_lab.probe import reach
from vpccni_lab.probe.reach import Endpoint, Seen
from vpccni_lab.runtime import pods as podlib


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``observed``: what was seen, in the words of ``expected`` when it is the same."""

    name: str
    expected: str
    observed: str
    ok: bool
    probes: int = 0


def world_of(lab: LabClient) -> World:
    """Every pod, node and host of a lab, with addresses as EC2 and the CNI gave them."""
    enis = lab.enis()
    primary = {
        address
        for of_node in enis.values()
        for eni in of_node
        if eni["device_index"] == 0
        for address in [eni["private_ip"], *eni["secondary_ips"]]
    }
    cni_nodes, plain = lab.nodes(cni="vpccni"), lab.nodes(cni="none")
    pods = [
        Party(podlib.endpoint(node, pod), node.name, "primary" if pod.address in primary else "secondary")
        for node in cni_nodes
        for pod in podlib.recorded(node)
        if pod.address
    ]
    name = lab.state.name
    return World(
        pods=tuple(pods),
        nodes=tuple(Party(node.endpoint, node.name) for node in cni_nodes),
        second_cidr=tuple(Party(node.endpoint, node.name) for node in plain),
        internet=Party(Endpoint("internet", namespaces.path(name, "internet"), INTERNET_HOST)),
        peer=Party(Endpoint("peer", namespaces.path(name, "peer"), PEER_HOST)),
        node_address={node.name: node.address for node in cni_nodes},
        public=lab.public(),
    )


def observe(plans: Iterable[RowPlan], timeout: float = 2.0) -> Iterator[Row]:
    """Asks the questions of each row, by UDP and (where the row says so) by TCP."""
    for plan in plans:
        probes = [question.probe for question in plan.questions]
        silent = not any(question.source for question in plan.questions)
        seen = reach.udp(probes, 0.6 if silent else timeout)
        differ = list(problems(plan.questions, seen, "UDP"))
        asked = len(probes)
        if plan.tcp and not differ:
            differ = list(problems(plan.questions, reach.tcp(probes, timeout), "TCP"))
            asked *= 2
        yield Row(plan.name, plan.says, sum_up(differ, asked) if differ else plan.says, not differ, asked)


def problems(questions: Sequence[Question], seen: Sequence[Seen], protocol: str) -> Iterator[str]:
    """What differs, a line for each probe."""
    for question, result in zip(questions, seen, strict=True):
        differs = problem(question, result)
        if differs:
            yield f"{protocol} {question.probe.src.name} -> {question.probe.dst.name}: {differs}"


def problem(question: Question, seen: Seen) -> str:
    """What differs from the expectation; empty: nothing."""
    if not question.source:
        return f"arrived, from {seen.source}" if seen.source else ""
    if not seen.source:
        return f"not sent: {seen.error}" if seen.error else "nothing arrived"
    if seen.source != question.source:
        return f"source {seen.source}, not {question.source}"
    return "" if seen.answered else "no answer came back"


def sum_up(lines: Sequence[str], asked: int) -> str:
    """Some lines of ``problems`` as one."""
    kinds = collections.Counter(line.partition(": ")[2] for line in lines)
    return f"{len(lines)} of {asked} differ: {lines[0]}" + (
        f" (and {len(kinds) - 1} other kinds)" if len(kinds) > 1 else ""
    )
