"""Our own /metrics: the cluster's numbers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from vpccni_kit.metrics import counter_as_named

from vpccni_metrics_helper.collect import Collect


class ClusterCollector:
    """Shows the last round."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for item, value in self._collect.shown.items():
            if item.prometheus:
                yield GaugeMetricFamily(item.prometheus, item.help, value=value)
        last = self._collect.last
        yield GaugeMetricFamily(
            "vpccni_cluster_nodes", "Nodes whose metrics are in these numbers", value=len(last.nodes)
        )
        yield GaugeMetricFamily(
            "vpccni_cluster_nodes_unreachable", "aws-node pods that run and did not answer", value=len(last.failed)
        )
        failures = Metric("vpccni_cluster_send_failures_total", "Messages that CloudWatch did not take", "gauge")
        failures.add_sample("vpccni_cluster_send_failures_total", {}, self._collect.send_failures)
        yield counter_as_named(failures)
