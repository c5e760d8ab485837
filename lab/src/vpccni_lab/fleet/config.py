"""The settings of a node as the simulation needs them, from the variables that the services read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_eni_manager.domain import limits as eni_limits
from vpccni_eni_manager.domain.model import InstanceLimits as EniLimits
from vpccni_ipam.domain.model import InstanceLimits
from vpccni_ipam.domain.targets import Targets, pods_by_formula
from vpccni_kit.settings import Setting, boolean, integer, read

from vpccni_lab.ec2.errors import Ec2Error
from vpccni_lab.ec2.limits import descriptions, instance_type
from vpccni_lab.fleet.node import NodeConfig

_MANY: Final = 1 << 20


def _count(name: str, default: int) -> Setting[int]:
    return integer(name, default, "", low=0, high=_MANY, clamp_low_to=0)


WARM_ENI: Final = integer("WARM_ENI_TARGET", 1, "", low=0, high=_MANY)
WARM_IP: Final = _count("WARM_IP_TARGET", 0)
MINIMUM_IP: Final = _count("MINIMUM_IP_TARGET", 0)
WARM_PREFIX: Final = _count("WARM_PREFIX_TARGET", 1)
MAX_ENI: Final = _count("MAX_ENI", 0)
PREFIXES: Final = boolean("ENABLE_PREFIX_DELEGATION", False, "")
COOLDOWN: Final = integer("IP_COOLDOWN_PERIOD", 30, "", low=0, high=86400)
SETTINGS: Final = (WARM_ENI, WARM_IP, MINIMUM_IP, WARM_PREFIX, MAX_ENI, PREFIXES, COOLDOWN)


def limits_of(type_name: str) -> EniLimits:
    """As EC2 would describe the type. Raises ReasonError(CONFIG_INVALID)."""
    try:
        instance_type(type_name)
    except Ec2Error as error:
        raise ReasonError(Reason.CONFIG_INVALID, f"instance type {type_name!r}: {error.message}") from error
    found = eni_limits.from_ec2(type_name, descriptions()[type_name])
    if found is None:
        raise ReasonError(Reason.CONFIG_INVALID, f"instance type {type_name!r} has no ENI limits in EC2's data")
    return found


def node_config(environ: Mapping[str, str], limits: EniLimits, *, max_pods: int = 0) -> NodeConfig:
    """``max_pods`` 0: what the instance type has addresses for. Raises ReasonError(CONFIG_INVALID): here nobody falls back."""
    unknown = sorted(set(environ) - {setting.name for setting in SETTINGS})
    if unknown:
        known = ", ".join(setting.name for setting in SETTINGS)
        raise ReasonError(Reason.CONFIG_INVALID, f"{', '.join(unknown)}: not simulated; known are {known}")
    values = read(SETTINGS, environ)
    if values.bad:
        raise ReasonError(Reason.CONFIG_INVALID, "; ".join(map(str, values.bad)))
    prefixes = values[PREFIXES] and limits.prefixes_supported
    known_limits = InstanceLimits(limits.max_enis, limits.ipv4_per_eni, limits.prefixes_supported)
    max_enis = min(values[MAX_ENI] or limits.max_enis, limits.max_enis)
    targets = Targets(
        warm_eni=values[WARM_ENI],
        warm_ip=values[WARM_IP],
        minimum_ip=values[MINIMUM_IP],
        warm_prefix=values[WARM_PREFIX],
        prefixes=prefixes,
        max_pods=max_pods or pods_by_formula(known_limits, max_enis, prefixes=prefixes),
    )
    return NodeConfig(targets, known_limits, max_enis, float(values[COOLDOWN]))
