"""Custom networking: which ENIConfig is the node's, and what it says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.eni_config import EniConfig
from vpccni_ipam.domain.node_state import eni_config_name
from vpccni_ipam.node_state import OwnNode

log = logging.getLogger(__name__)
Found = EniConfig | ReasonError


class EniConfigs:
    """``annotation`` and ``label``: keys on the node. ``changed``: called when the node's ENIConfig may be another one."""

    def __init__(self, node: OwnNode, annotation: str, label: str, changed: Callable[[], None]) -> None:
        self._node = node
        self._annotation = annotation
        self._label = label
        self._changed = changed
        self._found: Mapping[str, Found] | None = None

    def take(self, found: Mapping[str, Found]) -> None:
        """All there are, by name; what is malformed is there with its error."""
        if self._found == found:
            return
        self._found = dict(found)
        log.info("ENIConfigs: %s", ", ".join(sorted(found)) or "none")
        self._changed()

    @property
    def name(self) -> str:
        """Name of the node's ENIConfig; empty while the node is not known."""
        state = self._node.state
        return eni_config_name(state, self._annotation, self._label) if state else ""

    def profile(self) -> EniConfig:
        """Raises ReasonError: ENI_CONFIG_MISSING, ENI_CONFIG_INVALID, or KUBERNETES_UNREACHABLE while it is not known."""
        name = self.name
        if not name or self._found is None:
            missing = "the node's labels and annotations" if not name else "the ENIConfigs"
            raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"custom networking: {missing} are not known yet")
        found = self._found.get(name)
        if found is None:
            others = ", ".join(sorted(self._found)) or "none"
            raise ReasonError(
                Reason.ENI_CONFIG_MISSING,
                f"ENIConfig {name} does not exist (there are: {others}); the node names it by label or annotation",
            )
        if isinstance(found, ReasonError):
            raise found
        return found
