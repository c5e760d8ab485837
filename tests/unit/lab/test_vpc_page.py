"""The VPC's page: every address of a subnet by what holds it, calls with what was refused, and nothing that is fetched."""

from __future__ import annotations

import dataclasses
import html.parser
from typing import Any

from vpccni_lab.page.vpc import View, page

_ENI: dict[str, Any] = {
    "id": "eni-1", "subnet": "subnet-1", "private_ip": "10.0.1.10", "secondary_ips": ["10.0.1.11", "10.0.1.12"],
    "prefixes": ["10.0.1.16/28"],
}  # fmt: skip
_VIEW = View(
    status={
        "name": "demo",
        "vpc": "vpc-1",
        "nodes": [
            {
                "name": "node-a",
                "instance_type": "m5.large",
                "address": "10.0.1.10",
                "services": {"ipam": {"pid": None}, "netconf": {"pid": 7}},
            },
            {"name": "plain", "instance_type": "m5.large", "address": "10.0.2.9", "services": {}},
        ],
    },
    enis={"node-a": [_ENI], "plain": []},
    subnets=[
        {
            "SubnetId": "subnet-1",
            "CidrBlock": "10.0.1.0/24",
            "AvailabilityZone": "us-west-2a",
            "AvailableIpAddressCount": 232,
            "Tags": [{"Key": "kubernetes.io/role/cni", "Value": "<1>"}],
        }
    ],
    counts=[
        ("node-a", "CreateNetworkInterface", "OK", 2),
        ("node-a", "CreateNetworkInterface", "RequestLimitExceeded", 3),
        ("operator", "DescribeVpcs", "OK", 9),
    ],
    faults=[{"id": "fault-1", "kind": "throttle", "actions": ["Create*"], "acted": 3}],
    pages={"node-a": "/node/node-a"},
    now_unix=0,
)


class Elements(html.parser.HTMLParser):
    """Classes of the address cells, links, and every element that would fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "i" and given.get("title"):
            self.cells.append((str(given["class"]), str(given["title"])))
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag in ("script", "link", "img", "iframe") or "src" in given:
            self.fetched.append(tag)


def test_every_address_is_drawn_by_what_holds_it() -> None:
    shown = Elements(page(_VIEW))
    states = [state for state, _ in shown.cells]
    assert len(states) == 256 and states.count("reserved") == 5
    assert (states.count("primary"), states.count("secondary"), states.count("prefix")) == (1, 2, 16)
    assert ("secondary", "10.0.1.11 secondary eni-1 of node-a") in shown.cells
    assert shown.links == ["/node/node-a"] and shown.fetched == []


def test_services_that_are_down_faults_and_refusals_are_red() -> None:
    text = page(_VIEW)
    assert "<span class=bad>ipam down</span>" in text and "<td class=bad>throttle" in text
    assert "<td>CreateNetworkInterface<td>5<td>node-a 5<td><span class=bad>RequestLimitExceeded 3</span>" in text
    assert "DescribeVpcs" not in text, "the lab's own questions"
    assert "kubernetes.io/role/cni=&lt;1&gt;" in text


def test_a_large_subnet_shows_what_is_taken_only() -> None:
    large = {**_VIEW.subnets[0], "CidrBlock": "10.0.0.0/16"}
    shown = Elements(page(dataclasses.replace(_VIEW, subnets=[large], faults=[])))
    assert len(shown.cells) == 19 and "<h2>Faults" not in page(dataclasses.replace(_VIEW, faults=[]))
