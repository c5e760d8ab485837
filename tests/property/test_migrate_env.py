"""Whatever environment a DaemonSet of the original has: one verdict for each variable, and values that the chart takes."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from vpccni_cli.migration import facts, plan, workload
from vpccni_cli.migration.original_env import ORIGINAL, RENAMED
from vpccni_cli.migration.verdict import Outcome

NAMES = st.sampled_from([*ORIGINAL, *RENAMED, "AWS_REGION", "OTEL_SERVICE_NAME", "OWN", "VPCCNI_IPAM_SOCKET"])
VALUES = st.one_of(
    st.sampled_from(
        ["", "true", "false", "1", "0", "TrUe", "-3", "30", "9001", "prng", "none", "eni", "vlan", "stdout"]
    ),
    st.sampled_from(["10.0.0.0/8,x", '{"a":"b"}', "[]", "DEBUG", "strict", "unix:/x", "/var/run/aws-node/x.json"]),
    st.text(alphabet="abz019,./-{}", max_size=8),
)
ENV = st.dictionaries(NAMES, VALUES, max_size=12)
VERSIONS = st.sampled_from(["v1.12.0", "v1.16.4-eksbuild.1", "v1.23.1", "latest"])


def made(env: dict[str, str], version: str) -> plan.Plan:
    container = {
        "name": "aws-node",
        "image": f"example.org/cni:{version}",
        "env": [{"name": name, "value": value} for name, value in env.items() if name != "VPC_CNI_VERSION"],
    }
    pod = {"hostNetwork": True, "serviceAccountName": "aws-node", "containers": [container]}
    spec = {"selector": {"matchLabels": {"k8s-app": "aws-node"}}, "template": {"spec": pod}}
    return plan.make(
        workload.read([{"kind": "DaemonSet", "metadata": {"name": "aws-node"}, "spec": spec}]), facts.load()
    )


@settings(max_examples=300, deadline=None)
@given(env=ENV, version=VERSIONS)
def test_one_verdict_each(env: dict[str, str], version: str) -> None:
    subjects = [verdict.subject for verdict in made(env, version).verdicts]
    for name in env.keys() - {"VPC_CNI_VERSION"}:
        assert sum(bool(re.match(rf"env\.{name}=", subject)) for subject in subjects) == 1


@settings(max_examples=300, deadline=None)
@given(env=ENV, version=VERSIONS)
def test_the_services_take_the_values(env: dict[str, str], version: str) -> None:
    known = facts.load()
    found = made(env, version)
    given_env = {name: str(value) for name, value in found.values.get("env", {}).items()}
    for name, value in given_env.items():
        assert not known.knows(name) or known.problem(name, value) == ""
        assert name not in known.chart_sets
    impossible = [verdict.why for verdict in found.of(Outcome.REFUSED) if verdict.subject == "env"]
    assert impossible == known.impossible(given_env)


@settings(max_examples=200, deadline=None)
@given(env=ENV)
def test_what_is_the_same_keeps_its_value(env: dict[str, str]) -> None:
    found = made(env, "v1.23.1")
    for verdict in found.of(Outcome.SAME):
        for name, value in verdict.values.get("env", {}).items():
            assert value == env[name].strip()
