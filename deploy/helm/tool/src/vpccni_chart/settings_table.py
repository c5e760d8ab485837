"""files/settings.json: who reads each environment variable, and what is a malformed value, in the services' own words.

Everything comes from the services' declarations: the readers from where a Setting is declared, the messages by giving
its ``parse`` values that it refuses. What a regular expression cannot be derived for is listed in ``_OWN``;
tests/property/test_chart_patterns.py holds all of them against ``parse``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from vpccni_cli.migration.original_env import ORIGINAL, OriginalVariable
from vpccni_eni_manager import settings as eni_manager
from vpccni_install import settings as install
from vpccni_ipam import settings as ipam
from vpccni_kit.settings import FALSE, TRUE, Setting, bad_cidrs
from vpccni_netconf import settings as netconf

from vpccni_chart import patterns

# vpccni_install is what runs in the init container, and what writes the conflist in ipam's.
DECLARED: Final[Mapping[str, Iterable[Setting[Any]]]] = {
    "eni-manager": eni_manager.ALL,
    "init": install.ALL,
    "ipam": (*ipam.SETTINGS, *install.ALL),
    "netconf": netconf.ALL,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """A value that does not match ``pattern`` (``negated``: that does) is malformed; ``message`` is what the service says."""

    pattern: str
    message: str
    negated: bool = False

    def passes(self, value: str) -> bool:
        return (re.search(self.pattern, value) is None) is self.negated


def refusal(setting: Setting[Any], value: str) -> str:
    """What ``parse`` says of a value that it refuses; empty when it takes it."""
    try:
        setting.parse(value)
    except ValueError as error:
        return str(error)
    return ""


def _said(setting: Setting[Any], value: str) -> str:
    message = refusal(setting, value)
    if not message:
        raise AssertionError(f"{setting.name} takes {value!r}, which the chart refuses")
    return message


def _veth_prefix(setting: Setting[Any]) -> tuple[Check, ...]:
    names_only = bool(refusal(setting, "e.i"))  # the installer is stricter: the prefix becomes part of a link's name
    return (
        Check("^[A-Za-z0-9_-]{1,4}$" if names_only else "^.{1,4}$", _said(setting, "five5")),
        Check("^(eth|lo|vlan)$", _said(setting, "eth"), negated=True),
    )


def _connmark(setting: Setting[Any]) -> tuple[Check, ...]:
    return (
        Check(r"^\+?(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)$", _said(setting, "mark")),
        Check(
            rf"^\+?(0[xX]0*[1-9a-fA-F][0-9a-fA-F]{{0,7}}|{patterns.decimal(1, 0xFFFFFFFF)})$",
            _said(setting, "0x100000000"),
        ),
    )


def _plugin_log(setting: Setting[Any]) -> tuple[Check, ...]:
    return (Check("^[Ss][Tt][Dd][Oo][Uu][Tt]$", _said(setting, "stdout"), negated=True),)


def _tags(setting: Setting[Any]) -> tuple[Check, ...]:
    return (
        Check(patterns.json_strings(), _said(setting, "[1]")),
        Check(patterns.json_strings(1, 128, 256), _said(setting, '{"": "x"}').split(": ", 1)[1]),
    )


def _pairs(setting: Setting[Any]) -> tuple[Check, ...]:
    pair = r"([^=,\s][^=,]*=[^,]*)?"
    return (Check(rf"^\s*{pair}(,\s*{pair})*$", _said(setting, "key")),)


_OWN: Final[dict[str, Callable[[Setting[Any]], tuple[Check, ...]]]] = {
    "AWS_VPC_K8S_CNI_VETHPREFIX": _veth_prefix,
    "AWS_VPC_K8S_CNI_CONNMARK": _connmark,
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": _plugin_log,
    "AWS_VPC_K8S_EGRESS_V4_PLUGIN_LOG_FILE": _plugin_log,
    "AWS_VPC_K8S_EGRESS_V6_PLUGIN_LOG_FILE": _plugin_log,
    "ADDITIONAL_ENI_TAGS": _tags,
    "VPCCNI_NODE_LABELS": _pairs,
    "VPCCNI_NODE_ANNOTATIONS": _pairs,
}
_PROBE: Final = "\x00no such value"


def checks_of(setting: Setting[Any]) -> tuple[Check, ...]:
    """Raises AssertionError for a setting whose ``parse`` refuses values that no rule here knows of."""
    if setting.name in _OWN:
        return _OWN[setting.name](setting)
    if setting.kind == "Boolean as a String":
        return (Check(patterns.words(sorted(TRUE | FALSE)), _said(setting, _PROBE)),)
    if setting.kind == "Integer as a String":
        low, high = (int(part) for part in setting.allowed.split(" to "))
        below_too = not refusal(setting, str(low - 1))
        return (
            Check(patterns.INTEGER, _said(setting, _PROBE)),
            Check(patterns.between(low, high, below_too=below_too), _said(setting, str(high + 1))),
        )
    if setting.allowed == "comma-separated IPv4 CIDRs":
        (bad,) = bad_cidrs(setting.name, {setting.name: "x"})
        return (Check(patterns.IPV4_CIDR_LIST, bad.problem),)
    if message := refusal(setting, _PROBE):
        options = setting.allowed.split(", ")
        return (Check(patterns.words(options, fold_case=not refusal(setting, options[0].swapcase())), message),)
    return ()


def _absent(variable: OriginalVariable) -> dict[str, object]:
    """A variable of the original that nobody here reads: only what it means when it is unset is harmless."""
    same = {"true": sorted(TRUE), "false": sorted(FALSE)}.get(variable.default, [variable.default])
    message = f"this version does not have it ({variable.about}); leave it out or at {variable.default or 'empty'}"
    check = {"pattern": patterns.words((*same, *variable.harmless)), "message": message}
    return {"services": [], "kind": "String", "checks": [check]}


def table() -> dict[str, dict[str, Any]]:
    """NAME -> {services, kind, checks[, low, high][, notYet]}. Every variable of ours, and every one of the original.

    ``notYet``: read and checked, but without effect so far; the chart's notes say so, and `vpccni migrate` refuses it.
    """
    rows: dict[str, dict[str, Any]] = {}
    for container, settings in DECLARED.items():
        for setting in settings:
            row = rows.setdefault(setting.name, {"services": [], "kind": setting.kind, "checks": []})
            if container not in row["services"]:
                row["services"].append(container)
            _add_checks(row, checks_of(setting))
            if setting.kind == "Integer as a String" and " to " in setting.allowed:
                row |= _limits(setting)
    for name, row in rows.items():
        # What the AWS SDK reads by itself needs no declaration.
        if name.startswith("AWS_") and name not in ORIGINAL and "eni-manager" not in row["services"]:
            row["services"].insert(0, "eni-manager")
    for setting in ipam.NOT_YET:
        rows[setting.name]["notYet"] = True
    for name, variable in ORIGINAL.items():
        if name not in rows:
            rows[name] = _absent(variable)
    return dict(sorted(rows.items()))


def _limits(setting: Setting[Any]) -> dict[str, int]:
    low, high = (int(part, 0) for part in setting.allowed.split(" to "))
    return {"high": high} if not refusal(setting, str(low - 1)) else {"low": low, "high": high}


def _add_checks(row: dict[str, Any], checks: Iterable[Check]) -> None:
    """Two services that read a setting may check the same: the first one's words are kept."""
    for check in checks:
        made: dict[str, object] = {"pattern": check.pattern, "message": check.message}
        if check.negated:
            made["negated"] = True
        same = [old for old in row["checks"] if (old["pattern"], "negated" in old) == (check.pattern, check.negated)]
        if not same:
            row["checks"].append(made)


