"""values.schema.json: the shape of the values, and for `env` what the services take.

JSON Schema has no messages of its own. So that helm shows the services' words, a malformed text is asked to be the
message ("value must be '…'"), and an impossible combination asks for a property of that name ("missing property '…'").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from vpccni_kit.settings import FALSE, TRUE

from vpccni_chart.settings_table import FREE

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
_FLAG: Final[Schema] = {"type": "boolean"}
_FLAG_TEXT: Final[Schema] = {"enum": ["true", "false", True, False]}
_OBJECT: Final[Schema] = {"type": "object"}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
_LIST: Final[Schema] = {"type": "array", "items": {"type": "object"}}
_COUNT: Final[Schema] = {"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$"}
_PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 600}
_PATH: Final[Schema] = {"type": "string", "pattern": "^/"}
_SCALAR: Final[list[str]] = ["string", "number", "boolean", "null"]


def _closed(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _image(**more: Schema) -> Schema:
    account = {"type": ["string", "integer"], "pattern": "^[0-9]*$"}
    return _closed(
        tag=_MAYBE_TEXT, pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]}, overrideRepository=_MAYBE_TEXT,
        override=_MAYBE_TEXT, domain=_TEXT, region=_TEXT, endpoint=_TEXT, account=account, **more,
    )  # fmt: skip


def _probe(first: int) -> Schema:
    """Timing of a probe; ``exec`` is let through to the templates, which say what to do with it."""
    count = {"type": "integer", "minimum": 1}
    return _closed(
        initialDelaySeconds={"type": "integer", "minimum": first}, periodSeconds=count, failureThreshold=count,
        successThreshold={"const": 1}, terminationGracePeriodSeconds=count, exec=_OBJECT,
    )  # fmt: skip


_EXTRA_ENV: Final[Schema] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, "value": {"type": "string"}, "valueFrom": _OBJECT},
        "additionalProperties": False,
    },
}  # fmt: skip
# What netconf's code can make use of; everything beyond is refused (docs/install.md).
_CAPABILITIES: Final[Schema] = {
    "type": "array",
    "items": {"enum": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]},
    "contains": {"const": "NET_ADMIN"},
    "uniqueItems": True,
}


def _service(**more: Schema) -> Schema:
    return _closed(
        image=_image(name=_TEXT), resources=_OBJECT, extraEnv=_EXTRA_ENV, securityContext=_OBJECT, healthPort=_PORT,
        metricsPort=_PORT, **more,
    )  # fmt: skip


def _node_agent() -> Schema:
    port = {"type": ["string", "integer"], "pattern": "^[0-9]+$"}
    return _closed(
        enabled=_FLAG, image=_image(), securityContext=_OBJECT, enableCloudWatchLogs=_FLAG_TEXT,
        enablePolicyEventLogs=_FLAG_TEXT, networkPolicyAgentLogFileLocation=_PATH, enableIpv6=_FLAG_TEXT,
        metricsBindAddr=port, healthProbeBindAddr=port, conntrackCacheCleanupPeriod=_COUNT,
        conntrackCacheTableSize=_COUNT, logLevel=_TEXT, resources=_OBJECT,
    )  # fmt: skip


def _eni_config() -> Schema:
    group = {"type": "string", "pattern": "^sg-[0-9a-zA-Z]+$"}
    subnet = _closed(
        id={"type": "string", "pattern": "^subnet-[0-9a-zA-Z]+$"},
        securityGroups={"type": ["array", "null"], "items": group},
    )
    subnet["required"] = ["id"]
    return _closed(create=_FLAG, region=_TEXT, subnets={"type": ["object", "null"], "additionalProperties": subnet})


def setting(name: str, row: Mapping[str, Any]) -> Schema:
    """One variable of ``env``. Keywords apply to their own type only, so a YAML number is held against the same limits."""
    kinds = {
        "Boolean as a String": ["string", "boolean", "null"],
        "Integer as a String": ["string", "integer", "null"],
    }.get(row["kind"], _SCALAR)
    made: Schema = {"type": [*kinds, "object"] if name == "ADDITIONAL_ENI_TAGS" else kinds}
    if row["checks"]:
        made["allOf"] = [_text_check(check) for check in row["checks"]]
    if "low" in row:
        made["minimum"] = row["low"]
    if "high" in row:
        made["maximum"] = row["high"]
    return made


def _text_check(check: Mapping[str, Any]) -> Schema:
    text = {"type": "string", "minLength": 1}
    malformed = {"pattern": check["pattern"]} if check.get("negated") else {"not": {"pattern": check["pattern"]}}
    return {"if": text | malformed, "then": {"const": check["message"]}}


def impossible(case: Mapping[str, Any], defaults: Mapping[str, str]) -> Schema:
    """Refuses values in which everything of ``case["when"]`` holds, set or by default."""
    spelt = {"true": [*sorted(TRUE), True], "false": [*sorted(FALSE), False]}
    properties: Schema = {}
    for name, value in case["when"].items():
        given = (
            {"enum": spelt[value]}
            if value in spelt
            else {"type": ["string", "integer"], "pattern": "^(-[0-9]+|0*)$", "maximum": 0}
        )
        unset = {"enum": ["", None]}
        properties[name] = {"anyOf": [given, unset]} if defaults[name] == value else given
    required = sorted(name for name, value in case["when"].items() if defaults[name] != value)
    return {
        "if": {"required": ["env"], "properties": {"env": {"properties": properties, "required": required}}},
        "then": {"required": [case["message"]]},
    }


def env(rows: Mapping[str, Mapping[str, Any]], left_out: Iterable[str]) -> Schema:
    free = set(left_out)
    return {
        "type": "object",
        "properties": {name: setting(name, row) for name, row in rows.items() if name not in free},
        "patternProperties": {FREE: {"type": _SCALAR}},
        "additionalProperties": False,
    }


def schema(
    rows: Mapping[str, Mapping[str, Any]],
    cases: Iterable[Mapping[str, Any]],
    defaults: Mapping[str, str],
    chart_sets: Iterable[str],
) -> Schema:
    """The whole of values.schema.json. ``chart_sets``: variables that cannot be given."""
    variables = env(rows, chart_sets)
    monitor = _closed(
        create=_FLAG, annotations=_TEXTS, labels=_TEXTS, interval=_TEXT, scrapeTimeout=_TEXT, relabelings=_LIST
    )
    account = {"create": _FLAG, "name": _MAYBE_TEXT, "annotations": _TEXTS}
    whole = _closed(
        nameOverride=_MAYBE_TEXT, fullnameOverride=_MAYBE_TEXT, image=_image(registry=_TEXT), imagePullSecrets=_LIST,
        init=_closed(image=_image(name=_TEXT), env={"type": "object", "additionalProperties": {"type": _SCALAR}}, securityContext=_OBJECT, resources=_OBJECT),
        eniManager=_service(), ipam=_service(), netconf=_service(capabilities=_CAPABILITIES), resources=_OBJECT,
        env=variables, extraEnv=_EXTRA_ENV, extraVolumes=_LIST, extraVolumeMounts=_LIST, enableNetworkPolicy=_FLAG_TEXT,
        enableWindowsIpam=_FLAG_TEXT, enableWindowsPrefixDelegation=_FLAG_TEXT, warmWindowsPrefixTarget=_COUNT,
        warmWindowsIPTarget=_COUNT, minimumWindowsIPTarget=_COUNT, branchENICooldown=_COUNT, nodeAgent=_node_agent(),
        cniConfig=_closed(enabled=_FLAG, fileContents=_MAYBE_TEXT), eniConfig=_eni_config(), originalMatchLabels=_FLAG,
        serviceAccount=_closed(**account), priorityClassName=_TEXT, podSecurityContext=_OBJECT, podAnnotations=_TEXTS,
        podLabels=_TEXTS, nodeSelector=_TEXTS, tolerations=_LIST, affinity=_OBJECT,
        updateStrategy=_closed(type={"enum": ["RollingUpdate", "OnDelete"]}, rollingUpdate={"type": ["object", "null"]}),
        startupProbe=_probe(0), livenessProbe=_probe(0), readinessProbe=_probe(0), livenessProbeTimeoutSeconds=_SECONDS,
        readinessProbeTimeoutSeconds=_SECONDS, securityContext=_OBJECT, podMonitor=monitor,
        prometheusRule=_closed(create=_FLAG, annotations=_TEXTS, labels=_TEXTS, runbookBaseUrl=_TEXT),
        dashboards=_closed(create=_FLAG, annotations=_TEXTS, labels=_TEXTS),
        preStop=_closed(timeoutSeconds={"type": "integer", "minimum": 0, "maximum": 600}, quietSeconds={"type": "integer", "minimum": 0, "maximum": 600}),
        cniBinDir=_PATH, cniConfDir=_PATH,
        uninstall=_closed(clean=_FLAG, plugins=_FLAG, state=_FLAG, rules=_FLAG, force=_FLAG, timeoutSeconds=_SECONDS),
    )  # fmt: skip
    whole["properties"]["global"] = _OBJECT
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart aws-vpc-cni"}
    return head | whole | {"allOf": [impossible(case, defaults) for case in cases]}
