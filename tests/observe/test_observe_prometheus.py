"""A real Prometheus scrapes the lab as it would a cluster: metric names, dashboards, alerts, exemplars, the helper's sums."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import observed
import pytest
import yaml
from moto import mock_aws
from observed import REPO, Prometheus, free_port, promtool, wait_until
from vpccni_chart import metrics_page
from vpccni_lab.client import LabClient
from vpccni_lab.nodes.node import Node
from vpccni_lab.runtime.pods import Failure, new_pod
from vpccni_metrics_helper.adapters.cloudwatch import CloudWatchApi
from vpccni_metrics_helper.adapters.kube import Api, KubeCluster
from vpccni_metrics_helper.collect import Collect
from vpccni_metrics_helper.domain.catalog import CATALOG

pytestmark = [pytest.mark.lab, pytest.mark.slow]
PORTS = {"ipam": 61678, "netconf": 61683, "eni-manager": 61684}
BOARDS = sorted((REPO / "deploy/helm/aws-vpc-cni/dashboards").glob("*.json"))
RULES = REPO / "deploy/helm/aws-vpc-cni/rules/alerts.yaml"
NAME = re.compile(r"\b(?:awscni|vpccni)_[a-z0-9_]+")


def scrape(node: Node, port: int) -> str:
    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return node.inside(ask)


@pytest.fixture(scope="module")
def prometheus(observed_lab: LabClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scraping, with everything that a bad day has: waits, throttles, refusals, a full node, deleted rules."""
    try:
        observed.prometheus_root()
    except observed.MissingError as missing:
        pytest.skip(f"needs {missing}")
    nodes = observed_lab.nodes(cni="vpccni")
    targets = [
        {
            "targets": [f"{node.address}:{port}"],
            "labels": {
                "node": node.name,
                "container": name,
                "pod": f"aws-node-{node.name}",
                "namespace": "kube-system",
            },
        }
        for node in nodes
        for name, port in PORTS.items()
    ]
    made = Prometheus(nodes[0], targets, tmp_path_factory.mktemp("prometheus"), [RULES])
    try:
        wait_until(made.ready, "Prometheus is ready")
        wait_until(
            lambda: len([up for up in made.value("up") if up["value"][1] == "1"]) == 6, "six targets are scraped"
        )
        bad_day(observed_lab)
        yield made
    finally:
        made.stop()


def bad_day(lab: LabClient) -> None:
    with lab.pods("node-a") as on_a, lab.pods("node-b") as on_b:
        fill = on_b.run([new_pod("node-b", f"full-{i}") for i in range(11)])
        assert any(isinstance(outcome, Failure) for outcome in fill)
        for wave in range(3):
            lab.add_fault({"kind": "throttle", "actions": "Assign*", "one_in": 1000, "for_seconds": 1.0})
            pods = [new_pod("node-a", f"wave-{wave}-{i}") for i in range(4)]
            assert not any(isinstance(outcome, Failure) for outcome in on_a.run(pods))
            on_a.stop(pods[:1])
            on_b.run([new_pod("node-b", f"late-{wave}")])
            for node in lab.nodes(cni="vpccni"):
                node.run(["ip", "rule", "flush"])
                node.run(["ip", "rule", "add", "from", "all", "lookup", "main", "pref", "32766"])
            time.sleep(1.5)  # the next scrape sees the next step of every counter
        lab.add_fault({"kind": "deny", "actions": "Assign*", "count": 1})
        on_a.run([new_pod("node-a", f"denied-{i}") for i in range(6)])


def queries() -> Iterator[tuple[str, str, str]]:
    for path in BOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield path.stem, panel["title"], target["expr"]


