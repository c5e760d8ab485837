"""An ENI that somebody else detaches while ipam does not run: netconf, which ran on, lets it go, and its rule with it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from vpccni_lab.client import LabClient

from .conftest import FAST, ONE_NODE

pytestmark = pytest.mark.lab
NAME = "node-a"


def becomes(look: Callable[[], object], wanted: object) -> object:
    """What ``look`` gives in the end; the limit is for a hang."""
    deadline = time.monotonic() + 20
    while look() != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return look()


def test_the_rule_of_an_eni_that_was_detached_meanwhile_goes(make_lab: Callable[..., LabClient]) -> None:
    lab = make_lab(nodes=ONE_NODE, env={**FAST, "WARM_IP_TARGET": "12"}, traces=False)
    node = lab.node(NAME)

    def rules() -> list[str]:
        return [line for line in node.run(["ip", "rule"]).stdout.splitlines() if line.startswith("32765:")]

    assert becomes(lambda: len(rules()), 1) == 1
    second = lab.enis()[NAME][1]
    assert second["private_ip"] in rules()[0]
    lab.service(NAME, "ipam", "kill")
    (eni,) = lab.ec2("DescribeNetworkInterfaces", NetworkInterfaceIds=[second["id"]])["NetworkInterfaces"]
    lab.ec2("DetachNetworkInterface", AttachmentId=eni["Attachment"]["AttachmentId"], Force=True)
    assert becomes(lambda: len(lab.enis()[NAME]), 1) == 1
    lab.service(NAME, "eni-manager", "restart")  # believes for 15 s that EC2 does not show yet what it made
    lab.service(NAME, "ipam", "start", env={"MAX_ENI": "1"})
    lab.wait_ready(NAME)
    assert becomes(rules, []) == []
