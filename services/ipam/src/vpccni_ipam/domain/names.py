"""Names and numbers that the original fixed and others rely on (Calico derives the same veth name)."""

from __future__ import annotations

import hashlib
from typing import Final

from vpccni_ipam.domain.model import PodIdentity, PodKey

MAIN_TABLE: Final = 254
MTU_RANGE: Final = (576, 9001)
"""Bytes; IPv4."""
_HASH_LENGTH: Final = 11  # 4 prefix characters + 11 = IFNAMSIZ - 1


def name_hash(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:_HASH_LENGTH]


def pod_hash(pod: PodIdentity, key: PodKey, index: int = 0) -> str:
    """Hash of "namespace.name" (plus ".index" for further network cards). A sandbox that is no Kubernetes pod has no such
    name; its container id keeps it apart from the others."""
    text = f"{pod.namespace}.{pod.name}" if pod.known else f"{key.container_id}.{key.ifname}"
    return name_hash(f"{text}.{index}" if index else text)


def host_veth(prefix: str, pod: PodIdentity, key: PodKey) -> str:
    return prefix + pod_hash(pod, key)


def link_matches(link_name: str, pod_hash_text: str) -> bool:
    """True if a host link belongs to the pod, whatever its prefix (the prefix may have been changed since)."""
    return link_name.endswith(pod_hash_text)


def route_table(device_number: int, network_card: int) -> int:
    """Table of an ENI: primary -> main, card 0 -> device + 1, further cards -> 10000 + 100 * card + device."""
    if network_card > 0:
        return 10000 + 100 * network_card + device_number
    return MAIN_TABLE if device_number == 0 else device_number + 1
