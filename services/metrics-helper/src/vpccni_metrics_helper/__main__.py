"""Composition root: ``python -m vpccni_metrics_helper``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import logs
from vpccni_kit import settings as kit_settings

from vpccni_metrics_helper import settings as own
from vpccni_metrics_helper.adapters.exposition import ClusterCollector
from vpccni_metrics_helper.adapters.kube import Api, KubeCluster, in_cluster
from vpccni_metrics_helper.collect import Collect
from vpccni_metrics_helper.ports import CloudWatch

SERVICE: Final = "cni-metrics-helper"
log = logging.getLogger(SERVICE)


def run(values: kit_settings.Values, stop: threading.Event) -> None:
    """Until ``stop``. Raises ReasonError(CONFIG_INVALID) when neither output is on."""
    if not values[own.USE_CLOUDWATCH] and not values[own.USE_PROMETHEUS]:
        raise ReasonError(
            Reason.CONFIG_INVALID, "USE_CLOUDWATCH and USE_PROMETHEUS are both false; allowed: one or both"
        )
    api = Api(values[own.API_URL]) if values[own.API_URL] else in_cluster(os.environ)
    collect = Collect(KubeCluster(api, values[own.NAMESPACE], values[own.SELECTOR]), _cloudwatch(values))
    if values[own.USE_PROMETHEUS]:
        registry = CollectorRegistry()
        registry.register(ClusterCollector(collect))
        server, thread = start_http_server(values[own.PORT], registry=registry)
        try:
            collect.run(values[own.INTERVAL], stop)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    else:
        collect.run(values[own.INTERVAL], stop)


def _cloudwatch(values: kit_settings.Values) -> CloudWatch | None:
    if not values[own.USE_CLOUDWATCH]:
        return None
    from vpccni_metrics_helper.adapters.cloudwatch import CloudWatchApi  # 30 MB that Prometheus users do not need

    return CloudWatchApi(values[own.CLUSTER_ID], values[own.REGION])


def main() -> int:
    values = kit_settings.read(own.ALL, os.environ)
    logs.setup(SERVICE, values[own.LOG_LEVEL], "stderr")
    for bad in values.bad:
        log.warning("setting: %s", bad, extra={"reason": "CONFIG_INVALID"})
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(values, stop)
    except (ReasonError, OSError) as error:
        log.critical("%s does not start: %s", SERVICE, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
