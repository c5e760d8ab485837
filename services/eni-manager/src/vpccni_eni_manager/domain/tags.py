"""Tags and description of the ENIs that we make (names as the original's, so that either can clean up after the other)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Final

from vpccni_eni_manager.domain.managed import INSTANCE_ID_TAG

CLUSTER_TAG: Final = "cluster.k8s.amazonaws.com/name"
OWNER_TAG: Final = "eks:eni:owner"
OWNER: Final = "amazon-vpc-cni"
CREATED_AT_TAG: Final = "node.k8s.amazonaws.com/createdAt"
RESERVED: Final = "k8s.amazonaws.com"
DESCRIPTION_PREFIX: Final = "aws-K8S-"


def description(instance_id: str) -> str:
    return DESCRIPTION_PREFIX + instance_id


def split_additional(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """(usable tags, refused keys) of ADDITIONAL_ENI_TAGS: keys that contain ``k8s.amazonaws.com`` are ours."""
    usable: dict[str, str] = {}
    refused = []
    for key, value in pairs:
        if RESERVED in key:
            refused.append(key)
        else:
            usable[key] = value
    return usable, tuple(refused)


def wanted(instance_id: str, cluster: str, additional: Mapping[str, str]) -> dict[str, str]:
    """Tags that every managed ENI has. ``additional`` comes last, as in the original."""
    tags = {INSTANCE_ID_TAG: instance_id}
    if cluster:
        tags |= {CLUSTER_TAG: cluster, OWNER_TAG: OWNER}
    return tags | dict(additional)


def at_creation(tags: Mapping[str, str], now_unix_s: float) -> dict[str, str]:
    """``tags`` and the creation time, RFC 3339 in UTC with seconds."""
    return {**tags, CREATED_AT_TAG: rfc3339(now_unix_s)}


def missing(have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
    """What has to be written, sorted by key; tags that nobody asked for stay."""
    return {key: want[key] for key in sorted(want) if have.get(key) != want[key]}


def rfc3339(unix_s: float) -> str:
    return datetime.datetime.fromtimestamp(int(unix_s), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> float | None:
    """Unix seconds, or None when it is not a time with a zone."""
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.timestamp() if parsed.tzinfo else None
