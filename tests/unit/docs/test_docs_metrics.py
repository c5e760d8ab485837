"""docs/metrics.md: made from the code as it is, with every metric of the original under its name, type and labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from vpccni_chart import metrics_page

PAGE = (Path(__file__).parents[3] / "docs/metrics.md").read_text(encoding="utf-8")
ROWS = {row.name: row for rows in metrics_page.rows().values() for row in rows}
# Of the original, release 1.23.1: name, type, labels.
ORIGINAL = """
ipamd_error_count counter fn
ipamd_action_inprogress gauge fn
eni_max gauge
ip_max gauge
reconcile_count counter fn
add_ip_req_count counter
del_ip_req_count counter reason
pod_eni_error_count counter fn
aws_api_latency_ms summary api,error,status
aws_api_error_count counter api,error
aws_utils_error_count counter fn,error
ec2api_req_count counter fn
ec2api_error_count counter fn
eni_allocated gauge
total_ip_addresses gauge
assigned_ip_addresses gauge
total_ipv4_prefixes gauge
force_removed_enis counter
force_removed_ips counter
assigned_ip_per_cidr gauge cidr
assigned_ip_per_eni gauge eni
no_available_ip_addresses counter
ipamd_startup_duration_seconds histogram success,with_api_server,failure_reason
ipamd_node_initialization_duration_seconds histogram success
connmark_backend gauge backend
connmark_reconcile_total counter result
build_info gauge version,goversion
"""


def test_the_page_is_current() -> None:
    assert metrics_page.page() == PAGE, "run: python docs/generate.py"


@pytest.mark.parametrize("line", ORIGINAL.split("\n")[1:-1])
def test_every_metric_of_the_original_is_there_as_it_was(line: str) -> None:
    name, kind, *labels = line.split(" ")
    row = ROWS[f"awscni_{name}"]
    assert row.type == kind
    assert row.labels == tuple(labels[0].split(",") if labels else ())


def test_no_metric_of_ours_has_the_original_s_prefix() -> None:
    known = {f"awscni_{line.split(' ')[0]}" for line in ORIGINAL.split("\n")[1:-1]}
    assert {name for name in ROWS if name.startswith("awscni_")} == known


def test_counters_of_ours_end_in_total_and_every_metric_has_a_meaning() -> None:
    ours = [row for row in ROWS.values() if row.name.startswith("vpccni_")]
    assert [row.name for row in ours if (row.type == "counter") != row.name.endswith("_total")] == []
    assert [row.name for row in ROWS.values() if len(row.text) < 5 or row.text.endswith(".")] == []
