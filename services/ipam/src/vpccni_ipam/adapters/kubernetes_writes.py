"""What ipam writes into Kubernetes: events, the annotation with a pod's address, the wish for a trunk ENI."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Final

from vpccni_ipam.adapters.kubernetes_api import (
    CNI_NODES,
    EVENTS,
    JSON_PATCH,
    NODE_STATUS,
    NODES,
    PODS,
    STRATEGIC,
    KubernetesApi,
)
from vpccni_ipam.domain.address_condition import TYPE, NodeCondition
from vpccni_ipam.domain.event_filter import Event, short_note
from vpccni_ipam.domain.model import PodIdentity
from vpccni_ipam.domain.pod_eni import TRUNK_LABEL, features_with

POD_IPS: Final = "vpc.amazonaws.com/pod-ips"
_REPORTER: Final = "aws-node"
_NODE_EVENTS: Final = "default"
_VERSIONS: Final = {"Pod": "v1", "Node": "v1"}


class KubernetesEvents:
    """events.EventSink. ``instance``: name of this node."""

    def __init__(self, api: KubernetesApi, instance: str) -> None:
        self._api = api
        self._instance = instance

    async def post(self, event: Event) -> None:
        """Raises ReasonError."""
        subject = event.subject
        namespace = subject.namespace or _NODE_EVENTS
        regarding = {
            "apiVersion": _VERSIONS[subject.kind],
            "kind": subject.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
        }
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{subject.name[:200]}.{time.time_ns():x}", "namespace": namespace},
            "eventTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": _REPORTER,
            "reportingInstance": self._instance or _REPORTER,
            "action": event.action,
            "reason": event.reason,
            "type": "Warning",
            "note": short_note(event.note),
            "regarding": {key: value for key, value in regarding.items() if value},
        }
        await self._api.create(EVENTS, namespace, body)


class PodAnnotations:
    """annotate.Annotations."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def set(self, pod: PodIdentity, address: str) -> bool:
        """False: the pod is gone, or another one has its name. Raises ReasonError."""
        metadata: dict[str, object] = {"annotations": {POD_IPS: address}}
        if pod.uid:
            metadata["uid"] = pod.uid  # the API refuses the patch when it is not this pod's any more
        return await self._api.patch(PODS, pod.name, {"metadata": metadata}, pod.namespace)

    async def clear(self, pod: PodIdentity, address: str) -> bool:
        """Empties the annotation if it says ``address``; False: it does not, or the pod is gone. Raises ReasonError."""
        path = f"/metadata/annotations/{POD_IPS.replace('/', '~1')}"
        steps = [{"op": "test", "path": path, "value": address}, {"op": "replace", "path": path, "value": ""}]
        if pod.uid:
            steps.insert(0, {"op": "test", "path": "/metadata/uid", "value": pod.uid})
        return await self._api.patch(PODS, pod.name, steps, pod.namespace, kind=JSON_PATCH)


class NodeStatus:
    """say_condition.ConditionBoard, for this node."""

    def __init__(self, api: KubernetesApi, node_name: str) -> None:
        self._api = api
        self._node_name = node_name

    async def say(self, condition: NodeCondition) -> bool:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {
            "type": TYPE,
            "status": str(condition.exhausted),
            "reason": condition.reason,
            "message": short_note(condition.message),
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        body = {"status": {"conditions": [entry]}}
        return await self._api.patch(NODE_STATUS, self._node_name, body, kind=STRATEGIC)


class NodeTrunk:
    """trunk_wish.TrunkBoard, for this node."""

    def __init__(self, api: KubernetesApi, node_name: str) -> None:
        self._api = api
        self._node_name = node_name
        self._said: bool | None = None

    async def features(self, wanted: Mapping[str, str]) -> bool:
        found = await self._api.get(CNI_NODES, self._node_name)
        if found is None:
            return False
        made = features_with((found.get("spec") or {}).get("features") or (), wanted)
        if made is None:
            return True
        # With the version that was read: what someone else has written meanwhile is not undone.
        version = found["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"features": made}}
        return await self._api.patch(CNI_NODES, self._node_name, body)

    async def label(self, attached: bool) -> None:
        if attached == self._said:
            return
        body = {"metadata": {"labels": {TRUNK_LABEL: str(attached).lower()}}}
        if await self._api.patch(NODES, self._node_name, body):
            self._said = attached
