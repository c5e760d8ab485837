"""The metrics of AWS calls: the original's names, and ours for what it does not show."""

from __future__ import annotations

from vpccni_api.reasons import ReasonError
from vpccni_kit.metrics import Metrics

from vpccni_eni_manager.domain.ec2_errors import Ec2Error


class AwsMetrics:
    """``fn`` and ``api``: EC2 action names. Latency in milliseconds, as the original has it. Implements ports.Counts."""

    def __init__(self, metrics: Metrics) -> None:
        self.requests = metrics.named_counter("awscni_ec2api_req_count", "Requests to EC2", ("fn",))
        self.request_errors = metrics.named_counter("awscni_ec2api_error_count", "Failed requests to EC2", ("fn",))
        self.latency = metrics.summary(
            "awscni_aws_api_latency_ms", "AWS API call latency in ms", ("api", "error", "status")
        )
        self.errors = metrics.named_counter("awscni_aws_api_error_count", "AWS API calls that failed", ("api", "error"))
        self.utils_errors = metrics.named_counter(
            "awscni_aws_utils_error_count", "Failed ENI operations", ("fn", "error")
        )
        self.throttled = metrics.counter("vpccni_ec2_throttled", "Throttle replies of EC2", ("api",))
        self.subnet_free = metrics.gauge(
            "vpccni_subnet_free_addresses", "Free addresses of a subnet when EC2 was asked last", ("subnet", "zone")
        )
        self.leaked = metrics.counter(
            "vpccni_leaked_enis", "ENIs of the cluster that nobody holds, by what was done with them", ("action",)
        )
        for action in ("stamp", "delete"):
            self.leaked.labels(action)
        self.bucket_level = metrics.gauge(
            "vpccni_ec2_bucket_level", "Calls that may go out at once, per class of EC2 action", ("api_class",)
        )
        self.bucket_rate = metrics.gauge(
            "vpccni_ec2_bucket_rate", "Calls per second that the node allows itself now", ("api_class",)
        )

    def failed(self, function: str, error: ReasonError) -> None:
        """Label ``error`` is EC2's code: the original's whole text makes a series per request."""
        self.utils_errors.labels(function, error.code if isinstance(error, Ec2Error) else str(error.reason)).inc()

    def imds_out_of_sync(self) -> None:
        """A pseudo API of the original."""
        self.errors.labels("IMDSMetaDataOutOfSync", "").inc()

    def swept(self, action: str) -> None:
        self.leaked.labels(action).inc()
