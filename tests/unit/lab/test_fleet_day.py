"""A small fleet's day: nothing is lost or held twice, the picture and the figures come out."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from PIL import Image
from vpccni_lab.ec2.faults import Fault, Kind
from vpccni_lab.fleet import __main__ as program
from vpccni_lab.fleet.day import DAY, THROTTLED, Fleet, Shape
from vpccni_lab.fleet.report import report_of

SMALL = Shape(nodes=10)


@pytest.mark.parametrize("name", list(program.SETTINGS))
def test_after_a_day_ec2_holds_what_the_nodes_know_and_nothing_else(name: str) -> None:
    fleet = Fleet(program.SETTINGS[name], SMALL)
    fleet.run()
    held: set[str] = set()
    for node in fleet.nodes().values():
        assert {item.address for item in node.pool.cooling()} == set()
        for eni_id, eni in node.pool.enis.items():
            record = fleet.ec2.eni(eni_id)
            mine = {address for block in eni.blocks.values() for address in block.members}
            assert (mine, {block.cidr for block in eni.prefixes}) == (set(record.secondary_ips), set(record.prefixes))
            assert record.attachment is not None
            held.add(eni_id)
    assert {eni.id for eni in fleet.ec2.enis()} == held
    assert len(fleet.nodes()) == 4
    assert all(sum(1 for _ in node.pool.assignments()) == SMALL.night_pods for node in fleet.nodes().values())
    report = report_of(name, {}, fleet, 0.0)
    assert (report.leaked, report.unserved) == (0, 0)
    assert report.at_rest <= 2.0


def test_where_no_subnet_has_a_prefix_single_addresses_serve_and_the_rest_stays_quiet() -> None:
    fleet = Fleet({"ENABLE_PREFIX_DELEGATION": "true"}, SMALL)
    fleet.ec2.faults.add(Fault(Kind.NO_PREFIX))
    fleet.run()
    for node in fleet.nodes().values():
        assert not any(eni.prefixes for eni in node.pool.enis.values())
        assert node.supply().available >= 16, "as many as the prefix would have had"
    report = report_of("", {}, fleet, 0.0)
    assert (report.leaked, report.unserved) == (0, 0)
    before = sum(fleet.calls.values())
    fleet.run(until=DAY + 24 * 3600.0)
    assert 0 < (sum(fleet.calls.values()) - before) / (24 * len(fleet.nodes())) <= 2.0


def test_the_same_seed_is_the_same_day() -> None:
    first, second = (Fleet({"WARM_IP_TARGET": "2"}, SMALL) for _ in range(2))
    first.run()
    second.run()
    assert (first.waits, first.calls, first.samples) == (second.waits, second.calls, second.samples)


def test_enis_of_nodes_that_die_while_attaching_are_swept() -> None:
    """Ten nodes are killed in the middle of their growth; the others collect what they leave."""
    fleet = Fleet({"WARM_ENI_TARGET": "2"}, dataclasses.replace(SMALL, nodes=20, staying=0.9))
    victims = 0
    while victims < 10:
        fleet.run(until=fleet.sim.now + 0.3)
        makers = {fleet.ec2.eni(eni_id).description.removeprefix("aws-K8S-") for eni_id in fleet.stray}
        for number, node in fleet.nodes().items():
            if node.instance_id in makers:
                fleet.kill(number)
                victims += 1
    assert [eni for eni in fleet.ec2.enis() if eni.attachment is None]
    fleet.run(until=4 * 3600.0)
    assert [eni.id for eni in fleet.ec2.enis() if eni.attachment is None] == []
    assert len(fleet.nodes()) == 20 - victims - 2


def test_the_throttled_hour_refuses_calls_and_the_night_before_none() -> None:
    fleet = Fleet({"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"}, SMALL)
    fleet.run(until=DAY)
    refused = {sample.time: sample.throttles for sample in fleet.samples}
    assert sum(number for at, number in refused.items() if THROTTLED[0] < at <= THROTTLED[1]) > 0
    assert sum(number for at, number in refused.items() if 2 * 3600 < at < 6 * 3600) == 0


def test_program_writes_figures_and_picture(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--nodes", "4", "--env", "WARM_ENI_TARGET=1", "--env", "WARM_IP_TARGET=2,MINIMUM_IP_TARGET=8"]
    assert program.main([*arguments, "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "fleet.json").read_text())
    assert [figure["env"] for figure in figures] == [
        {"WARM_ENI_TARGET": "1"},
        {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "8"},
    ]
    assert figures[0]["idle"] > figures[1]["idle"]
    assert figures[0]["calls_per_node_hour"] == pytest.approx(sum(figures[0]["per_node_hour"].values()), abs=1e-3)
    with Image.open(tmp_path / "fleet.png") as picture:
        assert (picture.format, len(set(picture.convert("P").tobytes())) > 4) == ("PNG", True)
    out = capsys.readouterr().out
    assert "AssignPrivateIpAddresses" in out and "throttled" in out


def test_program_refuses_settings_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--nodes", "2", "--env", "WARM_POOL=1"]) == 1
    assert "WARM_POOL" in capsys.readouterr().err
