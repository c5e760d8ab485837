"""Network configuration lists and what each plugin gets on its stdin. Pure. Source of every rule: CNI specification 1.1."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

SUPPORTED: Final = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Versions of the specification that this runtime speaks, oldest first."""

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ConfList:
    """One network. ``cni_version`` is the version that was settled on."""

    name: str
    cni_version: str
    plugins: tuple[Json, ...]
    disable_check: bool = False
    disable_gc: bool = False

    def at_least(self, version: str) -> bool:
        """Whether the list's version is ``version`` or newer."""
        return _key(self.cni_version) >= _key(version)


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of one sandbox. ``netns``: path as the node knows it. ``args``: pairs of CNI_ARGS, in order.

    ``capability_args``: capability name -> value; a plugin gets those that it declares (specification, section 3,
    "Deriving runtimeConfig").
    """

    container_id: str
    netns: str
    ifname: str = "eth0"
    args: tuple[tuple[str, str], ...] = ()
    capability_args: Json = dataclasses.field(default_factory=dict)

    @property
    def cni_args(self) -> str:
        return ";".join(f"{key}={value}" for key, value in self.args)


def parse(text: str | bytes) -> ConfList:
    """Parses a conflist (or a single plugin's configuration). Raises ReasonError CONFIG_INVALID naming the field."""
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise _invalid(f"network configuration is not JSON: {exc}") from exc
    if not isinstance(data, dict):
        raise _invalid("network configuration must be a JSON object")
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise _invalid(f"name = {name!r}: a network needs a name")
    if "plugins" not in data and "type" in data:
        data = {**data, "plugins": [{k: v for k, v in data.items() if k not in ("name", "cniVersion")}]}
    plugins = data.get("plugins")
    if not isinstance(plugins, list) or not plugins:
        raise _invalid(f"plugins of network {name}: at least one is needed")
    for number, plugin in enumerate(plugins):
        if not isinstance(plugin, dict) or not isinstance(plugin.get("type"), str) or "/" in plugin["type"]:
            raise _invalid(f"plugins[{number}].type of network {name}: must be the name of a plugin program")
    return ConfList(
        name=name,
        cni_version=_settle(name, data),
        plugins=tuple(plugins),
        disable_check=_flag(data, "disableCheck"),
        disable_gc=_flag(data, "disableGC"),
    )


def _settle(name: str, data: Json) -> str:
    """The highest version that both the list (cniVersion and cniVersions) and this runtime know."""
    offered = [data.get("cniVersion", "0.3.0"), *data.get("cniVersions", [])]
    both = [version for version in offered if version in SUPPORTED]
    if not both:
        raise _invalid(f"cniVersion of network {name} = {offered!r}: this runtime knows {', '.join(SUPPORTED)}")
    return str(max(both, key=_key))


def _flag(data: Json, field: str) -> bool:
    value = data.get(field, False)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise _invalid(f"{field} = {value!r}: must be true or false")


def plugin_config(
    conf: ConfList, plugin: Json, attachment: Attachment | None, prev_result: Json | None
) -> dict[str, Any]:
    """What one plugin of the list is given on stdin."""
    config = {key: value for key, value in plugin.items() if key not in ("capabilities", "prevResult", "runtimeConfig")}
    config["name"] = conf.name
    config["cniVersion"] = conf.cni_version
    declared = plugin.get("capabilities", {})
    if attachment is not None and declared:
        wanted = {k: v for k, v in attachment.capability_args.items() if declared.get(k)}
        if wanted:
            config["runtimeConfig"] = wanted
    if prev_result is not None:
        config["prevResult"] = prev_result
    return config


def gc_config(conf: ConfList, plugin: Json, valid: list[Attachment]) -> dict[str, Any]:
    """What one plugin is given for GC: the attachments that are to stay."""
    config = plugin_config(conf, plugin, None, None)
    config["cni.dev/valid-attachments"] = [{"containerID": a.container_id, "ifname": a.ifname} for a in valid]
    return config


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _invalid(message: str) -> ReasonError:
    return ReasonError(Reason.CONFIG_INVALID, message)
