"""The chart's alerts: accepted and tested by promtool, each with a runbook and a test of its own."""

from __future__ import annotations

import re
from typing import Any

import observed
import pytest
import yaml
from observed import REPO

RULES = REPO / "deploy/helm/aws-vpc-cni/rules/alerts.yaml"
TESTS = REPO / "tests/rules/alerts_test.yaml"
RUNBOOKS = REPO / "docs/runbooks"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


@pytest.fixture(scope="module", autouse=True)
def promtool_is_here() -> None:
    try:
        observed.prometheus_root()
    except observed.MissingError as missing:
        pytest.skip(f"needs {missing}")


@pytest.mark.parametrize("arguments", [("check", "rules", str(RULES)), ("test", "rules", str(TESTS))], ids=" ".join)
def test_promtool(arguments: tuple[str, ...]) -> None:
    done = observed.promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_to_fire() -> None:
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_runbook(name: str) -> None:
    rule = ALERTS[name]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert [f"## {part}" in page for part in ("Look", "Cure")] == [True, True]
    for link in re.findall(r"\]\((\w+\.md)\)", page):
        assert (RUNBOOKS / link).is_file(), link


def test_the_index_lists_every_runbook_and_no_other() -> None:
    index = (RUNBOOKS / "README.md").read_text()
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == pages == set(ALERTS)
