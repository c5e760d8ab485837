"""What ipam asks of the Kubernetes API: every call that it makes is declared here, and no other can be made."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.adapters.kubernetes_http import Http
from vpccni_ipam.adapters.kubernetes_watch import Watch

T = TypeVar("T")
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
"""Merges lists by the key that the API declares: one condition of a Node among those of others."""


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object. ``base``: path of its API group and version. ``part``: a subresource, such as ``status``."""

    base: str
    plural: str
    namespaced: bool = False
    part: str = ""


NODES: Final = Resource("/api/v1", "nodes")
NODE_STATUS: Final = Resource("/api/v1", "nodes", part="status")
PODS: Final = Resource("/api/v1", "pods", namespaced=True)
EVENTS: Final = Resource("/apis/events.k8s.io/v1", "events", namespaced=True)
ENI_CONFIGS: Final = Resource("/apis/crd.k8s.amazonaws.com/v1alpha1", "eniconfigs")
CNI_NODES: Final = Resource("/apis/vpcresources.k8s.aws/v1alpha1", "cninodes")

CALLS: Final[Mapping[str, frozenset[tuple[str, Resource]]]] = {
    "": frozenset({("list", NODES), ("watch", NODES), ("create", EVENTS)}),
    "ANNOTATE_POD_IP": frozenset({("patch", PODS)}),
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": frozenset({("list", ENI_CONFIGS), ("watch", ENI_CONFIGS)}),
    "VPCCNI_NODE_CONDITION": frozenset({("patch", NODE_STATUS)}),
    "ENABLE_POD_ENI": frozenset(
        {
            ("get", PODS),
            ("list", PODS),
            ("watch", PODS),
            ("patch", NODES),
            ("get", CNI_NODES),
            ("patch", CNI_NODES),
        }
    ),
}
"""Setting -> (verb, resource) that it needs; "": always. The chart's ClusterRole is held against this."""
_DECLARED: Final = frozenset().union(*CALLS.values())


class KubernetesApi:
    """Every method raises ReasonError(KUBERNETES_UNREACHABLE) when there is no answer, or it refuses us."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        """None: there is no such object."""
        path = _path("get", resource, namespace, name)
        reply = await self._http.call("GET", path)
        if reply.status == 404:
            return None
        _need(reply.status == 200, path, reply.status, reply.message)
        found: dict[str, Any] = reply.json()
        return found

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> None:
        path = _path("create", resource, namespace)
        reply = await self._http.call("POST", path, body)
        _need(reply.status in (200, 201, 202, 409), path, reply.status, reply.message)

    async def patch(
        self, resource: Resource, name: str, body: object, namespace: str = "", *, kind: str = MERGE
    ) -> bool:
        """False: the object is gone, is another one by now, or is not as the patch's tests demand."""
        path = _path("patch", resource, namespace, name)
        reply = await self._http.call("PATCH", path, body, kind=kind)
        if reply.status in (404, 409, 422):
            return False
        _need(reply.status == 200, path, reply.status, reply.message)
        return True

    def watch(
        self,
        resource: Resource,
        selector: Mapping[str, str],
        keep: Callable[[Mapping[str, Any]], T],
        changed: Callable[[Mapping[tuple[str, str], T]], None],
        state: Callable[[ReasonError | None], Awaitable[None]],
    ) -> Watch[T]:
        """All of them in all namespaces that match ``selector``; the caller runs it."""
        _path("watch", resource)
        return Watch(self._http, _path("list", resource), selector, keep, changed, state)


def _need(met: bool, path: str, status: int, message: str) -> None:
    if not met:
        raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{path}: HTTP {status}: {message}")


def _path(verb: str, resource: Resource, namespace: str = "", name: str = "") -> str:
    assert (verb, resource) in _DECLARED, f"{verb} {resource.plural} is not in CALLS"
    middle = f"/namespaces/{quote(namespace, safe='')}" if namespace and resource.namespaced else ""
    of_name = f"/{quote(name, safe='')}" if name else ""
    return f"{resource.base}{middle}/{resource.plural}{of_name}" + (f"/{resource.part}" if resource.part else "")
