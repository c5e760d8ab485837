"""What IMDS and EC2 say, put together: EC2 is the truth, IMDS is cheap, early for some facts and late for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from vpccni_eni_manager.domain.model import Eni

# EC2's describes may lag that far behind its own answers to our calls (EC2 API guide, "Eventual consistency"); seconds.
LAG_S: Final = 15.0

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


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What EC2 answered to a call of ours: the ENI after it (None: gone), and what was taken from it. ``at``: monotonic."""

    at: float
    eni: Eni | None
    removed: frozenset[str] = frozenset()


def settle(described: Iterable[Eni], told: Mapping[str, Told], now: float) -> tuple[Eni, ...]:
    """The described ENIs, corrected by what EC2 told us within the last 15 s and the describe may not show yet.

    Nothing that the describe shows beyond it is lost, except what we gave back ourselves.
    """
    recent = {eni_id: one for eni_id, one in told.items() if now - one.at < LAG_S}
    found = []
    for eni in described:
        one = recent.pop(eni.eni_id, None)
        if one is None:
            found.append(eni)
        elif one.eni is not None:
            found.append(_corrected(eni, one.eni, one.removed))
    found.extend(one.eni for one in recent.values() if one.eni is not None)
    return in_order(found)


def _corrected(described: Eni, known: Eni, removed: frozenset[str]) -> Eni:
    def both(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
        return ours + tuple(one for one in theirs if one not in ours and one not in removed)

    return dataclasses.replace(
        described,
        secondary_ips=both(known.secondary_ips, described.secondary_ips),
        ipv4_prefixes=both(known.ipv4_prefixes, described.ipv4_prefixes),
        ipv6_prefixes=both(known.ipv6_prefixes, described.ipv6_prefixes),
        tags={**described.tags, **known.tags},
        security_groups=known.security_groups,
        status=known.status,
        attachment_id=described.attachment_id or known.attachment_id,
    )


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
