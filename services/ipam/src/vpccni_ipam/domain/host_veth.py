"""The name of a pod's host link: what the original fixed and others rely on (Calico derives the same name)."""

from __future__ import annotations

import hashlib
from typing import Final

from vpccni_ipam.domain.model import PodIdentity, PodKey

_HASH_LENGTH: Final = 11  # 4 prefix characters + 11 = IFNAMSIZ - 1


def name_hash(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:_HASH_LENGTH]


def pod_hash(pod: PodIdentity, key: PodKey, index: int = 0) -> str:
    """Hash of "namespace.name" (plus ".index" for further network cards). A sandbox that is no Kubernetes pod has no such
    name; its container id keeps it apart from the others."""
    text = f"{pod.namespace}.{pod.name}" if pod.known else f"{key.container_id}.{key.ifname}"
    return name_hash(f"{text}.{index}" if index else text)


def host_veth(prefix: str, pod: PodIdentity, key: PodKey, index: int = 0) -> str:
    return prefix + pod_hash(pod, key, index)


def link_matches(link_name: str, pod_hash_text: str) -> bool:
    """True if a host link belongs to the pod, whatever its prefix (the prefix may have been changed since)."""
    return link_name.endswith(pod_hash_text)
