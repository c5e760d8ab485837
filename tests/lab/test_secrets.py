"""No log line, metric, span or answer holds a secret: a node with known ones, everything at DEBUG, every fault that prints."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from node_api import ENVIRONMENT, NodeApi
from vpccni_lab.client import LabClient
from vpccni_lab.ec2.credentials import access_key_of, secret_of
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Failure, Pod
from vpccni_lab.spec import NodeSpec

from .conftest import FAST

pytestmark = pytest.mark.lab
TOKEN: Final = "seeded-bearer-token-000000000000000001"
PORTS: Final = (61678, 61679, 61683, 61684)


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> Iterator[LabClient]:
    env = {
        **FAST,
        **ENVIRONMENT,
        "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
        "WARM_IP_TARGET": "1",
        "VPCCNI_ADD_WAIT": "3",
    }
    made = make_lab(nodes=(NodeSpec("node-a", "a", env=env),))
    api = NodeApi(made.node("node-a"), token=TOKEN)
    try:
        made.service("node-a", "ipam", "restart")
        made.wait_ready("node-a")
        yield made
    finally:
        api.close()


def said_by(lab: LabClient) -> Iterator[tuple[str, str]]:
    """(where, text) of everything that the node's services wrote or answer."""
    node, state = lab.node("node-a"), lab.state
    for path in (*state.logs.glob("node-a-*.log"), *Path(state.node_dir("node-a"), "log").glob("*")):
        yield path.name, path.read_text(errors="replace")
    for port in PORTS:
        for page in ("metrics", "", "v1/ipamd-env-settings", "v1/enis"):
            yield f"{port}/{page}", node.inside(lambda: fetch(port, page))  # noqa: B023
    for command in ("status", "doctor", "verify"):
        done = node.run([sys.executable, "-m", "vpccni_cli", command, "--output", "json"], timeout=90)
        yield f"vpccni {command}", done.stdout + done.stderr
    for trace_id in lab.call("traces", name="", count=500):
        yield "spans", json.dumps([repr(span) for span in lab.spans(trace_id, within=0.0)])


def fetch(port: int, page: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def bad_day(lab: LabClient) -> list[Any]:
    """Failures of every dependency: their messages are what might quote a request."""
    outcomes: list[Any] = []
    with lab.pods("node-a") as pods:
        for fault in (
            {"kind": "deny", "count": 3},
            {"kind": "error", "code": "AuthFailure", "status": 401, "count": 3},
            {"kind": "reset", "count": 3},
            {"kind": "imds-error", "status": 500, "count": 3},
        ):
            lab.add_fault({"actions": [] if fault["kind"] == "imds-error" else ["Assign*", "Describe*"], **fault})
            outcomes += pods.run([podlib.new_pod("node-a", f"{fault['kind']}-{i}") for i in range(3)])
            lab.service("node-a", "eni-manager", "restart")
            lab.clear_faults()
        pods.remove([pod for pod in outcomes if isinstance(pod, Pod)])
    return outcomes


def test_no_secret_is_written_or_answered(lab: LabClient) -> None:
    failures = [outcome for outcome in bad_day(lab) if isinstance(outcome, Failure)]
    places = list(said_by(lab))
    places += [("CNI errors", str(failure.error)) for failure in failures]
    logged = "".join(text for where, text in places if where.endswith(".log"))
    assert '"level": "debug"' in logged and len(logged) > 5000, "there is something to look at"
    instance = lab.node("node-a").instance_id
    secrets = [access_key_of(instance), secret_of(instance), f"vpclab-session-{instance}", TOKEN]
    found = [(where, secret) for where, text in places for secret in secrets if secret in text]
    assert found == []
    signed = re.compile(
        r"AWS4-HMAC-SHA256|Signature=|X-Amz-Security-Token|[Bb]earer [^ ]|x-aws-ec2-metadata-token: ", re.I
    )
    assert [(where, match[0]) for where, text in places if (match := signed.search(text))] == []


def test_the_secrets_are_used(lab: LabClient) -> None:
    """EC2 knows the caller by the key; the API server's stand-in answers nobody without the token."""
    assert any(caller == lab.node("node-a").instance_id or caller == "node-a" for caller, *_ in lab.ec2_counts())
    found = lab.node("node-a").run([sys.executable, "-m", "vpccni_cli", "status", "--output", "json"]).stdout
    assert {"name": "apiserver", "ok": True} in [
        {"name": one["name"], "ok": one["ok"]} for one in json.loads(found)["dependencies"]
    ]
