"""What ipam shows on HTTP: /metrics, the introspection pages of the original, and the node page."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics
from vpccni_kit.settings import Values

from vpccni_ipam import settings as s
from vpccni_ipam.adapters.introspection import Introspection, Page, enis_page
from vpccni_ipam.adapters.metrics import PoolCollector, install
from vpccni_ipam.adapters.node_page import node_page
from vpccni_ipam.figures import Ec2Figures, Figures
from vpccni_ipam.inspect import Inspect
from vpccni_ipam.recent import RecentAdds
from vpccni_ipam.tally import Tally

_EC2_S: Final = 2.0
log = logging.getLogger("vpccni_ipam")


class Pages:
    """One per process. ``eni_config``: name of the ENIConfig in use. A taken port is said and does not stop the node."""

    def __init__(
        self,
        values: Values,
        inspect: Inspect,
        recent: RecentAdds,
        tally: Tally,
        figures: Callable[[], Figures],
        ec2: Callable[[float], Awaitable[Ec2Figures]],
        eni_config: Callable[[], str],
    ) -> None:
        self._values = values
        self._inspect = inspect
        self._recent = recent
        self._tally = tally
        self._figures = figures
        self._ec2 = ec2
        self._eni_config = eni_config

    def serve_metrics(self, metrics: Metrics, health: HealthBoard, collector: PoolCollector) -> None:
        if self._values[s.DISABLE_METRICS]:
            return
        metrics.watch_health(health)
        install(metrics, collector, self._tally)
        try:
            metrics.serve(self._values[s.METRICS_PORT])
        except OSError as error:
            log.error("no /metrics: port %d: %s", self._values[s.METRICS_PORT], error)

    async def serve_introspection(self) -> Callable[[], Awaitable[None]] | None:
        """What closes it; None: it is not served."""
        if self._values[s.DISABLE_INTROSPECTION]:
            return None
        address = self._values[s.INTROSPECTION_BIND_ADDRESS]
        introspection = Introspection(address, self._json_pages(), self._node_page)
        try:
            await introspection.start()
        except (OSError, ValueError) as error:
            log.error("no introspection: %s: %s", address, error)
            return None
        return introspection.close

    async def _node_page(self) -> str:
        name, settings = self._values[s.MY_NODE_NAME], self._values.as_text()
        ec2: Ec2Figures | ReasonError
        try:
            ec2 = await self._ec2(_EC2_S)
        except ReasonError as error:
            ec2 = error
        return node_page(self._inspect(), name, settings, self._figures(), ec2, self._recent.records, time.time())

    def _json_pages(self) -> dict[str, Page]:
        values = self._values
        return {
            "/v1/enis": lambda: enis_page(self._inspect()),
            "/v1/eni-configs": self._eni_config,
            "/v1/networkutils-env-settings": lambda: {x.name: str(values[x]) for x in s.NETWORK_SETTINGS},
            "/v1/ipamd-env-settings": lambda: {x.name: str(values[x]) for x in s.POOL_SETTINGS},
        }