def asked(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m").replace("$node", "node-.*")


def has_data(found: list[dict[str, Any]]) -> bool:
    return any(math.isfinite(float(series["value"][1])) for series in found)


def test_every_panel_of_every_dashboard_has_data(prometheus: Prometheus) -> None:
    waiting = list(queries())
    assert len(waiting) > 50

    def all_answered() -> bool:
        waiting[:] = [row for row in waiting if not has_data(prometheus.value(asked(row[2])))]
        return not waiting

    try:
        wait_until(all_answered, "every panel has data", 60)
    except AssertionError:
        pytest.fail("no data:\n" + "\n".join(f"{board} / {title}: {asked(query)}" for board, title, query in waiting))


def test_rules_are_evaluated_and_the_bad_day_is_seen(prometheus: Prometheus) -> None:
    def states() -> dict[str, str]:
        return {
            rule["name"]: rule["state"]
            for group in prometheus.get("rules")["groups"]
            for rule in group["rules"]
            if rule["type"] == "alerting"
        }

    expected = {"VpcCniGrowthBlocked", "VpcCniBadSetting", "VpcCniAddFailures", "VpcCniPodStartBudgetBurn"}
    wait_until(lambda: expected <= {name for name, state in states().items() if state != "inactive"}, str(expected), 60)
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    assert states()["VpcCniDown"] == states()["VpcCniForceRemoved"] == "inactive"


def test_every_metric_of_dashboards_rules_and_runbooks_is_in_a_scrape(prometheus: Prometheus) -> None:
    known = set(prometheus.get("label/__name__/values"))
    asked_for = {name for _, _, query in queries() for name in NAME.findall(query)}
    text = RULES.read_text() + "".join(path.read_text() for path in (REPO / "docs/runbooks").glob("*.md"))
    recorded = {
        rule["record"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    asked_for |= {name for name in NAME.findall(text) if not any(name in record for record in recorded)}
    assert asked_for - known == set()


def test_everything_scraped_is_on_the_reference_page_with_its_labels(prometheus: Prometheus) -> None:
    rows = {row.name: row for of_process in metrics_page.rows().values() for row in of_process}
    given_by_prometheus = {"__name__", "instance", "job", "node", "container", "pod", "namespace", "le"}
    for name in prometheus.get("label/__name__/values"):
        if not name.startswith(("awscni_", "vpccni_")):
            continue
        row = rows.get(name) or rows[re.sub("_(bucket|count|sum)$", "", name)]
        for series in prometheus.value(name):
            assert set(series["metric"]) - given_by_prometheus <= set(row.labels), name


def test_exemplars_lead_from_a_slow_add_to_its_trace(prometheus: Prometheus, observed_lab: LabClient) -> None:
    def found() -> list[str]:
        now = time.time()
        answer = prometheus.get(
            "query_exemplars",
            query='vpccni_rpc_duration_seconds_bucket{method="AddPod",reason="ok"}',
            start=str(now - 300),
            end=str(now),
        )
        return [one["labels"]["trace_id"] for series in answer for one in series["exemplars"]]

    wait_until(lambda: bool(found()), "an exemplar")
    spans = observed_lab.spans(found()[-1], has="cni.add")
    assert "ipam.AddPod" in {span.name for span in spans}


def test_promtool_objects_only_to_names_of_the_original(prometheus: Prometheus, observed_lab: LabClient) -> None:
    for node in observed_lab.nodes(cni="vpccni"):
        for port in PORTS.values():
            complaints = promtool("check", "metrics", stdin=scrape(node, port))
            lines = (complaints.stdout + complaints.stderr).splitlines()
            assert [line for line in lines if line.strip() and not line.startswith("awscni_")] == []


class ApiServer:
    """The two calls of the API server that the helper makes: pods, and the proxy to a pod's port (inside its node)."""

    def __init__(self, nodes: list[Node]) -> None:
        by_pod = {f"aws-node-{node.name}": node for node in nodes}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                found = re.fullmatch(r"/api/v1/namespaces/kube-system/pods/([^:/]+):(\d+)/proxy/metrics", path)
                if path == "/api/v1/namespaces/kube-system/pods" and "k8s-app%3Daws-node" in query:
                    self._answer(
                        json.dumps({"items": [pod(name) for name in (*by_pod, "aws-node-gone")], "metadata": {}})
                    )
                elif found and found[1] in by_pod:
                    self._answer(scrape(by_pod[found[1]], int(found[2])))
                else:
                    self.send_error(503)

            def _answer(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def pod(name: str) -> dict[str, Any]:
    ports = {"metrics": 61678, "eni-metrics": 61684, "netconf-metrics": 61683, "health": 61680}
    containers = [{"name": "c", "ports": [{"name": key, "containerPort": port} for key, port in ports.items()]}]
    return {"metadata": {"name": name}, "spec": {"containers": containers}, "status": {"phase": "Running"}}


@pytest.fixture(scope="module")
def api_server(observed_lab: LabClient) -> Iterator[str]:
    server = ApiServer(observed_lab.nodes(cni="vpccni"))
    yield server.url
    server.close()


def test_the_metrics_helper_shows_the_sum_of_all_nodes(
    prometheus: Prometheus, observed_lab: LabClient, api_server: str, tmp_path: Path
) -> None:
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "VPCCNI_KUBERNETES_API": api_server,
        "USE_CLOUDWATCH": "false",
        "USE_PROMETHEUS": "true",
        "METRIC_UPDATE_INTERVAL": "1",
        "VPCCNI_METRICS_HELPER_PORT": str(port),
    }
    with (tmp_path / "log").open("wb") as log:
        helper = subprocess.Popen([sys.executable, "-m", "vpccni_metrics_helper"], env=env, stderr=log)
    try:

        def shown() -> dict[str, float]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
            return {name: float(value) for name, value in lines}

        wait_until(lambda: observed.answers(f"http://127.0.0.1:{port}/metrics"), "the helper serves")
        wait_until(lambda: shown().get("vpccni_cluster_nodes") == 2, "two nodes were pulled")
        now = shown()
        assert now["vpccni_cluster_nodes_unreachable"] == 1  # aws-node-gone
        for name in ("awscni_eni_max", "awscni_ip_max", "awscni_assigned_ip_addresses", "awscni_total_ip_addresses"):
            assert now[name] == sum(float(one["value"][1]) for one in prometheus.value(name)), name
        assert now["vpccni_cluster_growth_blocked"] == 1
        complaints = promtool("check", "metrics", stdin=_text(port))
        assert complaints.returncode == 0, complaints.stdout + complaints.stderr
    finally:
        helper.terminate()
        assert helper.wait(10) == 0


def _text(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_the_metrics_helper_sends_the_twenty_names_of_the_original(
    prometheus: Prometheus, observed_lab: LabClient, api_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        cluster = KubeCluster(Api(api_server), "kube-system", "k8s-app=aws-node")
        collect = Collect(cluster, CloudWatchApi("trial", "us-west-2"))
        collect.once()
        with observed_lab.pods("node-a") as pods:
            made = [new_pod("node-a", f"counted-{i}") for i in range(3)]
            pods.run(made)
            pods.stop(made)
        collect.once()
        client = boto3.client("cloudwatch", region_name="us-west-2")
        sent = client.list_metrics(Namespace="Kubernetes", Dimensions=[{"Name": "CLUSTER_ID", "Value": "trial"}])[
            "Metrics"
        ]
        names = {one["MetricName"] for one in sent}
        assert names <= {item.cloudwatch for item in CATALOG}
        assert {"eniAllocated", "maxIPAddresses", "addReqCount", "ec2ApiReqCount", "awsAPILatency"} <= names
        values = {item.cloudwatch: value for item, value in collect.shown.items()}
        assert (values["addReqCount"], values["delReqCount"]) == (3, 3)
        assert collect.send_failures == 0
