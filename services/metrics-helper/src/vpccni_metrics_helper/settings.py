"""Every environment variable of the helper."""

from __future__ import annotations

from typing import Final

from vpccni_kit.settings import boolean, choice, integer, text

USE_CLOUDWATCH: Final = boolean("USE_CLOUDWATCH", True, "Sends the cluster's metrics to CloudWatch.")
USE_PROMETHEUS: Final = boolean("USE_PROMETHEUS", False, "Serves the cluster's metrics on port 61681.")
CLUSTER_ID: Final = text("AWS_CLUSTER_ID", "k8s-cluster", "Value of the dimension CLUSTER_ID in CloudWatch.")
REGION: Final = text("AWS_REGION", "", "Region of CloudWatch; empty: as the AWS SDK finds it.")
INTERVAL: Final = integer(
    "METRIC_UPDATE_INTERVAL", 30, "Seconds between two rounds; every second one is sent.", low=1, high=3600
)
LOG_LEVEL: Final = choice(
    "AWS_VPC_K8S_CNI_LOGLEVEL", "INFO", ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"), "Least level that is logged."
)
NAMESPACE: Final = text("VPCCNI_NAMESPACE", "kube-system", "Namespace of the aws-node pods.")
SELECTOR: Final = text("VPCCNI_POD_SELECTOR", "k8s-app=aws-node", "Label selector of the aws-node pods.")
API_URL: Final = text("VPCCNI_KUBERNETES_API", "", "URL of an API server without authentication, for tests.")
PORT: Final = integer("VPCCNI_METRICS_HELPER_PORT", 61681, "Port of /metrics.", low=1, high=65535)
ALL: Final = (
    USE_CLOUDWATCH,
    USE_PROMETHEUS,
    CLUSTER_ID,
    REGION,
    INTERVAL,
    LOG_LEVEL,
    NAMESPACE,
    SELECTOR,
    API_URL,
    PORT,
)
