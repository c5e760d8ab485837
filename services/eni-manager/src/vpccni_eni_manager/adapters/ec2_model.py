"""A cut of botocore's EC2 model: the actions that we call and nothing else.

The whole model costs a process some 13 MB for its life (750 actions); parsing it once is enough to fragment the heap. So
a short-lived child process writes the cut into the state directory (or the image build does, ahead), and the service
loads only that. Without it everything works, with more memory.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any, Final

API_VERSION: Final = "2016-11-15"
ACTIONS: Final = (
    "AssignIpv6Addresses",
    "AssignPrivateIpAddresses",
    "AttachNetworkInterface",
    "CreateNetworkInterface",
    "CreateTags",
    "DeleteNetworkInterface",
    "DescribeInstanceTypes",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "DetachNetworkInterface",
    "ModifyNetworkInterfaceAttribute",
    "UnassignIpv6Addresses",
    "UnassignPrivateIpAddresses",
)


def cut(model: dict[str, Any]) -> dict[str, Any]:
    """The model with our actions, the shapes that they reach, and no documentation."""
    operations = {name: model["operations"][name] for name in ACTIONS}
    shapes: dict[str, Any] = {}
    to_visit = list(_shape_names(operations))
    while to_visit:
        name = to_visit.pop()
        if name not in shapes:
            shapes[name] = model["shapes"][name]
            to_visit.extend(_shape_names(shapes[name]))
    plain = _without_documentation({"operations": operations, "shapes": shapes})
    return {"version": model["version"], "metadata": model["metadata"], **plain}


def _shape_names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("shape"), str):
            yield node["shape"]
        for value in node.values():
            yield from _shape_names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _shape_names(value)


def _without_documentation(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_documentation(value) for key, value in node.items() if key != "documentation"}
    if isinstance(node, list):
        return [_without_documentation(value) for value in node]
    return node


def data_path(directory: str, botocore_version: str) -> pathlib.Path:
    """A botocore data path below ``directory``; its name changes with botocore and with the list of actions."""
    return pathlib.Path(directory) / f"botocore-{botocore_version}-{zlib.crc32(' '.join(ACTIONS).encode()):08x}"


def model_file(path: pathlib.Path) -> pathlib.Path:
    return path / "ec2" / API_VERSION / "service-2.json"


def write(directory: str) -> None:
    """Writes the cut (atomically). Raises OSError, or botocore's error when it has no such model."""
    import botocore
    from botocore.loaders import Loader

    target = model_file(data_path(directory, botocore.__version__))
    target.parent.mkdir(parents=True, exist_ok=True)
    model = Loader(include_default_search_paths=True).load_service_model("ec2", "service-2", API_VERSION)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as made:
        json.dump(cut(model), made)
    os.replace(made.name, target)


if __name__ == "__main__":
    write(sys.argv[1])
