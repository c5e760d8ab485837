"""Pool against what IMDS and EC2 say. Additions need EC2's word; removals need both, and never touch a pod that lives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vpccni_ipam.domain.model import EniFacts, EniState, Inventory
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.pool_eni import PoolEni


@dataclasses.dataclass(frozen=True, slots=True)
class EniChange:
    """Addresses and prefixes of one known ENI."""

    eni_id: str
    ips: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ips or self.prefixes)


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """What to do: set up ``new_enis``, take over ``added``, disown ``gone`` and ``gone_enis``."""

    new_enis: tuple[EniFacts, ...] = ()
    added: tuple[EniChange, ...] = ()
    gone: tuple[EniChange, ...] = ()
    gone_enis: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new_enis or self.added or self.gone or self.gone_enis)


def usable(eni: EniFacts, card: int) -> bool:
    """Managed, on the pool's network card, and able to carry pod addresses."""
    return eni.managed and eni.network_card == card and eni.interface_type != "efa-only"


def _held(eni: PoolEni) -> tuple[frozenset[str], frozenset[str]]:
    singles = eni.blocks.get("")
    return frozenset(singles.members if singles else ()), frozenset(cidr for cidr in eni.blocks if cidr)


def _listed(eni: EniFacts) -> tuple[frozenset[str], frozenset[str]]:
    if eni.is_trunk:
        return frozenset(), frozenset()
    return frozenset(eni.secondary_ips), frozenset((*eni.ipv4_prefixes, *eni.ipv6_prefixes))


def differs(pool: Pool, inventory: Inventory) -> bool:
    """True when an inventory (of either source) does not show exactly what the pool has."""
    listed = {eni.eni_id: eni for eni in inventory.enis if usable(eni, pool.card)}
    if listed.keys() != pool.enis.keys():
        return True
    return any(
        _held(pool.enis[eni_id]) != _listed(eni) or pool.enis[eni_id].state is EniState.QUARANTINED
        for eni_id, eni in listed.items()
    )


def additions(pool: Pool, ec2: Inventory) -> Changes:
    """What EC2 has and the pool has not. ENIs on their way out are left alone."""
    new: list[EniFacts] = []
    added: list[EniChange] = []
    for eni in ec2.enis:
        if not usable(eni, pool.card):
            continue
        known = pool.enis.get(eni.eni_id)
        if known is None:
            new.append(eni)
            continue
        if known.state is EniState.RELEASING or eni.is_trunk:
            continue
        have_ips, have_prefixes = _held(known)
        ips = tuple(ip for ip in eni.secondary_ips if ip not in have_ips)
        prefixes = tuple(p for p in (*eni.ipv4_prefixes, *eni.ipv6_prefixes) if p not in have_prefixes)
        if change := EniChange(eni.eni_id, ips, prefixes):
            added.append(change)
    return Changes(tuple(new), tuple(added))


def compare(pool: Pool, imds: Inventory, ec2: Inventory) -> Changes:
    """``additions`` of EC2, and what is gone by the word of both."""
    adding = additions(pool, ec2)
    imds_enis, ec2_enis = _usable_by_id(imds, pool.card), _usable_by_id(ec2, pool.card)
    # A tag that takes an ENI out of management is known to EC2 alone.
    unmanaged = {eni.eni_id for eni in ec2.enis if not usable(eni, pool.card)}
    gone: list[EniChange] = []
    gone_enis: list[str] = []
    for eni_id, known in pool.enis.items():
        if eni_id not in ec2_enis:
            if eni_id in unmanaged or eni_id not in imds_enis:
                gone_enis.append(eni_id)
            continue
        if eni_id not in imds_enis:
            continue
        have_ips, have_prefixes = _held(known)
        imds_ips, imds_prefixes = _listed(imds_enis[eni_id])
        ec2_ips, ec2_prefixes = _listed(ec2_enis[eni_id])
        change = EniChange(
            eni_id,
            tuple(sorted(have_ips - imds_ips - ec2_ips)),
            tuple(sorted(have_prefixes - imds_prefixes - ec2_prefixes)),
        )
        if change:
            gone.append(change)
    return dataclasses.replace(adding, gone=tuple(gone), gone_enis=tuple(gone_enis))


def _usable_by_id(inventory: Inventory, card: int) -> Mapping[str, EniFacts]:
    return {eni.eni_id: eni for eni in inventory.enis if usable(eni, card)}
