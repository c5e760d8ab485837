"""Each environment variable of the daemon and the init container: same, mapped or refused, and why."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from vpccni_cli.migration.facts import Facts, default_of
from vpccni_cli.migration.original_env import ORIGINAL, RENAMED
from vpccni_cli.migration.verdict import Verdict, mapped, refused, same
from vpccni_cli.migration.workload import Original, Variable

_CREDENTIALS: Final = re.compile("ACCESS_KEY|SESSION_TOKEN|WEB_IDENTITY|ROLE_ARN|AUTHORIZATION_TOKEN")
_CIDR_LISTS: Final = frozenset({"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "AWS_EXTERNAL_SERVICE_CIDRS"})
_RUN_DIR: Final = "/var/run/aws-node/"

# Same name and meaning, with something that is worth knowing.
_REMARKS: Final[dict[str, str]] = {
    "AWS_EC2_ENDPOINT": "in 1.23 it did not reach the EC2 client; here it does",
    "AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER": "without effect since 1.12; here the init container sets rp_filter in any case",
    "AWS_VPC_K8S_CNI_LOG_FILE": "ipam's log; eni-manager and netconf log to stdout",
    "IP_COOLDOWN_PERIOD": "a cooling address is not counted as free here, and cooldown survives a restart",
}


def verdicts(original: Original, facts: Facts) -> list[Verdict]:
    """In the order of the DaemonSet, then what follows from variables that are not set, then impossible combinations."""
    made = [_verdict(variable, original, facts) for variable in original.daemon_env]
    made += _init(original, facts)
    made += _unset(original, facts)
    made += [refused("env", message) for message in facts.impossible(_env_of(made))]
    return made


def _env_of(made: Iterable[Verdict]) -> dict[str, str]:
    return {name: str(value) for verdict in made for name, value in verdict.values.get("env", {}).items()}


def _verdict(variable: Variable, original: Original, facts: Facts) -> Verdict:
    name, value = variable.name, variable.value
    subject = f"env.{name}" if variable.source else f"env.{name}={value!r}"
    if name in RENAMED or name in facts.chart_sets:
        why = RENAMED[name].why if name in RENAMED else "set by the chart"
        return mapped(subject, why)
    if variable.source is not None:
        return _passed_on(subject, name, {"name": name, "valueFrom": dict(variable.source)})
    if facts.knows(name):
        return _setting(subject, name, value, original, facts)
    if facts.free.search(name):
        return _library(subject, name, value)
    return _passed_on(subject, name, {"name": name, "value": value})


def _library(subject: str, name: str, value: str) -> Verdict:
    if name.startswith("AWS_"):
        return mapped(subject, "given to eni-manager only: no other container calls AWS", env={name: value})
    return same(subject, "given to all three services", env={name: value})


def _passed_on(subject: str, name: str, item: Mapping[str, Any]) -> Verdict:
    if _CREDENTIALS.search(name):
        return mapped(subject, "credentials are for eni-manager only", eniManager={"extraEnv": [dict(item)]})
    return mapped(subject, "no variable of the original's; passed on by extraEnv", extraEnv=[dict(item)])


def _setting(subject: str, name: str, value: str, original: Original, facts: Facts) -> Verdict:
    value = value.strip()
    if not value:
        return same(subject, "empty is unset", **({"env": {name: ""}} if facts.readers(name) else {}))
    problem = facts.problem(name, value)
    if not facts.readers(name):
        return refused(subject, problem) if problem else same(subject, "changes nothing here; left out")
    if problem and name in _CIDR_LISTS:
        return _good_items(subject, name, value)
    if problem:
        return mapped(
            subject,
            f"{problem}; malformed for the original too (it takes its default {default_of(name)!r}, or does not start): left out",
        )
    if facts.without_effect(name, value):
        return refused(subject, f"{ORIGINAL[name].about}: this version reads it, and does not do it yet")
    if name == "AWS_VPC_K8S_CNI_BACKING_STORE" and not value.startswith(_RUN_DIR):
        return refused(subject, f"the checkpoint must lie below {_RUN_DIR}, the host directory that ipam has")
    return same(subject, _REMARKS.get(name, ""), env={name: value})


def _good_items(subject: str, name: str, value: str) -> Verdict:
    good: list[str] = []
    bad: list[str] = []
    for item in (part.strip() for part in value.split(",")):
        (good if _is_ipv4_cidr(item) else bad).append(item)
    dropped = ", ".join(repr(item) for item in bad if item)
    return mapped(subject, f"without {dropped}, which both skip (not IPv4 CIDRs)", env={name: ",".join(good)})


def _is_ipv4_cidr(item: str) -> bool:
    try:
        ipaddress.IPv4Network(item, strict=False)
    except ValueError:
        return False
    return "/" in item


def _init(original: Original, facts: Facts) -> Iterator[Verdict]:
    """Init container and services share one set of settings here."""
    for variable in original.init_env:
        name, value = variable.name, variable.value.strip()
        subject = f"init env.{name}={variable.value!r}"
        if name in RENAMED or name in facts.chart_sets:
            yield mapped(subject, RENAMED[name].why if name in RENAMED else "set by the chart")
        elif not facts.readers(name):
            yield mapped(subject, "passed on to the init container", init={"env": {name: variable.value}})
        elif facts.problem(name, value):
            yield mapped(subject, f"{facts.problem(name, value)}; malformed for the original too: left out")
        else:
            yield _init_setting(subject, name, value, original)


def _init_setting(subject: str, name: str, value: str, original: Original) -> Verdict:
    daemon = original.value(name)
    if daemon and _bool(daemon) != _bool(value):
        return refused(
            subject,
            f"the daemon has {name}={daemon!r}: it is one setting here, and the two contradict each other",
        )
    if daemon or not value or _bool(value) == _bool(default_of(name)):
        return same(subject, "one setting for the init container and the services")
    return mapped(subject, "one setting for the init container and the services", env={name: value})


def _bool(value: str) -> str:
    return {"1": "true", "t": "true", "0": "false", "f": "false"}.get(value.lower(), value.lower())


def _unset(original: Original, facts: Facts) -> Iterator[Verdict]:
    """What is on by default here, and did not exist in the version that runs."""
    given = {variable.name for variable in original.daemon_env}
    for variable in ORIGINAL.values():
        is_new = bool(original.version and variable.before and original.version < variable.since)
        if is_new and variable.name not in given and facts.readers(variable.name):
            since = ".".join(str(part) for part in variable.since)
            yield mapped(
                f"env.{variable.name} (unset)",
                f"{variable.about}: exists since {since}, the cluster runs {original.version_text};"
                " set so that nothing changes, remove it to have the new behaviour",
                env={variable.name: variable.before},
            )
