"""What IMDS and EC2 say, put together: EC2 is the truth, IMDS is cheap, early for some facts and late for others."""

from __future__ import annotations

import dataclasses
import math
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
    """What EC2 answered to calls of ours: the ENI after the last (None: gone), and what they changed, each with its time.

    Only changes count against a describe, never the whole ENI: what we believed wrongly must not outlive EC2's word.
    """

    at: float
    """When its tags, groups or attachment changed, or when it went (monotonic seconds)."""
    eni: Eni | None
    added: Mapping[str, float] = dataclasses.field(default_factory=dict)
    removed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    made_at: float | None = None
    """When a call of ours brought the ENI; None: EC2 had shown it before."""


def addresses_of(eni: Eni) -> frozenset[str]:
    """Secondary addresses and prefixes."""
    return frozenset({*eni.secondary_ips, *eni.ipv4_prefixes, *eni.ipv6_prefixes})


def told_by_change(
    earlier: Told | None,
    before: Eni | None,
    after: Eni,
    now: float,
    *,
    added: Iterable[str] = (),
    removed: Iterable[str] = (),
) -> Told:
    """After a call of ours: ``after`` is the ENI now, ``before`` as it was known. ``added``, ``removed``: what EC2 said the call
    gave and took; what it gave may have been in ``before`` when we had not heard that it was gone."""
    had, has = addresses_of(before) if before else frozenset(), addresses_of(after)
    kept = earlier if earlier and earlier.eni else Told(-math.inf, after)
    taken = {**_recent(kept.removed, now), **dict.fromkeys(removed, now)}
    given = {**_recent(kept.added, now), **dict.fromkeys((has - had).union(added), now)}
    return Told(
        at=kept.at if before is not None and _facts(before) == _facts(after) else now,
        eni=after,
        added={one: at for one, at in given.items() if one in has},
        removed={one: at for one, at in taken.items() if one not in has},
        made_at=now if before is None else kept.made_at,
    )


def without_word_on(told: Told, doubted: Iterable[str]) -> Told:
    """Whether the ENI still has these is not known any more: the describe decides."""
    left = set(doubted)
    return dataclasses.replace(told, added={one: at for one, at in told.added.items() if one not in left})


def still_told(told: Mapping[str, Told], now: float) -> dict[str, Told]:
    """Those that may still know more than a describe."""
    return {eni_id: one for eni_id, one in told.items() if now - max(_times(one)) < LAG_S}


def settle(described: Iterable[Eni], told: Mapping[str, Told], now: float) -> tuple[Eni, ...]:
    """The described ENIs, corrected by what EC2 told us within the last 15 s and the describe may not show yet.

    Nothing that the describe shows beyond it is lost, except what we gave back ourselves.
    """
    left = dict(told)
    found = []
    for eni in described:
        one = left.pop(eni.eni_id, None)
        if one is None:
            found.append(eni)
        elif one.eni is not None:
            found.append(_corrected(eni, one, now))
        elif now - one.at >= LAG_S:
            found.append(eni)
    new = [one for one in left.values() if one.made_at is not None and now - one.made_at < LAG_S]
    found += [one.eni for one in new if one.eni is not None]
    return in_order(found)


def _corrected(described: Eni, told: Told, now: float) -> Eni:
    removed, added = _recent(told.removed, now), _recent(told.added, now)
    known = told.eni
    assert known is not None

    def both(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
        shown = tuple(one for one in theirs if one not in removed)
        return shown + tuple(one for one in ours if one in added and one not in shown)

    changed = dataclasses.replace(
        described,
        secondary_ips=both(known.secondary_ips, described.secondary_ips),
        ipv4_prefixes=both(known.ipv4_prefixes, described.ipv4_prefixes),
        ipv6_prefixes=both(known.ipv6_prefixes, described.ipv6_prefixes),
    )
    if now - told.at >= LAG_S:
        return changed
    return dataclasses.replace(
        changed,
        tags={**described.tags, **known.tags},
        security_groups=known.security_groups,
        status=known.status,
        attachment_id=described.attachment_id or known.attachment_id,
    )


def _facts(eni: Eni) -> tuple[object, ...]:
    return dict(eni.tags), eni.security_groups, eni.status, eni.attachment_id


def _recent(times: Mapping[str, float], now: float) -> dict[str, float]:
    return {one: at for one, at in times.items() if now - at < LAG_S}


def _times(told: Told) -> tuple[float, ...]:
    made = () if told.made_at is None else (told.made_at,)
    return (told.at, *told.added.values(), *told.removed.values(), *made)


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
