"""The rows of the connectivity table: which pairs, and what should be seen."""

from __future__ import annotations

from pathlib import Path

from vpccni_lab.demo import ask, expect
from vpccni_lab.demo.expect import Party, Question, RowPlan, World
from vpccni_lab.probe.reach import Endpoint, Probe, Seen


def party(name: str, address: str, node: str = "", eni: str = "") -> Party:
    return Party(Endpoint(name, Path("/proc") / name, address), node, eni)


WORLD = World(
    pods=(
        party("p1", "10.0.1.11", "a", "primary"),
        party("p2", "10.0.1.12", "a", "secondary"),
        party("p3", "10.0.2.11", "b", "primary"),
        party("p4", "10.0.2.12", "b", "secondary"),
    ),
    nodes=(party("a", "10.0.1.1", "a"), party("b", "10.0.2.1", "b")),
    second_cidr=(party("plain", "10.1.1.5"),),
    internet=party("internet", "198.51.100.10"),
    peer=party("peer", "10.99.0.10"),
    node_address={"a": "10.0.1.1", "b": "10.0.2.1"},
    public={"10.0.1.1": "203.0.113.1"},
)


def seen_by(plans: list[RowPlan], name: str) -> set[tuple[str, str, str]]:
    (plan,) = (plan for plan in plans if plan.name == name)
    return {(q.probe.src.name, q.probe.dst.name, q.source) for q in plan.questions}


def test_pairs_and_sources() -> None:
    plans = expect.rows(WORLD)
    assert seen_by(plans, "pod -> pod, same node") == {
        ("p1", "p2", "10.0.1.11"), ("p2", "p1", "10.0.1.12"), ("p3", "p4", "10.0.2.11"), ("p4", "p3", "10.0.2.12"),
    }  # fmt: skip
    assert seen_by(plans, "pod -> pod, secondary -> primary ENI") == {
        ("p2", "p3", "10.0.1.12"),
        ("p4", "p1", "10.0.2.12"),
    }
    assert ("p1", "b", "10.0.1.11") in seen_by(plans, "pod -> another node")
    assert seen_by(plans, "node -> its pod") == {
        ("a", "p1", "10.0.1.1"), ("a", "p2", "10.0.1.1"), ("b", "p3", "10.0.2.1"), ("b", "p4", "10.0.2.1"),
    }  # fmt: skip
    # node b has no public address: nothing of its pods may arrive
    assert {source for _, _, source in seen_by(plans, "pod -> internet host")} == {"203.0.113.1", ""}
    assert ("p4", "peer", "10.0.2.1") in seen_by(plans, "pod -> peered network")
    assert ("p4", "plain", "10.0.2.12") in seen_by(plans, "pod -> second VPC CIDR")
    big = next(plan for plan in plans if plan.name.startswith("9001"))
    assert all(q.probe.size == 9001 and q.probe.dont_fragment for q in big.questions)


def test_rows_without_pairs_are_left_out_and_many_pairs_are_thinned_evenly() -> None:
    lonely = World((), WORLD.nodes, (), WORLD.internet, WORLD.peer, WORLD.node_address, WORLD.public)
    assert [plan.name for plan in expect.rows(lonely)] == ["node -> internet host"]
    assert [plan.name for plan in expect.spoofed(lonely)] == ["spoofed source, node"]
    assert all(1 <= len(plan.questions) <= 2 for plan in expect.rows(WORLD, limit=2))


def test_nothing_spoofed_may_arrive() -> None:
    questions = [q for plan in expect.spoofed(WORLD) for q in plan.questions]
    assert {q.source for q in questions} == {""}
    assert {q.probe.spoof for q in questions} == {"192.0.2.66", "10.0.1.12", "10.0.2.12"}


def test_what_differs_is_told() -> None:
    a, b = WORLD.pods[0].endpoint, WORLD.pods[2].endpoint
    good, silence = Question(Probe(a, b), a.address), Question(Probe(a, b, spoof="192.0.2.1"), "")
    told = {
        ask.problem(good, Seen(a.address, answered=True)): "",
        ask.problem(good, Seen("10.0.1.1", answered=True)): "source 10.0.1.1, not 10.0.1.11",
        ask.problem(good, Seen()): "nothing arrived",
        ask.problem(good, Seen(a.address)): "no answer came back",
        ask.problem(good, Seen(error="Message too long")): "not sent: Message too long",
        ask.problem(silence, Seen()): "",
        ask.problem(silence, Seen("192.0.2.1")): "arrived, from 192.0.2.1",
    }
    assert all(said == wanted for said, wanted in told.items())
