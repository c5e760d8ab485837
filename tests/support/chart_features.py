"""Values of the chart that turn one feature on each: rendered by both versions of Helm, and given to real API servers."""

from __future__ import annotations

from typing import Any, Final

FEATURES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "prefixes": {"env": {"ENABLE_PREFIX_DELEGATION": "true"}},
    "ipv6": {"env": {"ENABLE_IPv6": "true", "ENABLE_IPv4": "false", "ENABLE_PREFIX_DELEGATION": "true"}},
    "custom networking": {"env": {"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"}},
    "pod ENI": {"env": {"ENABLE_POD_ENI": "true"}},
    "several network cards": {"env": {"ENABLE_MULTI_NIC": "true"}},
    "IPv6 egress": {"env": {"ENABLE_V6_EGRESS": "true"}},
    "annotated pods": {"env": {"ANNOTATE_POD_IP": "true"}},
    "node condition": {"env": {"VPCCNI_NODE_CONDITION": "true"}},
    "start-up taint": {"env": {"VPCCNI_STARTUP_TAINT": "example.org/starting"}},
    "original labels": {"originalMatchLabels": True},
    "network policy agent": {"nodeAgent": {"enabled": True}},
    "clean-up": {"uninstall": {"clean": True, "plugins": True, "state": True, "rules": True}},
    "dashboards": {"dashboards": {"create": True}},
}
