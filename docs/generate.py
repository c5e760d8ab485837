"""``python docs/generate.py [--check]``: rewrites, or compares, the pages that are made from the code.

A page is a function that returns its text; add yours to ``PAGES``. tests/unit/docs holds the pages against the code.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from vpccni_api import reason_causes
from vpccni_chart import combinations, metrics_page
from vpccni_eni_manager import settings as eni_manager
from vpccni_install import settings as install
from vpccni_ipam import settings as ipam
from vpccni_kit.settings import Setting, as_table
from vpccni_metrics_helper import settings as metrics_helper
from vpccni_netconf import settings as netconf

DOCS: Final = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """A container that reads environment variables. The first reader of a variable has its row."""

    name: str
    title: str
    about: str
    settings: Iterable[Setting[Any]]


READERS: Final = (
    Reader(
        "ipam",
        "ipam: addresses, packets, Kubernetes",
        "What concerns packets is read here and handed to netconf with each call.",
        ipam.SETTINGS,
    ),
    Reader("eni-manager", "eni-manager: EC2", "", eni_manager.ALL),
    Reader("netconf", "netconf: the kernel", "", netconf.ALL),
    Reader(
        "init",
        "Init container, conflist and plugin",
        "The init container prepares the host; ipam's container writes the conflist from the same variables when the first "
        "address is usable. The plugin itself reads only what the conflist says.",
        install.ALL,
    ),
    Reader(
        "metrics-helper",
        "cni-metrics-helper",
        "A deployment of its own, installed by its own chart.",
        metrics_helper.ALL,
    ),
)

# Not declared as settings: read by libraries, or before settings can be read.
OTHERS: Final = (
    ("AWS_REGION, AWS_DEFAULT_REGION", "eni-manager", "Region of EC2; unset: instance metadata says it."),
    ("AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL", "eni-manager", "EC2 endpoint; wins over AWS_EC2_ENDPOINT."),
    (
        "AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "eni-manager",
        "Address of instance metadata, or `ipv6` as the mode for its IPv6 address.",
    ),
    ("AWS_*", "eni-manager", "Credentials and the rest, as every AWS SDK reads them."),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "all",
        "Where spans go. Unset: no tracing. The other OTEL_* variables mean what OpenTelemetry says.",
    ),
    ("OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER", "all", "`true`, or `none`: no tracing although an endpoint is set."),
    ("VPCCNI_TRACE_SLOW", "all", "Seconds from which a span is kept although its trace was not sampled; default 1."),
    ("KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT", "ipam", "The API server, as kubelet tells every pod."),
    ("KUBECONFIG", "ipam", "A file that says how the API server is reached, instead of the pod's service account."),
)


def rows() -> dict[str, dict[str, Any]]:
    """NAME -> {readers, type, default, allowed, effect, malformed}; what two readers say differently is said for each."""
    found: dict[str, dict[str, Any]] = {}
    for reader in READERS:
        for name, kind, default, allowed, effect, malformed in as_table(reader.settings):
            said = {"type": kind, "default": default, "allowed": allowed, "effect": effect, "malformed": malformed}
            row = found.setdefault(name, {"readers": []})
            row["readers"].append(reader.name)
            for column, text in said.items():
                row.setdefault(column, {}).setdefault(_sentence(text), []).append(reader.name)
    return found


def _sentence(text: str) -> str:
    return text.removesuffix(".")


def _cell(said: Mapping[str, list[str]]) -> str:
    """One text, or each with the readers that say it."""
    if len(said) == 1:
        return _escape(next(iter(said)))
    return "; ".join(f"{_escape(text)} ({', '.join(readers)})" for text, readers in said.items())


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def configuration() -> str:
    """docs/configuration.md: every environment variable of every container."""
    table = rows()
    parts = [_CONFIGURATION_HEAD]
    for reader in READERS:
        names = sorted(name for name, row in table.items() if row["readers"][0] == reader.name)
        parts.append(f"## {reader.title}\n" + (f"\n{reader.about}\n" if reader.about else ""))
        parts.append(
            "| variable | type | default | allowed | effect | a malformed value | read by |\n|---|---|---|---|---|---|---|"
        )
        parts += [_line(name, table[name]) for name in names]
        parts.append("")
    parts.append("## Combinations that are refused\n")
    parts.append(
        "ipam exits with the reason `CONFIG_INVALID` and names all of them; the chart refuses them at install.\n"
    )
    parts += [f"- {message}" for message in dict.fromkeys(str(case["message"]) for case in combinations.combinations())]
    parts.append("\n## Read by libraries and at the process's start\n\n| variable | read by | effect |\n|---|---|---|")
    parts += [f"| {_code(names)} | {reader} | {effect} |" for names, reader, effect in OTHERS]
    return "\n".join(parts) + "\n"


def _code(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _line(name: str, row: Mapping[str, Any]) -> str:
    waits = any(setting.name == name for setting in ipam.NOT_YET)
    effect = _cell(row["effect"]) + (" (**read, but without effect in this version**)" if waits else "")
    cells = (_cell(row["type"]), _cell(row["default"]), _cell(row["allowed"]), effect, _cell(row["malformed"]))
    return f"| `{name}` | " + " | ".join(cells) + f" | {', '.join(row['readers'])} |"


_CONFIGURATION_HEAD: Final = """# Configuration

Every environment variable, made from the declarations in the code (`python docs/generate.py`). Those without `VPCCNI_` in their name
are the original's, with its names and meanings. All are optional; unset and empty are the same.

- *Boolean as a String*: what Go's `strconv.ParseBool` takes. `TrUe`, `yes` and `on` are malformed.
- A malformed value never takes a node down: the default stands in for it, and the log, the metric `vpccni_bad_settings_total` and
  an event on the aws-node pod name the variable, the value and what is allowed. The chart refuses malformed values at install.
"""

PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "metrics.md": metrics_page.page,
    "reasons.md": reason_causes.page,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="docs/generate.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when a page is stale")
    check: bool = parser.parse_args().check
    stale = False
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        if not check:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{name}: {'stale' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
