"""Settings that are fine one by one and impossible together: the cases, with the message that ipam itself gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vpccni_api.reasons import ReasonError
from vpccni_ipam import settings as ipam
from vpccni_ipam.load_settings import load

# What must hold together; a count is "0" when it is not positive. tests/unit/chart compares all values of these with ipam.
CASES: Final[tuple[Mapping[str, str], ...]] = (
    {"ENABLE_IPv4": "true", "ENABLE_IPv6": "true"},
    {"ENABLE_IPv4": "false", "ENABLE_IPv6": "false"},
    {"ENABLE_IPv6": "true", "ENABLE_PREFIX_DELEGATION": "false"},
    {"ENABLE_IPv6": "true", "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"},
    {
        "ENABLE_PREFIX_DELEGATION": "true",
        "ENABLE_IPv6": "false",
        "WARM_PREFIX_TARGET": "0",
        "WARM_IP_TARGET": "0",
        "MINIMUM_IP_TARGET": "0",
    },
)
# With these alone nothing is impossible: what a case does not name.
_HARMLESS: Final = {
    "ENABLE_IPv4": "false",
    "ENABLE_IPv6": "true",
    "ENABLE_PREFIX_DELEGATION": "true",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
}
_HARMLESS_V4: Final = _HARMLESS | {"ENABLE_IPv4": "true", "ENABLE_IPv6": "false"}


def refusal(environ: Mapping[str, str]) -> str:
    """ipam's message for these variables; empty when it would start."""
    try:
        load(environ)
    except ReasonError as error:
        return error.message
    return ""


def defaults() -> dict[str, str]:
    """Value of each setting that a case names, when it is unset."""
    names = {name for case in CASES for name in case}
    found = {setting.name: setting.default for setting in ipam.SETTINGS if setting.name in names}
    return {name: str(value).lower() for name, value in sorted(found.items())}


def combinations() -> list[dict[str, object]]:
    """[{when: {NAME: value}, message}], each case with the shortest message that ipam gives for it."""
    rows: list[dict[str, object]] = []
    for case in CASES:
        messages = [refusal({**base, **case}) for base in (_HARMLESS, _HARMLESS_V4)]
        rows.append({"when": dict(sorted(case.items())), "message": min((m for m in messages if m), key=len)})
    return rows
