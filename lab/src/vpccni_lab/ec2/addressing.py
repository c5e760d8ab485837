"""AssignPrivateIpAddresses and its kin: addresses and prefixes of ENIs that exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from ipaddress import IPv6Network

from vpccni_lab.ec2 import errors, events
from vpccni_lab.ec2.granting import (
    Granted,
    Wish,
    check_limits,
    check_wish,
    grant_ipv4,
    grant_ipv6,
    parse_address,
    prefix_base,
    release,
)
from vpccni_lab.ec2.records import IPV6_PREFIX_LEN, Eni
from vpccni_lab.ec2.world import World


def changed_on_wire(world: World, eni_id: str) -> None:
    """Tell the fabric of an address change, after the assign delay, with the record as it is by then."""

    def tell() -> None:
        eni = world.enis.get(eni_id)
        if eni is not None and eni.on_wire:
            world.emit(events.AddressesChanged(eni))

    if world.timings.assign:
        world.timeline.at(world.now() + world.timings.assign, tell)
    else:
        tell()


def assign_ipv4(world: World, eni_id: str, wish: Wish, *, allow_reassignment: bool = False) -> Granted:
    """AssignPrivateIpAddresses: what was added, not what was there."""
    check_wish(wish, 4)
    eni = world.eni(eni_id)
    if not wish.size:
        raise errors.missing("secondaryPrivateIpAddressCount")
    subnet = world.subnet(eni.subnet_id)
    wish = dataclasses.replace(wish, addresses=tuple(a for a in wish.addresses if a not in eni.secondary_ips))
    if not wish.size:
        return Granted()
    check_limits(world, eni, more4=wish)
    if allow_reassignment:
        for address in wish.addresses:
            _take_from_owner(world, eni, address)
    granted = grant_ipv4(world, subnet, wish)
    eni = world.enis[eni_id]
    world.put_eni(
        dataclasses.replace(
            eni,
            secondary_ips=eni.secondary_ips + granted.addresses,
            prefixes=eni.prefixes + granted.prefixes,
        )
    )
    changed_on_wire(world, eni_id)
    return granted


def _take_from_owner(world: World, taker: Eni, address: str) -> None:
    for owner in world.enis.values():
        if owner.subnet_id == taker.subnet_id and address in owner.secondary_ips:
            unassign_ipv4(world, owner.id, addresses=(address,))


def unassign_ipv4(world: World, eni_id: str, *, addresses: Sequence[str] = (), prefixes: Sequence[str] = ()) -> None:
    """UnassignPrivateIpAddresses. All or nothing; the primary address is refused."""
    eni = world.eni(eni_id)
    if not addresses and not prefixes:
        raise errors.missing("privateIpAddress")
    foreign = [a for a in addresses if a not in eni.secondary_ips]
    if foreign:
        raise errors.invalid_value(f"Some of [{', '.join(addresses)}] are not assigned to interface {eni_id}")
    foreign = [p for p in prefixes if p not in eni.prefixes]
    if foreign:
        raise errors.invalid_value(f"Some of [{', '.join(prefixes)}] are not assigned to interface {eni_id}")
    gone = set(addresses)
    public = tuple(p for p in eni.public if p.private_ip not in gone)
    for address in eni.public:
        if address.private_ip in gone and address.allocation_id:
            world.public[address.public_ip] = dataclasses.replace(address, association_id="", eni_id="", private_ip="")
    release(world, eni.subnet_id, gone, set(prefixes))
    lost = set(prefixes)
    world.put_eni(
        dataclasses.replace(
            eni,
            secondary_ips=tuple(a for a in eni.secondary_ips if a not in gone),
            prefixes=tuple(p for p in eni.prefixes if p not in lost),
            public=public,
        )
    )
    changed_on_wire(world, eni_id)


def assign_ipv6(world: World, eni_id: str, wish: Wish) -> Granted:
    """AssignIpv6Addresses."""
    check_wish(wish, 6)
    eni = world.eni(eni_id)
    if not wish.size:
        raise errors.missing("ipv6AddressCount")
    check_limits(world, eni, more6=wish)
    granted = grant_ipv6(world, world.subnet(eni.subnet_id), wish)
    world.put_eni(
        dataclasses.replace(
            eni,
            ipv6_addresses=eni.ipv6_addresses + granted.addresses,
            ipv6_prefixes=eni.ipv6_prefixes + granted.prefixes,
        )
    )
    changed_on_wire(world, eni_id)
    return granted


def unassign_ipv6(world: World, eni_id: str, *, addresses: Sequence[str] = (), prefixes: Sequence[str] = ()) -> Granted:
    """UnassignIpv6Addresses: what was removed."""
    eni = world.eni(eni_id)
    if not addresses and not prefixes:
        raise errors.missing("ipv6Addresses")
    gone = tuple(dict.fromkeys(str(parse_address(a, 6)) for a in addresses))
    lost = tuple(dict.fromkeys(str(IPv6Network((prefix_base(p, IPV6_PREFIX_LEN), IPV6_PREFIX_LEN))) for p in prefixes))
    if set(gone) - set(eni.ipv6_addresses) or set(lost) - set(eni.ipv6_prefixes):
        raise errors.invalid_value(f"Some of [{', '.join((*gone, *lost))}] are not assigned to interface {eni_id}")
    release(world, eni.subnet_id, gone, lost)
    world.put_eni(
        dataclasses.replace(
            eni,
            ipv6_addresses=tuple(a for a in eni.ipv6_addresses if a not in gone),
            ipv6_prefixes=tuple(p for p in eni.ipv6_prefixes if p not in lost),
        )
    )
    changed_on_wire(world, eni_id)
    return Granted(gone, lost)
