"""CNI results: ipam's answer printed for the runtime, and the runtime's prevResult read back."""

from __future__ import annotations

from vpccni_plugin.errors import PluginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vpccni_plugin.jsonlite import Json
    from vpccni_plugin.protowire import Message


def render(result: Message, cni_version: str) -> dict[str, Json]:
    """The object to print for an ADD. ``result``: a decoded CniResult; its "mac" fields are the original's (a table)."""
    interfaces = [
        {key: item[key] for key in ("name", "mac", "sandbox") if item[key] or key == "name"}
        for item in result["interfaces"]
    ]
    ips: list[Json] = []
    for item in result["ips"]:
        entry: dict[str, Json] = {}
        if cni_version.startswith("0."):
            entry["version"] = "6" if ":" in item["address"] else "4"
        entry["interface"] = item["interface"]
        entry["address"] = item["address"]
        if item["gateway"]:
            entry["gateway"] = item["gateway"]
        ips.append(entry)
    return {"cniVersion": cni_version, "interfaces": interfaces, "ips": ips, "dns": {}}


def parse_prev_result(raw: Mapping[str, Json]) -> Message | None:
    """``prevResult`` of a configuration as a CniResult message; None when there is none.

    The fields that we use are the same in every version from 0.3.0 to 1.1.0 ("version" of an address came and went).
    Raises PluginError when it has another shape.
    """
    prev = raw.get("prevResult")
    if prev is None:
        return None
    if not isinstance(prev, dict):
        raise _malformed("", prev, "an object")
    interfaces = [
        {
            "name": _string(item, "name", "interfaces"),
            "mac": _string(item, "mac", "interfaces"),
            "sandbox": _string(item, "sandbox", "interfaces"),
        }
        for item in _objects(prev, "interfaces")
    ]
    ips: list[Message] = []
    for item in _objects(prev, "ips"):
        index = item.get("interface")
        if index is None:
            # Without an index the address belongs to no interface that we could have made.
            continue
        if type(index) is not int or not 0 <= index < len(interfaces):
            raise _malformed("ips[].interface", index, f"an index into the {len(interfaces)} interfaces")
        address = _string(item, "address", "ips")
        if not address:
            raise _malformed("ips[].address", "", "an address in CIDR notation")
        ips.append({"address": address, "gateway": _string(item, "gateway", "ips"), "interface": index})
    return {"interfaces": interfaces, "ips": ips}


def _objects(prev: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    found = prev.get(field)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _malformed(field, found, "a list of objects")
    return found


def _string(item: Mapping[str, Any], key: str, field: str) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _malformed(f"{field}[].{key}", value, "a string")
    return value


def _malformed(field: str, value: object, allowed: str) -> PluginError:
    name = f"prevResult.{field}".rstrip(".")
    return PluginError("CONFIG_INVALID", f"{name} is {str(value)[:80]!r}; allowed: {allowed}")
