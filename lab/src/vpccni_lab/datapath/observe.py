"""Sends the probes of many rows at once and says of each row what was seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from vpccni_lab.datapath.rows import SOURCE_PORTS, judge_ports
from vpccni_lab.demo import ask
from vpccni_lab.demo.expect import Question, RowPlan
from vpccni_lab.probe import reach
from vpccni_lab.probe.reach import Seen


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a packet gets to arrive: where it should (``answer_s``), and where nothing should (``silence_s``)."""

    answer_s: float = 6.0
    silence_s: float = 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """One line of the table. ``place``: mode, setting and packet filter; ``observed``: as ``expected`` when it is the same."""

    mode: str
    setting: str
    backend: str
    path: str
    expected: str
    observed: str
    ok: bool
    probes: int


_PATIENCE: Final = Patience()


def observe(
    mode: str, setting: str, plans: Sequence[tuple[str, RowPlan]], patience: Patience = _PATIENCE
) -> list[Observed]:
    """``plans``: (backend, row). UDP for all rows, TCP for those that ask for it; all rows' probes at the same time."""
    nothing = RowPlan("", "", ())
    udp = _ask([plan if plan.udp else nothing for _, plan in plans], patience, tcp=False)
    tcp = _ask([plan if plan.tcp else nothing for _, plan in plans], patience, tcp=True)
    return [
        _judge(mode, setting, backend, plan, by_udp, by_tcp)
        for (backend, plan), by_udp, by_tcp in zip(plans, udp, tcp, strict=True)
    ]


def _ask(plans: Sequence[RowPlan], patience: Patience, *, tcp: bool) -> list[list[Seen]]:
    questions = [question for plan in plans for question in plan.questions]
    arriving = [question for question in questions if question.source]
    silent = [question for question in questions if not question.source]
    send = reach.tcp if tcp else reach.udp
    seen = iter(send([q.probe for q in arriving], patience.answer_s))
    nothing = iter(send([q.probe for q in silent], patience.silence_s))
    return [[next(seen if question.source else nothing) for question in plan.questions] for plan in plans]


def _judge(mode: str, setting: str, backend: str, plan: RowPlan, udp: list[Seen], tcp: list[Seen]) -> Observed:
    problems: list[str] = []
    if udp:
        problems += ask.problems(plan.questions, udp, "UDP")
    if tcp:
        problems += ask.problems(plan.questions, tcp, "TCP")
    asked = len(udp) + len(tcp)
    said = ask.sum_up(problems, asked) if problems else plan.says
    if plan.name == SOURCE_PORTS and not problems:
        said = judge_ports(_ports(plan.questions), [seen.port for seen in udp])
    return Observed(mode, setting, backend, plan.name, plan.says, said, said == plan.says, asked)


def _ports(questions: Sequence[Question]) -> list[int]:
    return [question.probe.source_port for question in questions]
