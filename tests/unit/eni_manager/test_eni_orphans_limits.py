"""Leaked ENIs, instance limits, and what a crash left behind."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from vpccni_eni_manager.adapters.limits_cache import FileLimitsCache
from vpccni_eni_manager.domain import eni_steps, limits, orphans
from vpccni_eni_manager.domain.eni_steps import ABSENT, EniFate, Repair, Step
from vpccni_eni_manager.domain.model import Eni, InstanceLimits, NetworkCard
from vpccni_eni_manager.domain.orphans import Verdict
from vpccni_eni_manager.domain.tags import CREATED_AT_TAG, rfc3339

NOW = 1_700_000_000.0
OURS = "aws-K8S-i-0aaa"


@pytest.mark.parametrize(
    ("eni", "verdict"),
    [
        (
            Eni(eni_id="e", status="available", description=OURS, tags={CREATED_AT_TAG: rfc3339(NOW - 301)}),
            Verdict.DELETE,
        ),
        (
            Eni(eni_id="e", status="available", description=OURS, tags={CREATED_AT_TAG: rfc3339(NOW - 299)}),
            Verdict.KEEP,
        ),
        (Eni(eni_id="e", status="available", description=OURS), Verdict.STAMP),
        # the original deletes this one at once
        (Eni(eni_id="e", status="available", description=OURS, tags={CREATED_AT_TAG: "soon"}), Verdict.STAMP),
        (Eni(eni_id="e", status="available", description="mine", tags={CREATED_AT_TAG: rfc3339(0)}), Verdict.KEEP),
        (Eni(eni_id="e", status="attached", description=OURS, tags={CREATED_AT_TAG: rfc3339(0)}), Verdict.KEEP),
        (Eni(eni_id="busy", status="available", description=OURS, tags={CREATED_AT_TAG: rfc3339(0)}), Verdict.KEEP),
    ],
)
def test_leaked_enis(eni: Eni, verdict: Verdict) -> None:
    (judged,) = orphans.judge((eni,), NOW, {"busy"})
    assert judged.verdict is verdict
    assert judged.why


HERE = EniFate(True, "i-me", "attached")


@pytest.mark.parametrize(
    ("step", "fate", "repair"),
    [
        (Step.INTENDED, ABSENT, Repair.RESOLVE),
        (Step.CREATED, ABSENT, Repair.FORGET),
        (Step.CREATED, EniFate(True), Repair.UNDO),
        (Step.CREATED, HERE, Repair.FINISH),
        (Step.CREATED, EniFate(True, "i-me", "attaching"), Repair.FINISH),
        (Step.CREATED, EniFate(True, "i-other", "attached"), Repair.FORGET),
        (Step.ATTACHED, HERE, Repair.FINISH),
        (Step.ATTACHED, EniFate(True, "i-me", "detaching"), Repair.UNDO),
        (Step.ATTACHED, EniFate(True), Repair.UNDO),
        (Step.UNDOING, HERE, Repair.UNDO),
        (Step.UNDOING, EniFate(True), Repair.UNDO),
        (Step.UNDOING, ABSENT, Repair.FORGET),
        # nobody was told that it is gone, so pods may be on it
        (Step.REMOVING, HERE, Repair.FORGET),
        (Step.REMOVING, EniFate(True, "i-me", "detaching"), Repair.UNDO),
        (Step.REMOVING, EniFate(True), Repair.UNDO),
        (Step.DETACHED, EniFate(True), Repair.UNDO),
        (Step.DETACHED, ABSENT, Repair.FORGET),
    ],
)
def test_repair(step: Step, fate: EniFate, repair: Repair) -> None:
    assert eni_steps.repair(step, fate, "i-me") is repair


def test_limits_of_a_type_with_several_cards_are_those_of_the_first() -> None:
    answer = {
        "Hypervisor": "nitro",
        "NetworkInfo": {
            "MaximumNetworkInterfaces": 60,
            "Ipv4AddressesPerInterface": 50,
            "Ipv6AddressesPerInterface": 50,
            "NetworkCards": [{"NetworkCardIndex": n, "MaximumNetworkInterfaces": 15} for n in range(4)],
        },
    }
    found = limits.from_ec2("p4d.24xlarge", answer)
    assert found is not None
    assert (found.max_enis, found.ipv4_slots, len(found.cards)) == (15, 49, 4)
    assert (found.enis_on_card(3), found.enis_on_card(4)) == (15, 0)
    assert limits.from_line(limits.to_line("p4d.24xlarge", found), "ec2") == ("p4d.24xlarge", found)
    assert limits.from_ec2("x", {"NetworkInfo": {"MaximumNetworkInterfaces": 0}}) is None
    assert limits.from_ec2("x", {}) is None


@pytest.mark.parametrize(
    ("name", "enis", "ipv4"), [("t3.small", 3, 4), ("m5.large", 3, 10), ("m4.4xlarge", 8, 30), ("p5.48xlarge", 2, 50)]
)
def test_shipped_table(tmp_path: pathlib.Path, name: str, enis: int, ipv4: int) -> None:
    found = FileLimitsCache(tmp_path / "none").shipped(name)
    assert found is not None
    assert (found.max_enis, found.ipv4_per_eni, found.source) == (enis, ipv4, "table")


def test_table_has_no_unknown_type_and_is_current(tmp_path: pathlib.Path) -> None:
    assert FileLimitsCache(tmp_path / "none").shipped("z9.huge") is None
    script = pathlib.Path(__file__).parents[3] / "services/eni-manager/scripts/generate_limits.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0


def test_prefixes_need_nitro_or_bare_metal() -> None:
    def of(hypervisor: str, bare_metal: bool = False) -> bool:
        made = InstanceLimits(max_enis=2, ipv4_per_eni=4, ipv6_per_eni=4, hypervisor=hypervisor, bare_metal=bare_metal)
        return made.prefixes_supported

    assert of("nitro") and of("unknown", bare_metal=True) and of("unknown")
    assert not of("xen")


@pytest.mark.parametrize(
    ("name", "hypervisor", "compatible"),
    [
        ("m5.large", "nitro", True),
        ("t3.small", "nitro", False),
        ("t2.micro", "xen", False),
        ("m4.large", "xen", False),
        ("c5.metal", "unknown", True),
        ("trn1.2xlarge", "nitro", True),
    ],
)
def test_trunking(name: str, hypervisor: str, compatible: bool) -> None:
    assert limits.trunking_compatible(name, hypervisor) is compatible


def test_cache_file_is_for_one_type_and_survives_damage(tmp_path: pathlib.Path) -> None:
    cache = FileLimitsCache(tmp_path / "state" / "instance-limits")
    assert cache.cached("m5.large") is None
    known = InstanceLimits(max_enis=3, ipv4_per_eni=10, ipv6_per_eni=10, cards=(NetworkCard(0, 3),), hypervisor="nitro")
    cache.remember("m5.large", known)
    found = cache.cached("m5.large")
    assert found == limits.as_source(known, "cache")
    assert cache.cached("m5.xlarge") is None
    (tmp_path / "state" / "instance-limits").write_text("garbage")
    assert cache.cached("m5.large") is None
