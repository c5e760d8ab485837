"""Which EC2 actions the code contains, and which calls of the Kubernetes API it declares."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from botocore.loaders import Loader
from vpccni_install import settings as install
from vpccni_ipam.adapters.kubernetes_api import CALLS, Resource

REPO: Final = Path(__file__).resolve().parents[5]
ENI_MANAGER: Final = REPO / "services/eni-manager/src/vpccni_eni_manager"
INSTALL: Final = REPO / "deploy/install/src/vpccni_install"
_HTTP: Final = {"GET": "get", "PATCH": "patch", "POST": "create", "PUT": "update", "DELETE": "delete"}

Call = tuple[str, str, str]
"""Verb, API group (empty: the core), resource."""


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


def kubernetes_calls() -> dict[str, frozenset[Call]]:
    """Setting -> what the code with the service account's token calls when it is on; "": always.

    ipam declares its calls and can make no others; the installer's, which take the start-up taint off, are found in its code.
    """
    calls = {
        setting: frozenset(_call(verb, resource) for verb, resource in needed) for setting, needed in CALLS.items()
    }
    installer = {call for tree in _trees(INSTALL) for call in _http_calls(tree)}
    return calls | {install.STARTUP_TAINT.name: frozenset(installer)}


def _call(verb: str, resource: Resource) -> Call:
    path = resource.base.split("/")  # ["", "api", version] or ["", "apis", group, version]
    return (
        verb,
        path[2] if path[1] == "apis" else "",
        f"{resource.plural}/{resource.part}" if resource.part else resource.plural,
    )


def _http_calls(tree: ast.AST) -> set[Call]:
    """``api.call("PATCH", …)`` in a module that names a path below /api/v1/."""
    verbs: set[str] = set()
    resources: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node.value in _HTTP:
            verbs.add(_HTTP[node.value])
        if path := re.match(r"/api/v1/(?:namespaces/[^/]*/)?([a-z]+)", node.value):
            resources.add(path[1])
    return {(verb, "", resource) for verb in verbs for resource in resources}
