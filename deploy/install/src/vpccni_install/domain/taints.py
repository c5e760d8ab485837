"""The patch that takes one taint off a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def removal(taints: Sequence[Mapping[str, object]], key: str, resource_version: str) -> list[dict[str, object]] | None:
    """A JSON patch that fails when somebody changed the node meanwhile; None when no taint has this key."""
    left = [dict(taint) for taint in taints if taint.get("key") != key]
    if len(left) == len(taints):
        return None
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
        {"op": "replace", "path": "/spec/taints", "value": left},
    ]
