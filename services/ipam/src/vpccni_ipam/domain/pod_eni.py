"""Security groups for pods: which pods have a branch ENI, and what the VPC resource controller says of it."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.model import Branch

RESOURCE: Final = "vpc.amazonaws.com/pod-eni"
"""Start of the resource that such a pod asks for, and name of the annotation with its branch ENI."""
FEATURE_GROUPS: Final = "SecurityGroupsForPods"
FEATURE_CUSTOM: Final = "CustomNetworking"
TRUNK_LABEL: Final = "vpc.amazonaws.com/has-trunk-attached"
_GATEWAY_V6: Final = "fe80:ec2::1"
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z", re.IGNORECASE)
_MAX_VLAN: Final = 4094


@dataclasses.dataclass(frozen=True, slots=True)
class PodFacts:
    """What is kept of a pod. ``annotation``: empty until the controller has made the branch ENI."""

    uid: str
    wants_branch: bool
    annotation: str


def pod_facts(found: Mapping[str, Any]) -> PodFacts:
    """A v1 Pod as JSON. As in the original the limits of the first container count."""
    metadata = found.get("metadata") or {}
    containers = (found.get("spec") or {}).get("containers") or [{}]
    limits = (containers[0].get("resources") or {}).get("limits") or {}
    return PodFacts(
        uid=str(metadata.get("uid", "")),
        wants_branch=any(str(name).startswith(RESOURCE) for name in limits),
        annotation=str((metadata.get("annotations") or {}).get(RESOURCE, "")),
    )


def branch_of(annotation: str, trunk_mac: str, *, ipv6: bool, strict: bool) -> tuple[str, Branch]:
    """(address of the pod, its branch ENI). Raises ReasonError(BRANCH_ENI_MISSING) naming what is not usable."""
    try:
        found = json.loads(annotation)[0]
        fields = {str(key).lower(): value for key, value in found.items()}  # as Go reads JSON
        vlan = int(fields["vlanid"])
        mac = str(fields["ifaddress"]).lower()
        address = ipaddress.ip_address(fields["ipv6addr" if ipv6 else "privateip"])
        subnet = ipaddress.ip_network(fields["subnetv6cidr" if ipv6 else "subnetcidr"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _unusable(annotation, f"{type(error).__name__}: {error}") from None
    if not 1 <= vlan <= _MAX_VLAN or not _MAC.match(mac):
        raise _unusable(annotation, f"vlanId {vlan} or ifAddress {mac!r}")
    gateway = _GATEWAY_V6 if ipv6 else str(subnet.network_address + 1)
    return str(address), Branch(str(fields.get("eniid", "")), vlan, mac, str(subnet), gateway, trunk_mac, strict)


def _unusable(annotation: str, why: str) -> ReasonError:
    return ReasonError(Reason.BRANCH_ENI_MISSING, f"annotation {RESOURCE} is {annotation[:200]!r}: {why}")


def features_with(found: Iterable[Mapping[str, Any]], wanted: Mapping[str, str]) -> list[dict[str, str]] | None:
    """A CNINode's features with ours among them; None: they are there already."""
    features = [{"name": str(item.get("name", "")), "value": str(item.get("value", ""))} for item in found]
    made = [item for item in features if item["name"] not in wanted or wanted[item["name"]] == item["value"]]
    there = {item["name"] for item in made}
    made += [{"name": name, "value": value} for name, value in wanted.items() if name not in there]
    return None if made == features else made
