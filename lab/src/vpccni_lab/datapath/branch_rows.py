"""The packet table's rows for pods with branch ENIs (security groups for pods), and what their receivers should see. Pure.

Standard mode: as any pod. Strict mode: what a pod sends and gets passes its branch ENI, also from and to its own node. So
nothing of it is translated, and a node's port reaches it only with the node's address as source: the VPC takes no other
source from the node's ENI (externalTrafficPolicy Local and hostPort do not work, as with the original).
"""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_lab.datapath import rows
from vpccni_lab.datapath.rows import Place, Setting
from vpccni_lab.demo.expect import Party, Question, RowPlan
from vpccni_lab.probe.reach import Probe

STRICT: Final = "branch strict"
STANDARD: Final = "branch standard"
MODES: Final = (STRICT, STANDARD)


def plans(place: Place, guarded: Party, setting: Setting, mode: str, *, first: bool) -> list[RowPlan]:
    """Every row of one node under one setting. ``place.pods`` have branch ENIs, ``place.mates`` and the last of ``place.their``
    have not. ``guarded``: a pod whose security group lets in TCP from the other node alone. ``first``: the first setting of
    the mode; what no setting of source translation changes is asked once."""
    strict = mode == STRICT
    found = _inside(place, guarded, strict=strict) if first else []
    if strict:
        return [*found, *_outside_strict(place, setting), *rows.inwards(place, untranslated=False)]
    if setting.paths:
        found += [*rows.outside(place, setting), *rows.inwards(place)]
    return [*found, *rows.port_rows(place, setting)]


def _inside(place: Place, guarded: Party, *, strict: bool) -> list[RowPlan]:
    probes = rows.pairs("kubelet's probe (TCP)", "node's address", ((place.node, pod) for pod in place.pods))
    return [*rows.inside(place), dataclasses.replace(probes, udp=False), *_guard(place, guarded, strict=strict)]


def _outside_strict(place: Place, setting: Setting) -> list[RowPlan]:
    """As without translation, whatever the setting. (A branch ENI has no public address.)"""
    return rows.outside(place, dataclasses.replace(setting, snat=False))


def _guard(place: Place, guarded: Party, *, strict: bool) -> list[RowPlan]:
    """Standard mode: what stays on the node does not pass the group."""
    own, none = "own address", "nothing arrives"

    def ask(source: Party, target: Party, *, arrives: bool = True) -> Question:
        return Question(Probe(source.endpoint, target.endpoint), source.endpoint.address if arrives else "")

    local = not strict
    return [
        RowPlan("security group: what it allows (TCP)", own, (ask(place.other, guarded),), udp=False),
        RowPlan("security group: what it does not (UDP)", none, (ask(place.other, guarded, arrives=False),), tcp=False),
        RowPlan(
            "security group: node -> its pod",
            "node's address" if local else none,
            (ask(place.node, guarded, arrives=local),),
        ),
        RowPlan(
            "security group: pod -> pod, same node",
            own if local else none,
            (ask(place.pods[0], guarded, arrives=local),),
        ),
        RowPlan("security group: answers to what the pod asks", own, (ask(guarded, place.other),)),
    ]
