"""The environment variables that eni-manager reads (docs/configuration.md is generated from these declarations)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vpccni_api import sockets
from vpccni_api.version import VERSION
from vpccni_kit.settings import Setting, Values, boolean, choice, integer, json_tags, text

from vpccni_eni_manager.domain import tags
from vpccni_eni_manager.policy import Policy

SOCKET: Final = text(
    "VPCCNI_ENI_MANAGER_SOCKET", sockets.ENI_MANAGER_SOCKET, "Unix socket that ipam calls.", allowed="an absolute path"
)
HEALTH_PORT: Final = integer(
    "VPCCNI_ENI_MANAGER_HEALTH_PORT",
    sockets.ENI_MANAGER_HEALTH_PORT,
    "TCP port of the health service.",
    low=1,
    high=65535,
)
METRICS_PORT: Final = integer(
    "VPCCNI_ENI_MANAGER_METRICS_PORT", sockets.ENI_MANAGER_METRICS_PORT, "TCP port of /metrics.", low=1, high=65535
)
DISABLE_METRICS: Final = boolean("DISABLE_METRICS", False, "No metrics are served.")
STATE: Final = text(
    "VPCCNI_ENI_MANAGER_STATE",
    "/var/run/aws-node/eni-manager",
    "Directory of the journal of cloud actions and the cached instance limits.",
    allowed="an absolute path",
)
LOG_LEVEL: Final = choice(
    "AWS_VPC_K8S_CNI_LOGLEVEL",
    "DEBUG",
    ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
    "Least severity that is logged.",
    fold_case=True,
)
LOG_FILE: Final = text(
    "VPCCNI_ENI_MANAGER_LOG_FILE", "stdout", "Where eni-manager logs.", allowed="stdout, stderr or a path"
)
CLUSTER_NAME: Final = text(
    "CLUSTER_NAME", "", "Tag value on ENIs that we make; scope of subnet discovery and of the leaked-ENI sweep."
)
ADDITIONAL_ENI_TAGS: Final = json_tags(
    "ADDITIONAL_ENI_TAGS", "Tags for the ENIs; keys that contain k8s.amazonaws.com are refused one by one."
)
MANAGE_UNTAGGED_ENI: Final = boolean(
    "MANAGE_UNTAGGED_ENI", True, "ENIs without the instance_id tag of this node are used too."
)
ENABLE_SUBNET_DISCOVERY: Final = boolean(
    "ENABLE_SUBNET_DISCOVERY", True, "New ENIs go to the tagged subnet of the zone with the most free addresses."
)
DISABLE_NETWORK_RESOURCE_PROVISIONING: Final = boolean(
    "DISABLE_NETWORK_RESOURCE_PROVISIONING",
    False,
    "Nothing in EC2 is changed: ENIs and addresses are managed elsewhere.",
)
ENABLE_IMDS_ONLY_MODE: Final = boolean(
    "ENABLE_IMDS_ONLY_MODE", False, "EC2 is never called; implies DISABLE_NETWORK_RESOURCE_PROVISIONING."
)
DISABLE_LEAKED_ENI_CLEANUP: Final = boolean(
    "DISABLE_LEAKED_ENI_CLEANUP", False, "No hourly sweep for ENIs that are attached to nothing."
)
ENABLE_IPV6: Final = boolean("ENABLE_IPv6", False, "IPv6 mode; here: no leaked-ENI sweep, as in the original.")
CUSTOM_NETWORK_CFG: Final = boolean(
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", False, "ENIConfigs are in use; here: security groups are left alone."
)
HTTP_TIMEOUT: Final = integer(
    "HTTP_TIMEOUT", 10, "Seconds to connect to EC2, and to wait for an answer.", low=10, high=600
)
AWS_EC2_ENDPOINT: Final = text(
    "AWS_EC2_ENDPOINT",
    "",
    "EC2 endpoint, where the SDK's AWS_ENDPOINT_URL_EC2 and AWS_ENDPOINT_URL are not set.",
    allowed="a URL",
)
VPC_CNI_VERSION: Final = text("VPC_CNI_VERSION", VERSION, "Version in the user agent of EC2 calls.")
MY_NODE_NAME: Final = text("MY_NODE_NAME", "", "Node name, in every span and log line.")

ALL: Final[tuple[Setting[object], ...]] = (  # type: ignore[assignment]  # Setting is invariant; ALL is only read
    SOCKET,
    HEALTH_PORT,
    METRICS_PORT,
    DISABLE_METRICS,
    STATE,
    LOG_LEVEL,
    LOG_FILE,
    CLUSTER_NAME,
    ADDITIONAL_ENI_TAGS,
    MANAGE_UNTAGGED_ENI,
    ENABLE_SUBNET_DISCOVERY,
    DISABLE_NETWORK_RESOURCE_PROVISIONING,
    ENABLE_IMDS_ONLY_MODE,
    DISABLE_LEAKED_ENI_CLEANUP,
    ENABLE_IPV6,
    CUSTOM_NETWORK_CFG,
    HTTP_TIMEOUT,
    AWS_EC2_ENDPOINT,
    VPC_CNI_VERSION,
    MY_NODE_NAME,
)


def policy_of(values: Values) -> tuple[Policy, tuple[str, ...]]:
    """The policy, and the keys of ADDITIONAL_ENI_TAGS that were refused."""
    additional = values[ADDITIONAL_ENI_TAGS]
    usable, refused = tags.split_additional(additional)
    imds_only = values[ENABLE_IMDS_ONLY_MODE]
    provisioning = not (imds_only or values[DISABLE_NETWORK_RESOURCE_PROVISIONING])
    made = Policy(
        cluster=values[CLUSTER_NAME],
        additional_tags=usable,
        manage_untagged=values[MANAGE_UNTAGGED_ENI],
        subnet_discovery=values[ENABLE_SUBNET_DISCOVERY],
        provisioning=provisioning,
        imds_only=imds_only,
        leaked_eni_cleanup=provisioning and not (values[DISABLE_LEAKED_ENI_CLEANUP] or values[ENABLE_IPV6]),
        custom_networking=values[CUSTOM_NETWORK_CFG],
        ipv6=values[ENABLE_IPV6],
    )
    return made, refused


def endpoint_of(values: Values, environ: Mapping[str, str]) -> str:
    """AWS_EC2_ENDPOINT unless the SDK's own variables are set (then empty: the SDK reads them)."""
    if environ.get("AWS_ENDPOINT_URL_EC2") or environ.get("AWS_ENDPOINT_URL"):
        return ""
    return values[AWS_EC2_ENDPOINT]
