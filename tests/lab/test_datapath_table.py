"""The packet table on a lab: as expected with our services, and rows that differ where something of the datapath is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.datapath import chained, labs
from vpccni_lab.datapath.observe import Observed, observe
from vpccni_lab.datapath.rows import SETTINGS, rows

pytestmark = [pytest.mark.lab, pytest.mark.slow]
MODE = labs.MODES[0]
NODE = "nft"


@pytest.fixture(scope="module")
def lab(lab_name: Callable[[], str]) -> Iterator[LabClient]:
    with labs.lab_of(MODE, lab_name(), lambda text: None) as made:
        yield made


def table(lab: LabClient) -> list[Observed]:
    plans = [(backend, plan) for backend, place in labs.places(lab, MODE) for plan in rows(place, SETTINGS[0])]
    return observe(MODE.name, SETTINGS[0].name, [(backend, plan) for backend, plan in plans if plan.questions])


def differing(found: list[Observed]) -> set[tuple[str, str]]:
    return {(row.backend, row.path) for row in found if not row.ok}


def test_everything_arrives_as_expected_and_every_eni_has_a_pod(lab: LabClient) -> None:
    assert [{pod.eni for pod in place.pods} for _, place in labs.places(lab, MODE)] == [{"eth0", "eth1", "eth2"}] * 3
    found = table(lab)
    assert [row for row in found if not row.ok] == []
    assert {row.backend for row in found} == set(labs.BACKENDS.values())


def test_chained_plugins_do_what_they_are_asked(lab: LabClient) -> None:
    assert [row for row in chained.rows(lab, MODE.name) if not row.ok] == []


def test_a_missing_piece_is_seen(lab: LabClient) -> None:
    """Without netconf nobody repairs; each piece is what exactly these paths need, and only on its node."""
    here = "iptables-nft"
    lab.service(NODE, "ipam", "kill")
    lab.service(NODE, "netconf", "kill")
    node = lab.node(NODE)
    assert node.run(["ip", "rule", "del", "priority", "1024"]).returncode == 0
    assert differing(table(lab)) == {
        (here, "pod -> internet"),
        (here, "pod -> peered network"),
        (here, "internet -> NodePort -> pod on eth1"),
        (here, "internet -> NodePort -> pod on eth2"),
        (here, "internet -> NodePort, translated -> pod on eth1"),
        (here, "internet -> NodePort, translated -> pod on eth2"),
        (here, "source ports of translated pods"),
    }
    assert node.run(["ip", "rule", "add", "fwmark", "0x80/0x80", "lookup", "main", "priority", "1024"]).returncode == 0
    assert node.run(["iptables-nft", "-t", "nat", "-F", "AWS-SNAT-CHAIN-0"]).returncode == 0
    assert node.run(["ip6tables-nft", "-t", "nat", "-F", "AWS-EGRESS-CHAIN-0"]).returncode == 0
    # not the row of source ports: its connections are those of the tables before, and stay translated
    assert differing(table(lab)) == {
        (here, "pod -> internet"),
        (here, "pod -> peered network"),
        (here, "pod -> internet by IPv6"),
        (here, "pod -> peered network by IPv6"),
    }
