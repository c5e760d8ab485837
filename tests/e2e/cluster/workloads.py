"""Kubernetes objects of the tests, as dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.cluster import PROBE

Object = dict[str, Any]


def container(port: int = 8080, host_port: int | None = None) -> Object:
    """A probe that is ready when it answers. ``port``: its own; ``host_port``: the node's, by the portmap plugin."""
    ports: Object = {"containerPort": port, **({"hostPort": host_port} if host_port else {})}
    return {
        "name": "probe",
        "image": PROBE,
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "PROBE_PORT", "value": str(port)},
        ],
        "ports": [ports],
        "readinessProbe": {"httpGet": {"port": port, "path": "/"}, "periodSeconds": 2, "timeoutSeconds": 5},
    }


def pod_spec(containers: list[Object], **more: Any) -> Object:
    return {
        "terminationGracePeriodSeconds": 1,
        "dnsPolicy": "Default",
        "automountServiceAccountToken": False,
        "containers": containers,
        **more,
    }


def pod(
    name: str, *, node: str = "", annotations: Mapping[str, str] | None = None, host_port: int | None = None
) -> Object:
    """One pod, on ``node`` when given."""
    place = {"nodeName": node} if node else {}
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}, "annotations": dict(annotations or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": pod_spec([container(host_port=host_port)], **place),
    }


def deployment(name: str, replicas: int, *, node: str = "") -> Object:
    """Spread evenly over the nodes, or all on ``node``."""
    labels = {"app": name}
    even = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    place: Object = (
        {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {"topologySpreadConstraints": [even]}
    )
    template = {"metadata": {"labels": labels}, "spec": pod_spec([container()], **place)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def host_network(name: str, port: int) -> Object:
    """One probe on each node's own network."""
    labels = {"app": name}
    spec = pod_spec([container(port)], hostNetwork=True, tolerations=[{"operator": "Exists"}])
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def service(name: str, app: str, node_port: int | None = None) -> Object:
    """port 80 -> the probes of ``app``; with ``node_port`` on every node too."""
    port: Object = {"port": 80, "targetPort": 8080, **({"nodePort": node_port} if node_port else {})}
    kind = "NodePort" if node_port else "ClusterIP"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": kind, "selector": {"app": app}, "ports": [port]},
    }
