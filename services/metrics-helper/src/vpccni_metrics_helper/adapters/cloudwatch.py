"""CloudWatch: namespace, dimension and names as the original's, so that its dashboards and alarms go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from vpccni_api.reasons import Reason, ReasonError

NAMESPACE: Final = "Kubernetes"
DIMENSION: Final = "CLUSTER_ID"
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired"})


class CloudWatchApi:
    """ports.CloudWatch. Needs cloudwatch:PutMetricData and nothing else."""

    def __init__(self, cluster_id: str, region: str) -> None:
        """``region`` empty: as the SDK finds it (AWS_REGION, profile, instance)."""
        self._cluster_id = cluster_id
        self._client: Any = boto3.client(
            "cloudwatch",
            region_name=region or None,
            config=Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}),
        )

    def put(self, values: Mapping[str, float]) -> None:
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": DIMENSION, "Value": self._cluster_id}],
                "Unit": "Milliseconds" if name == "awsAPILatency" else "Count",
                "Value": value,
            }
            for name, value in sorted(values.items())
        ]
        try:
            self._client.put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            reason = Reason.IAM_DENIED if code in _DENIED else Reason.EC2_UNREACHABLE
            raise ReasonError(reason, f"PutMetricData: {code}: {error}") from error
        except BotoCoreError as error:
            raise ReasonError(Reason.EC2_UNREACHABLE, f"PutMetricData: {error}") from error
