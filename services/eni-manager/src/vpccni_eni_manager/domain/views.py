"""What IMDS and EC2 say, put together: EC2 is the truth, IMDS is cheap, early for some facts and late for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from vpccni_eni_manager.domain.model import Eni

# What IMDS knows of an ENI and the poll compares: who is attached, with which addresses.
Fingerprint = tuple[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]


def in_order(enis: Iterable[Eni]) -> tuple[Eni, ...]:
    return tuple(sorted(enis, key=lambda eni: (eni.network_card, eni.device_number, eni.eni_id)))


def merge(
    from_ec2: Iterable[Eni], from_imds: Iterable[Eni], subnet_cidrs: Mapping[str, tuple[str, str]]
) -> tuple[Eni, ...]:
    """EC2's ENIs, with what only IMDS tells (the subnet's CIDRs).

    ``subnet_cidrs``: subnet id -> (IPv4 CIDR, IPv6 CIDR or ""), for ENIs that IMDS does not show yet.
    """
    by_id = {eni.eni_id: eni for eni in from_imds}
    cidrs = {eni.subnet_id: (eni.subnet_cidr, eni.subnet_ipv6_cidr) for eni in by_id.values() if eni.subnet_cidr}
    merged = []
    for eni in from_ec2:
        ipv4, ipv6 = cidrs.get(eni.subnet_id) or subnet_cidrs.get(eni.subnet_id) or ("", "")
        merged.append(dataclasses.replace(eni, subnet_cidr=eni.subnet_cidr or ipv4, subnet_ipv6_cidr=ipv6))
    return in_order(merged)


def enrich(from_imds: Iterable[Eni], known: Iterable[Eni]) -> tuple[Eni, ...]:
    """IMDS's ENIs with what an earlier answer of EC2 told and IMDS never does: tags, type, attachment, groups."""
    by_id = {eni.eni_id: eni for eni in known}
    found = []
    for eni in from_imds:
        before = by_id.get(eni.eni_id)
        found.append(
            dataclasses.replace(
                before,
                mac=eni.mac,
                device_number=eni.device_number,
                network_card=eni.network_card,
                primary_ip=eni.primary_ip or before.primary_ip,
                secondary_ips=eni.secondary_ips,
                ipv4_prefixes=eni.ipv4_prefixes,
                ipv6_prefixes=eni.ipv6_prefixes,
                ipv6_addresses=eni.ipv6_addresses,
                subnet_cidr=eni.subnet_cidr or before.subnet_cidr,
                subnet_ipv6_cidr=eni.subnet_ipv6_cidr or before.subnet_ipv6_cidr,
            )
            if before
            else eni
        )
    return in_order(found)


def fingerprint(enis: Iterable[Eni]) -> Fingerprint:
    """What two views must have in common to count as the same. EFA-only ENIs and those on the move are left out."""
    return tuple(
        sorted(
            (
                eni.eni_id,
                tuple(sorted((eni.primary_ip, *eni.secondary_ips))),
                tuple(sorted((*eni.ipv4_prefixes, *eni.ipv6_prefixes))),
                tuple(sorted(eni.ipv6_addresses)),
            )
            for eni in enis
            if eni.interface_type != "efa-only" and eni.status == "attached"
        )
    )
