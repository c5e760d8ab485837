"""The twenty complaints that users of the original have most, each seeded on a node of the lab, and what names it.

Named means: ``vpccni doctor``, ``vpccni explain``, an alert of the chart on a real Prometheus, the pod's event, or, where the
complaint cannot come up any more, a look that would fail if it could. The table goes to the terminal and build/complaints.json;
docs/troubleshooting.md lists the same by symptom.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import observed
import pytest
from complaints import SEEDS, Scene
from node_api import ENVIRONMENT, NodeApi
from reason_stage import METRICS, Stage
from vpccni_lab.client import LabClient
from vpccni_lab.spec import NodeSpec, SubnetSpec

from .conftest import FAST

pytestmark = [pytest.mark.lab, pytest.mark.slow]
REPO: Final = Path(__file__).resolve().parents[2]
RULES: Final = REPO / "deploy/helm/aws-vpc-cni/rules/alerts.yaml"
TABLE: Final = REPO / "build/complaints.json"
ENV: Final = {
    **FAST,
    **ENVIRONMENT,
    "WARM_IP_TARGET": "1",
    "MINIMUM_IP_TARGET": "1",
    "VPCCNI_ADD_WAIT": "4",
}


@dataclasses.dataclass(frozen=True)
class Complaint:
    """``number``: its rank. ``expect``: a part of what is said that names it. ``seed``: name in tests/support/complaints.py."""

    number: int
    says: str
    seeded: str
    named_by: str
    expect: str

    @property
    def seed(self) -> Callable[[Scene], str]:
        return SEEDS[self.number]


TOP: Final = (
    Complaint(1, "pods fail, no reason given", "EC2: subnet full", "explain pod", "SUBNET_FULL"),
    Complaint(2, "working pods lose their network", "ENI detached under pods", "doctor quarantine", "1 addresses"),
    Complaint(3, "rules vanish, pods unreachable", "ip rules deleted again and again", "alert DriftFight", "keeps undoing"),
    Complaint(4, "few pods, empty subnet", "WARM_ENI_TARGET=1 in a /27", "alert SubnetAlmostFull", "free addresses"),
    Complaint(5, "no /28 in a subnet with free IPs", "EC2: no prefix", "alert PrefixesFragmented", "no free /28"),
    Complaint(6, "EC2 throttles, nodes crawl", "EC2: RequestLimitExceeded", "doctor EC2 budget", "throttle"),
    Complaint(7, "churn: no address though some look free", "all addresses cooling", "explain pod", "ALL_COOLING"),
    Complaint(8, "new node Ready, first pods fail", "eni-manager hangs at start", "CNI STATUS, ADD", "STATUS: code 50"),
    Complaint(9, "pods on nodes without addresses", "node of 2 addresses, 3 pods", "alert GrowthBlocked", "ENI_LIMIT"),
    Complaint(10, "ENIs left behind", "kill -9 between create and attach", "cannot stay", "0 ENIs are left"),
    Complaint(11, "pods stay Terminating", "netconf killed, pods deleted", "doctor queued DELs", "1 wait on disk"),
    Complaint(12, "DNS times out, conntrack full", "a full connection table", "doctor conntrack", "entries in use"),
    Complaint(13, "upgrade resets or breaks settings", "WARM_ENI_TARGET=plenty", "alert BadSetting", "WARM_ENI_TARGET is malformed"),
    Complaint(14, "NodePort times out on other ENIs", "rp_filter=1 on eth0", "doctor rp_filter, put back", "eth0=1"),
    Complaint(15, "policy arrives late, init fails", "no policy agent on the node", "cannot come from ADD", "ADD in"),
    Complaint(16, "restarted by its own probes", "EC2 away, eni-manager hangs", "cannot be restarted", "live: SERVING, ready: NOT_SERVING"),
    Complaint(17, "no start without API server", "API server refuses", "doctor apiserver", "KUBERNETES_UNREACHABLE"),
    Complaint(18, "custom networking: pods stuck", "no ENIConfig", "doctor growth", "ENI_CONFIG_MISSING"),
    Complaint(19, "subnet discovery picks none", "subnet tagged role/cni=0", "doctor subnets", "kubernetes.io/role/cni"),
    Complaint(20, "security groups for pods: stuck", "no branch ENI", "the pod's event", "has no branch ENI"),
)  # fmt: skip


@pytest.fixture(scope="module")
def scene(make_lab: Callable[..., LabClient], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    try:
        observed.prometheus_root()
    except observed.MissingError as missing:
        pytest.skip(f"needs {missing}")
    hoards = dict.fromkeys(("WARM_IP_TARGET", "MINIMUM_IP_TARGET"), "")  # unset: WARM_ENI_TARGET=1 it is
    nodes = (
        NodeSpec("big", "a", instance_type="t3.small", env=ENV),
        NodeSpec("tiny", "a", instance_type="t3.nano", env=ENV),
        NodeSpec("hoard", "small", env={**ENV, **hoards, "VPCCNI_KUBERNETES": "off"}),
    )
    subnets = (SubnetSpec("a", "10.0.1.0/24"), SubnetSpec("small", "10.0.2.0/27"))
    lab = make_lab(nodes=nodes, subnets=subnets)
    apis = {name: NodeApi(lab.node(name)) for name in ("big", "tiny")}
    prometheus = None
    try:
        for name in apis:
            lab.service(name, "ipam", "restart")  # now it has its API server
        stages = {name: Stage(lab, name, api, dict(nodes[i].env)) for i, (name, api) in enumerate(apis.items())}
        targets = [
            {"targets": [f"{node.address}:{port}"], "labels": {"node": node.name, "container": service}}
            for node in lab.nodes(cni="vpccni")
            for service, port in METRICS.items()
        ]
        directory = tmp_path_factory.mktemp("prometheus")
        prometheus = observed.Prometheus(lab.node("big"), targets, directory, [RULES])
        observed.wait_until(prometheus.ready, "Prometheus is ready")
        yield Scene(stages["big"], stages["tiny"], prometheus, directory)
    finally:
        if prometheus is not None:
            prometheus.stop()
        for api in apis.values():
            api.close()


said: dict[int, str] = {}


@pytest.mark.parametrize("complaint", TOP, ids=lambda c: f"{c.number}-{c.named_by.replace(' ', '-')}")
def test_a_complaint_is_named(complaint: Complaint, scene: Scene) -> None:
    for stage in (scene.big, scene.tiny):
        stage.reset()
    said[complaint.number] = complaint.seed(scene)
    assert complaint.expect in said[complaint.number]


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Written last; a row that was not reached says so."""
    assert [complaint.number for complaint in TOP] == list(range(1, 21))
    rows = [
        {**dataclasses.asdict(c), "said": said.get(c.number, ""), "ok": c.expect in said.get(c.number, "")} for c in TOP
    ]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(json.dumps(rows, indent=1) + "\n")
    with capsys.disabled():
        print()
        for row in rows:
            mark = "ok" if row["ok"] else "--"
            print(
                f"{mark} {row['number']:>2} {row['says']:<40} {row['named_by']:<24} {' '.join(str(row['said']).split())[:140]}"
            )
    if os.environ.get("PYTEST_XDIST_WORKER") is None and len(said) == len(TOP):
        assert all(row["ok"] for row in rows)
