"""Instance limits without EC2: what EC2 said before (a file in the state directory), and the table in the package."""

from __future__ import annotations

import importlib.resources
import logging
import pathlib

from vpccni_eni_manager.adapters.journal import write_durably
from vpccni_eni_manager.domain import limits as rules
from vpccni_eni_manager.domain.model import InstanceLimits

log = logging.getLogger(__name__)


class FileLimitsCache:
    """Implements ports.LimitsCache. A cache that cannot be read or written costs a call to EC2, nothing else."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def cached(self, instance_type: str) -> InstanceLimits | None:
        try:
            name, found = rules.from_line(self._path.read_text(), "cache")
        except (OSError, ValueError):
            return None
        return found if name == instance_type else None

    def remember(self, instance_type: str, limits: InstanceLimits) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, rules.to_line(instance_type, limits) + "\n")
        except OSError as error:
            log.warning("limits cache %s: %s", self._path, error.strerror)

    def shipped(self, instance_type: str) -> InstanceLimits | None:
        """Reads the table line by line: keeping 1,400 types in memory for one look-up would be waste."""
        table = importlib.resources.files("vpccni_eni_manager").joinpath("data/instance_limits.txt")
        with table.open("r", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith(f"{instance_type} "):
                    return rules.from_line(line, "table")[1]
        return None
