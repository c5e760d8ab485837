"""IMDS and EC2 put together; describes that lag behind our own calls."""

from __future__ import annotations

import dataclasses

from vpccni_eni_manager.domain import merge_imds_ec2
from vpccni_eni_manager.domain.merge_imds_ec2 import Told, told_by_change
from vpccni_eni_manager.domain.model import Eni

A = Eni(eni_id="eni-a", subnet_id="s1", primary_ip="10.0.1.4", secondary_ips=("10.0.1.5",), is_primary=True)
B = Eni(eni_id="eni-b", device_number=1, subnet_id="s2", primary_ip="10.0.2.4")


def test_cidrs_come_from_imds_else_from_the_subnets() -> None:
    imds = (dataclasses.replace(A, subnet_cidr="10.0.1.0/24"),)
    merged = merge_imds_ec2.merge((B, A), imds, {"s2": ("10.0.2.0/24", "2001:db8::/64")})
    assert [(eni.eni_id, eni.subnet_cidr, eni.subnet_ipv6_cidr) for eni in merged] == [
        ("eni-a", "10.0.1.0/24", ""),
        ("eni-b", "10.0.2.0/24", "2001:db8::/64"),
    ]


def test_imds_view_keeps_what_only_ec2_tells() -> None:
    known = dataclasses.replace(B, tags={"k": "v"}, interface_type="trunk", attachment_id="at-1", attached_unix_s=7.0)
    shown = dataclasses.replace(B, secondary_ips=("10.0.2.9",))
    (found,) = merge_imds_ec2.enrich((shown,), (known,))
    assert found == dataclasses.replace(known, secondary_ips=("10.0.2.9",))


def test_fingerprint_ignores_what_imds_cannot_show() -> None:
    told = dataclasses.replace(A, tags={"a": "b"}, attached_unix_s=3.0)
    efa_only = Eni(eni_id="eni-x", interface_type="efa-only")
    leaving = dataclasses.replace(B, status="detaching")
    assert merge_imds_ec2.fingerprint((told, efa_only, leaving)) == merge_imds_ec2.fingerprint((A,))
    assert merge_imds_ec2.fingerprint((A,)) != merge_imds_ec2.fingerprint((dataclasses.replace(A, secondary_ips=()),))


def test_what_ec2_told_us_lately_outweighs_a_describe() -> None:
    grown = dataclasses.replace(A, secondary_ips=("10.0.1.5", "10.0.1.6"))
    told = {"eni-a": told_by_change(None, A, grown, 100.0), "eni-b": told_by_change(None, None, B, 100.0)}
    assert merge_imds_ec2.settle((A,), told, 105.0) == (grown, B)
    assert merge_imds_ec2.settle((A,), told, 100.0 + merge_imds_ec2.LAG_S) == (A,)
    # somebody else's address is not lost
    foreign = dataclasses.replace(A, secondary_ips=("10.0.1.5", "10.0.1.77"))
    assert merge_imds_ec2.settle((foreign,), told, 105.0)[0].secondary_ips == ("10.0.1.5", "10.0.1.77", "10.0.1.6")


def test_what_we_gave_back_does_not_come_back_by_a_late_describe() -> None:
    shrunk = dataclasses.replace(A, secondary_ips=())
    told = {"eni-a": told_by_change(None, A, shrunk, 100.0, removed=["10.0.1.5"]), "eni-b": Told(100.0, None)}
    assert merge_imds_ec2.settle((A, B), told, 105.0) == (shrunk,)


def test_what_we_believe_wrongly_does_not_outlive_a_describe_however_often_the_eni_changes() -> None:
    """10.0.1.5 went without our knowing; each later call of ours names the ENI as we know it, with that address."""
    told, known = None, A
    for second in range(60):
        grown = dataclasses.replace(known, secondary_ips=(*known.secondary_ips, f"10.0.1.{second + 10}"))
        told, known = told_by_change(told, known, grown, float(second)), grown
    described = dataclasses.replace(A, secondary_ips=tuple(f"10.0.1.{second + 10}" for second in range(60)))
    assert merge_imds_ec2.settle((described,), {"eni-a": told}, 60.0) == (described,)  # type: ignore[dict-item]


def test_a_tag_set_by_somebody_else_is_seen_although_addresses_change() -> None:
    grown = dataclasses.replace(A, secondary_ips=("10.0.1.5", "10.0.1.6"))
    told = {"eni-a": told_by_change(None, A, grown, 100.0)}
    tagged = dataclasses.replace(A, tags={"node.k8s.amazonaws.com/no_manage": "true"}, status="detaching")
    (seen,) = merge_imds_ec2.settle((tagged,), told, 101.0)
    assert (seen.tags, seen.status, seen.secondary_ips) == (tagged.tags, "detaching", grown.secondary_ips)
