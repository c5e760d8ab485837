"""The verbs on a network configuration list, in the order and with the inputs that libcni uses.

Every call runs plugins in the calling thread's namespaces: call it from a thread inside the node (``Node.pool``).
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.runtime import conflist
from vpccni_lab.runtime.cache import ResultCache
from vpccni_lab.runtime.conflist import Attachment, ConfList
from vpccni_lab.runtime.invoke import CniError, Execution, execute, result_of

PLUGIN_DIR: Final = "/opt/cni/bin"
CACHE_DIR: Final = Path("/var/lib/cni")


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """``result``: the last plugin's (ADD), else None. ``executions``: every plugin that ran, in order."""

    result: dict[str, Any] | None
    executions: tuple[Execution, ...]

    @property
    def seconds(self) -> float:
        """Time in plugin processes."""
        return sum(execution.seconds for execution in self.executions)


class CniNetwork:
    """One network. ``env``: added to each plugin's environment. ``timeout``: seconds for one plugin."""

    def __init__(
        self,
        conf: ConfList,
        *,
        plugin_dirs: Iterable[str] = (PLUGIN_DIR,),
        cache_dir: Path = CACHE_DIR,
        env: Mapping[str, str] | None = None,
        timeout: float = 90.0,
    ) -> None:
        self.conf = conf
        self.cache = ResultCache(cache_dir)
        self._dirs = tuple(plugin_dirs)
        self._env = dict(env or {})
        self._timeout = timeout
        self._found: dict[str, str] = {}

    def add(self, attachment: Attachment, env: Mapping[str, str] | None = None) -> Outcome:
        """ADD of all plugins in order, each with the one before's result; then the result is cached.

        Raises CniError of the plugin that failed. The runtime is expected to call ``delete`` then; this does not.
        """
        result: dict[str, Any] | None = None
        ran = []
        for plugin in self.conf.plugins:
            config = conflist.plugin_config(self.conf, plugin, attachment, result)
            ran.append(self._run("ADD", plugin, config, attachment, env))
            result = result_of(ran[-1])
            if result is None:
                raise CniError(ran[-1], 0, "printed no result")
        if result is not None:
            self.cache.save(self.conf, attachment, result, self._stored_config())
        return Outcome(result, tuple(ran))

    def delete(self, attachment: Attachment, env: Mapping[str, str] | None = None) -> Outcome:
        """DEL of all plugins in reverse order, each with the cached result; then the cache forgets.

        Raises CniError of the first plugin that fails; the rest is not called and the cache keeps the result, as with libcni.
        """
        cached = self.cache.load(self.conf, attachment) if self.conf.at_least("0.4.0") else None
        ran = []
        for plugin in reversed(self.conf.plugins):
            config = conflist.plugin_config(self.conf, plugin, attachment, cached)
            ran.append(self._run("DEL", plugin, config, attachment, env))
            result_of(ran[-1])
        self.cache.drop(self.conf, attachment)
        return Outcome(None, tuple(ran))

    def check(self, attachment: Attachment) -> Outcome:
        """CHECK of all plugins in order. Nothing is called when the list sets disableCheck.

        Raises ReasonError REQUEST_INVALID below version 0.4.0, UNKNOWN_POD without a cached result; CniError.
        """
        if not self.conf.at_least("0.4.0"):
            raise ReasonError(
                Reason.REQUEST_INVALID, f"cniVersion {self.conf.cni_version} has no CHECK; it came with 0.4.0"
            )
        if self.conf.disable_check:
            return Outcome(None, ())
        cached = self.cache.load(self.conf, attachment)
        if cached is None:
            raise ReasonError(Reason.UNKNOWN_POD, f"{attachment.container_id}: no cached result of an ADD to check")
        return self._each(
            "CHECK", lambda plugin: conflist.plugin_config(self.conf, plugin, attachment, cached), attachment
        )

    def gc(self, valid: Iterable[Attachment]) -> Outcome:
        """GC: cached attachments that are not listed are deleted, then (from 1.1.0) plugins drop what they still hold.

        Does nothing when the list sets disableGC. Raises CniError.
        """
        if self.conf.disable_gc:
            return Outcome(None, ())
        keep = list(valid)
        keys = {(a.container_id, a.ifname) for a in keep}
        ran: list[Execution] = []
        for cached in list(self.cache.all(self.conf.name)):
            if (cached.attachment.container_id, cached.attachment.ifname) not in keys:
                ran += self.delete(cached.attachment).executions
        if self.conf.at_least("1.1.0"):
            ran += self._each("GC", lambda plugin: conflist.gc_config(self.conf, plugin, keep)).executions
        return Outcome(None, tuple(ran))

    def status(self) -> Outcome:
        """STATUS of all plugins in order; below 1.1.0 there is none and nothing is called. Raises CniError."""
        if not self.conf.at_least("1.1.0"):
            return Outcome(None, ())
        return self._each("STATUS", lambda plugin: conflist.plugin_config(self.conf, plugin, None, None))

    def versions(self, plugin_type: str) -> tuple[str, ...]:
        """The versions that a plugin says it supports. Raises CniError; CONFIG_INVALID when it is not installed."""
        config = {"cniVersion": self.conf.cni_version, "name": self.conf.name, "type": plugin_type}
        answer = result_of(self._run("VERSION", config, config, None, None)) or {}
        return tuple(answer.get("supportedVersions", ()))

    def validate(self) -> None:
        """Checks that every plugin is there and supports the list's version. Raises ReasonError CONFIG_INVALID."""
        for plugin in self.conf.plugins:
            known = self.versions(plugin["type"])
            if self.conf.cni_version not in known:
                raise ReasonError(
                    Reason.CONFIG_INVALID,
                    f"cniVersion {self.conf.cni_version} of network {self.conf.name}: "
                    f"plugin {plugin['type']} supports {', '.join(known)}",
                )

    def _each(self, command: str, config_of: Any, attachment: Attachment | None = None) -> Outcome:
        ran = []
        for plugin in self.conf.plugins:
            ran.append(self._run(command, plugin, config_of(plugin), attachment, None))
            result_of(ran[-1])
        return Outcome(None, tuple(ran))

    def _run(
        self,
        command: str,
        plugin: Mapping[str, Any],
        config: Mapping[str, Any],
        attachment: Attachment | None,
        env: Mapping[str, str] | None,
    ) -> Execution:
        full = {"CNI_PATH": ":".join(self._dirs), **self._env, **(env or {})}
        if attachment is not None:
            full |= {
                "CNI_CONTAINERID": attachment.container_id,
                "CNI_NETNS": attachment.netns,
                "CNI_IFNAME": attachment.ifname,
                "CNI_ARGS": attachment.cni_args,
            }
        return execute(self._find(plugin["type"]), command, full, json.dumps(config).encode(), self._timeout)

    def _find(self, plugin_type: str) -> str:
        path = self._found.get(plugin_type)
        if path is None:
            candidates = (os.path.join(directory, plugin_type) for directory in self._dirs)
            path = next((candidate for candidate in candidates if os.access(candidate, os.X_OK)), None)
            if path is None:
                raise ReasonError(Reason.CONFIG_INVALID, f"plugin {plugin_type} is not in {':'.join(self._dirs)}")
            self._found[plugin_type] = path
        return path

    def _stored_config(self) -> bytes:
        return json.dumps(
            {"cniVersion": self.conf.cni_version, "name": self.conf.name, "plugins": list(self.conf.plugins)}
        ).encode()
