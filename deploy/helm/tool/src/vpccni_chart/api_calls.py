"""Which EC2 actions and which calls of the Kubernetes API the services' code contains, found in its syntax trees."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from botocore.loaders import Loader
from kubernetes import client

REPO: Final = Path(__file__).resolve().parents[5]
ENI_MANAGER: Final = REPO / "services/eni-manager/src/vpccni_eni_manager"
WITH_TOKEN: Final = (REPO / "services/ipam/src/vpccni_ipam", REPO / "deploy/install/src/vpccni_install")
"""The packages that run in the one container with a service account token."""

# A method of CoreV1Api and friends: verb, then the resource.
_METHOD: Final = re.compile(
    r"(read|list|patch|create|replace|delete)_(?:namespaced_)?(.+?)(?:_for_all_namespaces)?"
    r"(?:_without_preload_content|_with_http_info)?"
)
_VERBS: Final = {"read": "get", "replace": "update"}
_HTTP: Final = {"GET": "get", "PATCH": "patch", "POST": "create", "PUT": "update", "DELETE": "delete"}


def _trees(package: Path) -> Iterator[ast.AST]:
    for path in sorted(package.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def _ec2_operations() -> frozenset[str]:
    return frozenset(Loader().load_service_model("ec2", "service-2")["operations"])


def ec2_actions(package: Path = ENI_MANAGER) -> frozenset[str]:
    """Names of EC2 actions that are arguments of a call somewhere in the package."""
    found: set[str] = set()
    for tree in _trees(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return frozenset(found & _ec2_operations())


def kubernetes_calls() -> frozenset[tuple[str, str]]:
    """(verb, resource) of every call that the code with the token makes: by the client's methods, or by method and path."""
    found: set[tuple[str, str]] = set()
    for package in WITH_TOKEN:
        for tree in _trees(package):
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    found |= _client_call(node.attr)
            found |= _http_calls(tree)
    return frozenset(found)


def _client_call(name: str) -> set[tuple[str, str]]:
    method = _METHOD.fullmatch(name)
    apis = (client.CoreV1Api, client.EventsV1Api, client.AppsV1Api)
    if method is None or not any(hasattr(api, name) for api in apis):
        return set()
    resource = {"event": "events", "node_status": "nodes/status"}.get(method[2], f"{method[2]}s")
    return {(_VERBS.get(method[1], method[1]), resource)}


def _http_calls(tree: ast.AST) -> set[tuple[str, str]]:
    """``api.call("PATCH", …)`` in a module that names a path below /api/v1/ or /apis/."""
    verbs: set[str] = set()
    resources: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node.value in _HTTP:
            verbs.add(_HTTP[node.value])
        if path := re.match(r"/api/v1/(?:namespaces/[^/]*/)?([a-z]+)", node.value):
            resources.add(path[1])
    return {(verb, resource) for verb in verbs for resource in resources}
