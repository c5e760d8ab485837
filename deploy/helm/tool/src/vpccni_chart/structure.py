"""Is a rendered object of a form that the API server takes? Held against the models of the Kubernetes client.

Unknown and missing fields and wrong types are found, at any depth; what needs the server (admission, defaults) is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from kubernetes import client

_MODELS: Final = {
    "ServiceAccount": "V1ServiceAccount",
    "ConfigMap": "V1ConfigMap",
    "ClusterRole": "V1ClusterRole",
    "ClusterRoleBinding": "V1ClusterRoleBinding",
    "DaemonSet": "V1DaemonSet",
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "Job": "V1Job",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "Pod": "V1Pod",
    "CustomResourceDefinition": "V1CustomResourceDefinition",
}
_SCALARS: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "datetime": (str,),
}


def problems(thing: dict[str, Any]) -> list[str]:
    """What is wrong, each with its path; empty when all is well. A kind that is not of Kubernetes itself: one problem."""
    kind = str(thing.get("kind"))
    if kind not in _MODELS:
        return [f"{kind}: not a kind that this knows"]
    return list(_model(thing, _MODELS[kind], kind))


def _model(value: Any, name: str, path: str) -> Iterator[str]:
    model = getattr(client, name)
    if not isinstance(value, dict):
        yield f"{path}: {type(value).__name__}, not an object"
        return
    attributes = {json_name: python_name for python_name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        if key not in attributes:
            yield f"{path}.{key}: no such field"
        elif item is not None:
            yield from _value(item, model.openapi_types[attributes[key]], f"{path}.{key}")
    given = {attributes[key]: item for key, item in value.items() if key in attributes}
    try:
        model(**given)  # its setters refuse a required field that is None
    except ValueError as error:
        yield f"{path}: {error}"


def _value(value: Any, declared: str, path: str) -> Iterator[str]:
    if declared == "object":
        return
    if item := re.fullmatch(r"(?:List|list)\[(.*)\]", declared):
        if not isinstance(value, list):
            yield f"{path}: {type(value).__name__}, not a list"
            return
        for index, element in enumerate(value):
            yield from _value(element, item[1], f"{path}[{index}]")
    elif item := re.fullmatch(r"(?:Dict|dict)[\[(]str, (.*)[\])]", declared):
        if not isinstance(value, dict):
            yield f"{path}: {type(value).__name__}, not an object"
            return
        for key, element in value.items():
            yield from _value(element, item[1], f"{path}.{key}")
    elif declared in _SCALARS:
        # bool is an int in Python, not in JSON
        if not isinstance(value, _SCALARS[declared]) or (isinstance(value, bool) and declared != "bool"):
            yield f"{path}: {value!r} is not of type {declared}"
    else:
        yield from _model(value, declared, path)
