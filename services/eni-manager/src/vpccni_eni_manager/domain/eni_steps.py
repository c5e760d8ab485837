"""The life of a new or leaving ENI as steps, with the undo that is valid at each (and after a crash there).

A step is written to the journal before its effect starts, so that a restart knows what may have happened.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final


class Step(enum.StrEnum):
    """How far an ENI got. Growth: INTENDED -> CREATED -> ATTACHED -> (gone from the journal).

    UNDOING: growth failed, the ENI must go. REMOVING -> DETACHED -> (gone): release.
    """

    INTENDED = "intended"  # CreateNetworkInterface may have been sent; only the client token is known
    CREATED = "created"  # the ENI exists; AttachNetworkInterface may have been sent
    ATTACHED = "attached"  # EC2 accepted the attachment; DeleteOnTermination may not be set
    UNDOING = "undoing"  # to be detached if need be, and deleted
    REMOVING = "removing"  # DetachNetworkInterface may have been sent
    DETACHED = "detached"  # EC2 accepted the detachment; the ENI is to be deleted


class Repair(enum.StrEnum):
    """What to do with an entry found in the journal at start."""

    RESOLVE = "resolve"  # ask EC2 again with the same client token: that names the ENI; then as UNDO
    UNDO = "undo"  # detach if attached, delete
    FINISH = "finish"  # attached: set DeleteOnTermination, keep it
    FORGET = "forget"  # nothing to do


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One journalled cloud action. ``token``: EC2 client token, unique. ``request``: parameters of the create call."""

    token: str
    step: Step
    started_unix_s: float
    eni_id: str = ""
    attachment_id: str = ""
    request: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class EniFate:
    """What EC2 says of the ENI: ``instance_id`` it is attached to and the attachment's ``status``, "" when there is none."""

    exists: bool
    instance_id: str = ""
    status: str = ""


ABSENT: Final = EniFate(False)


def repair(step: Step, fate: EniFate, own_instance: str) -> Repair:
    """The repair of an interrupted action, given what EC2 says now.

    An ENI that did get attached stays: it is capacity that ipam sees and can give back. An ENI whose removal had not
    reached EC2 stays too: ipam was never told it is gone and may have put pods on it since.
    """
    if step is Step.INTENDED:
        return Repair.RESOLVE
    if not fate.exists or fate.instance_id not in ("", own_instance):
        return Repair.FORGET
    staying = bool(fate.instance_id) and fate.status != "detaching"
    if step in (Step.CREATED, Step.ATTACHED):
        return Repair.FINISH if staying else Repair.UNDO
    if step is Step.REMOVING and staying:
        return Repair.FORGET
    return Repair.UNDO
