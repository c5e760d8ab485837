"""The steps of an ADD and a DEL: they add up to the call, whatever its spans are, and name a span that is missing."""

from __future__ import annotations

import pytest
from vpccni_lab.profile.steps import Call, cut, steps
from vpccni_lab.trace.spans import Span

MS = 1_000_000


def call(verb: str, *spans: tuple[str, float, float], kernel: float = 0.0) -> Call:
    """Spans as (name, start, end) in milliseconds after the plugin's process was asked for."""
    made = tuple(
        Span("t", name, "", name, "x", int(begin * MS), int(end * MS), {"vpccni.kernel_ms": kernel})
        for name, begin, end in spans
    )
    return Call(verb, 0, 12 * MS, made)


ADD = (
    ("cni.add", 1, 11),
    ("ipam.AddPod", 3, 10.5),
    ("pool.assign", 3.5, 4),
    ("store.write", 4, 6),
    ("netconf.SetupPod", 5, 9),
    ("kernel.create_link", 6, 7),
    ("kernel.host_side", 7, 8),
    ("kernel.pod_side", 8, 8.5),
)
DEL = (("cni.del", 1, 11), ("ipam.DelPod", 3, 10.5), ("netconf.TeardownPod", 5, 9), ("store.write", 9.25, 10))


def test_the_steps_of_an_add_add_up() -> None:
    pieces = cut(call("ADD", *ADD))
    assert pieces == [1, 2, 1, 1, 1, 1, 1, 0.5, 0.5, 1.5, 1.5]
    assert sum(pieces) == 12


def test_the_steps_of_a_del_add_up() -> None:
    pieces = cut(call("DEL", *DEL))
    assert pieces == [1, 2, 2, 4, 0.25, 0.75, 0.5, 1.5]
    assert sum(pieces) == 12


def test_medians_and_what_runs_beside() -> None:
    found = steps([call("ADD", *ADD, kernel=kernel) for kernel in (0.1, 0.25, 5.0)])
    beside = {step.name: step.milliseconds for step in found if step.beside}
    assert list(beside.values()) == [2, pytest.approx(0.25 * len(ADD))]
    assert sum(step.milliseconds for step in found if not step.beside) == 12


@pytest.mark.parametrize(("verb", "spans"), [("ADD", ADD), ("DEL", DEL)])
def test_a_missing_span_is_named(verb: str, spans: tuple[tuple[str, float, float], ...]) -> None:
    for left_out, _, _ in spans:
        if left_out == "store.write" and verb == "ADD":
            continue  # runs beside
        with pytest.raises(KeyError, match=left_out):
            cut(call(verb, *(span for span in spans if span[0] != left_out)))
