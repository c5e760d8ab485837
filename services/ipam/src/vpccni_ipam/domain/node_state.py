"""What Kubernetes says of the own node, as far as addresses depend on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

EXTERNAL_LABEL: Final = "vpc.amazonaws.com/externalEniConfig"
"""Names the ENIConfig whatever the settings say; set by who provisions nodes."""
CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
DEFAULT_ENI_CONFIG: Final = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class NodeState:
    """``pod_capacity``: pods that kubelet runs at most, 0: not said. ``deleting``: the object is being deleted."""

    name: str = ""
    uid: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cordoned: bool = False
    deleting: bool = False
    pod_capacity: int = 0

    @property
    def why_unschedulable(self) -> str:
        """Empty when the scheduler may put pods here."""
        if self.deleting:
            return f"node {self.name} is being deleted"
        return f"node {self.name} is cordoned" if self.cordoned else ""


def node_state(found: Mapping[str, Any]) -> NodeState:
    """A v1 Node as JSON. Fields that are missing or of another type count as absent."""
    metadata = _mapping(found.get("metadata"))
    spec, status = _mapping(found.get("spec")), _mapping(found.get("status"))
    taints = [_mapping(taint) for taint in spec.get("taints") or ()]
    cordoned = spec.get("unschedulable") is True or any(
        taint.get("key") == CORDON_TAINT and taint.get("effect") == "NoSchedule" for taint in taints
    )
    capacity = str(_mapping(status.get("capacity")).get("pods", ""))
    return NodeState(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        labels=_texts(metadata.get("labels")),
        annotations=_texts(metadata.get("annotations")),
        cordoned=cordoned,
        deleting=bool(metadata.get("deletionTimestamp")),
        pod_capacity=int(capacity) if capacity.isascii() and capacity.isdigit() else 0,
    )


def eni_config_name(node: NodeState, annotation: str, label: str) -> str:
    """Name of the node's ENIConfig: the external label, else the annotation, else the label, else ``default``."""
    return (
        node.labels.get(EXTERNAL_LABEL)
        or node.annotations.get(annotation)
        or node.labels.get(label)
        or DEFAULT_ENI_CONFIG
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(text) for key, text in _mapping(value).items()}
