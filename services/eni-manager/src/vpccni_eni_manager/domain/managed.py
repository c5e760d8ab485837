"""Which ENIs are ours to use (ipam.md 4.4 of the original's behaviour).

Tag no_manage: exactly "true" means hands off, any other value means ours. Without it: our instance id in the instance_id
tag means ours, another id or none is left to MANAGE_UNTAGGED_ENI. The primary ENI is always managed. An EFA-only ENI has
no IP stack and is never managed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from vpccni_eni_manager.domain.model import Eni

NO_MANAGE_TAG: Final = "node.k8s.amazonaws.com/no_manage"
INSTANCE_ID_TAG: Final = "node.k8s.amazonaws.com/instance_id"


def unmanaged_why(eni: Eni, instance_id: str, *, manage_untagged: bool) -> str:
    """Empty when the ENI is managed, else why it is not."""
    if eni.is_primary:
        return ""
    if eni.interface_type == "efa-only":
        return "interface type is efa-only"
    no_manage = eni.tags.get(NO_MANAGE_TAG)
    if no_manage is not None:
        return f"tag {NO_MANAGE_TAG}=true" if no_manage == "true" else ""
    owner = eni.tags.get(INSTANCE_ID_TAG)
    if owner == instance_id or manage_untagged:
        return ""
    if owner is None:
        return f"no tag {INSTANCE_ID_TAG} and MANAGE_UNTAGGED_ENI is false"
    return f"tag {INSTANCE_ID_TAG}={owner} names another instance"


def with_managed(enis: Iterable[Eni], instance_id: str, *, manage_untagged: bool) -> tuple[Eni, ...]:
    """The ENIs with ``managed`` and ``unmanaged_why`` filled in."""
    found = []
    for eni in enis:
        why = unmanaged_why(eni, instance_id, manage_untagged=manage_untagged)
        found.append(dataclasses.replace(eni, managed=not why, unmanaged_why=why))
    return tuple(found)