# Set by the chart itself, so they cannot be given: where to say it instead.
CHART_SETS: Final[dict[str, str]] = {
    "VPCCNI_ENI_MANAGER_HEALTH_PORT": "eniManager.healthPort",
    "VPCCNI_ENI_MANAGER_METRICS_PORT": "eniManager.metricsPort",
    "VPCCNI_IPAM_HEALTH_PORT": "ipam.healthPort",
    "VPCCNI_IPAM_METRICS_PORT": "ipam.metricsPort",
    "VPCCNI_NETCONF_HEALTH_PORT": "netconf.healthPort",
    "VPCCNI_NETCONF_METRICS_PORT": "netconf.metricsPort",
    "HOST_CNI_BIN_PATH": "cniBinDir",
    "HOST_CNI_CONFDIR_PATH": "cniConfDir",
    "VPCCNI_CONFLIST_FILE": "cniConfig",
    "MY_NODE_NAME": "",
    "MY_POD_NAME": "",
    "VPCCNI_PLUGIN_DIR": "",
    "VPCCNI_SYSCTL_DIR": "",
    "VPCCNI_IPAM_SOCKET": "",
    "VPCCNI_NETCONF_SOCKET": "",
    "VPCCNI_ENI_MANAGER_SOCKET": "",
    "VPCCNI_ENI_MANAGER_STATE": "",
}

# Read by libraries: the AWS SDK, OpenTelemetry, gRPC, Python, proxies. Anything else under `env` is taken for a misspelling.
FREE: Final = (
    "^(AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|REGION|DEFAULT_REGION|PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE"
    "|CA_BUNDLE|ROLE_ARN|ROLE_SESSION_NAME|WEB_IDENTITY_TOKEN_FILE|STS_REGIONAL_ENDPOINTS|USE_FIPS_ENDPOINT"
    "|USE_DUALSTACK_ENDPOINT|ENDPOINT_URL(_[A-Z0-9_]+)?|EC2_METADATA_[A-Z0-9_]+|METADATA_SERVICE_[A-Z0-9_]+"
    "|CONTAINER_[A-Z0-9_]+|MAX_ATTEMPTS|RETRY_MODE|DEFAULTS_MODE|SDK_[A-Z0-9_]+)"
    "|OTEL_[A-Z0-9_]+|GRPC_[A-Z0-9_]+|PYTHON[A-Z0-9]+|(HTTP|HTTPS|NO)_PROXY|(http|https|no)_proxy|TZ)$"
)
