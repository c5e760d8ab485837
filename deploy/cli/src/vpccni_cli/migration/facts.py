"""What this version does with each environment variable: data/settings.json, generated from the services' declarations."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from vpccni_cli.migration.original_env import ORIGINAL


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """See vpccni_chart.__main__, which writes the file."""

    settings: Mapping[str, Mapping[str, Any]]
    combinations: tuple[Mapping[str, Any], ...]
    defaults: Mapping[str, str]
    chart_sets: Mapping[str, str]
    free: re.Pattern[str]

    def knows(self, name: str) -> bool:
        return name in self.settings

    def readers(self, name: str) -> tuple[str, ...]:
        """Containers that read it; none for a variable of the original that this version does not have."""
        return tuple(self.settings[name]["services"]) if name in self.settings else ()

    def without_effect(self, name: str, value: str) -> bool:
        """This version reads the variable and does nothing with it yet, and the value asks for something."""
        variable = ORIGINAL.get(name)
        usual = (variable.default, *variable.harmless) if variable else ()
        unset = value.lower() in ("0", "f") and variable is not None and variable.default == "false"
        return bool(self.settings[name].get("notYet")) and not unset and value.lower() not in usual

    def problem(self, name: str, value: str) -> str:
        """Why the services or the chart would not take this value; empty when they do. An empty value is unset."""
        if not value:
            return ""
        for check in self.settings[name]["checks"]:
            if (re.search(check["pattern"], value) is None) is not bool(check.get("negated")):
                return str(check["message"])
        return ""

    def impossible(self, env: Mapping[str, str]) -> list[str]:
        """Messages of the combinations that cannot work, in ipam's words."""
        return [str(case["message"]) for case in self.combinations if self._holds(case["when"], env)]

    def _holds(self, when: Mapping[str, str], env: Mapping[str, str]) -> bool:
        return all(_normal(env.get(name) or self.defaults[name], wanted) == wanted for name, wanted in when.items())


def _normal(value: str, wanted: str) -> str:
    """The spelling that the cases use: true, false, and 0 for any count that is not positive."""
    if wanted in ("true", "false"):
        return "true" if value in ("1", "t", "T", "TRUE", "true", "True") else "false"
    return "0" if re.fullmatch(r"-[0-9]+|\+?0+", value) else value


@functools.cache
def load() -> Facts:
    text = resources.files("vpccni_cli").joinpath("data/settings.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    return Facts(
        settings=raw["settings"],
        combinations=tuple(raw["combinations"]),
        defaults=raw["defaults"],
        chart_sets=raw["chartSets"],
        free=re.compile(raw["free"]),
    )


def default_of(name: str) -> str:
    """What the original does when the variable is unset; empty for a variable that it does not have."""
    return ORIGINAL[name].default if name in ORIGINAL else ""
