"""ENIConfig (crd.k8s.amazonaws.com/v1alpha1): subnet and security groups for the pods of the nodes that name it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

_SUBNET: Final = re.compile(r"subnet-[0-9A-Za-z]+\Z")
_GROUP: Final = re.compile(r"sg-[0-9A-Za-z]+\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class EniConfig:
    """``security_groups`` empty: those of the primary ENI."""

    name: str
    subnet_id: str
    security_groups: tuple[str, ...] = ()


def eni_config(found: Mapping[str, Any]) -> EniConfig:
    """An ENIConfig as JSON or YAML has it. Raises ReasonError(ENI_CONFIG_INVALID) naming field and value."""
    metadata, spec = found.get("metadata"), found.get("spec")
    name = str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
    if not name:
        raise ReasonError(Reason.ENI_CONFIG_INVALID, "an ENIConfig has no metadata.name")
    if not isinstance(spec, Mapping):
        raise _invalid(name, "spec", spec, "an object with subnet and securityGroups")
    subnet = spec.get("subnet")
    if not isinstance(subnet, str) or not _SUBNET.match(subnet):
        raise _invalid(name, "spec.subnet", subnet, "a subnet id, such as subnet-0123456789abcdef0")
    groups = spec.get("securityGroups") or ()
    if not isinstance(groups, list | tuple) or not all(isinstance(g, str) and _GROUP.match(g) for g in groups):
        raise _invalid(
            name, "spec.securityGroups", groups, "a list of security group ids, such as sg-0123456789abcdef0"
        )
    return EniConfig(name, subnet, tuple(groups))


def _invalid(name: str, field: str, value: object, allowed: str) -> ReasonError:
    return ReasonError(Reason.ENI_CONFIG_INVALID, f"ENIConfig {name}: {field} is {value!r}; allowed: {allowed}")
