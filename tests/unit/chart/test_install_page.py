"""docs/install.md names every value of the chart, the capabilities, and paths that exist."""

from __future__ import annotations

import re

import pytest
import yaml
from vpccni_chart.__main__ import REPO
from vpccni_chart.manifest import CHART

TEXT = (REPO / "docs/install.md").read_text()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
TABLE = TEXT.split("## Values")[1].split("## Upgrading")[0]


def test_every_value_is_in_the_table_and_none_is_invented() -> None:
    rows = [line.split("|")[1] for line in TABLE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Za-z]+)`", row)}
    assert named == VALUES.keys() | {"securityContext"}  # accepted for the original's sake only


def test_capabilities() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| `netconf` |"))
    assert re.findall(r"`([A-Z_]+)`", row) == VALUES["netconf"]["capabilities"]


@pytest.mark.parametrize("page", ["install.md", "migration.md", "iam-policy.md"])
def test_paths_that_are_named_exist(page: str) -> None:
    text = (REPO / "docs" / page).read_text()
    pending = {"docs/configuration.md"}  # generated from the settings, elsewhere
    for path in set(re.findall(r"(?:docs|deploy|tests|services)/[\w./-]+\w", text)) - pending:
        assert (REPO / path).exists(), path


@pytest.mark.parametrize("service", ["eniManager", "ipam", "netconf"])
def test_ports(service: str) -> None:
    assert str(VALUES[service]["healthPort"]) in TEXT
    assert str(VALUES[service]["metricsPort"]) in TEXT
