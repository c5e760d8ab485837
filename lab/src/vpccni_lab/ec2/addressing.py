"""Addresses and prefixes of ENIs: choosing them, assigning, giving back. Counts a prefix as one address of the ENI's limit."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from vpccni_lab.ec2 import errors, events
from vpccni_lab.ec2.faults import Kind
from vpccni_lab.ec2.limits import InstanceType, instance_type
from vpccni_lab.ec2.pools import (
    AddressRefusedError,
    AddressTakenError,
    Ipv4Pool,
    Ipv6Pool,
    NoBlockError,
    PoolFullError,
    take_each,
)
from vpccni_lab.ec2.records import IPV4_PREFIX_LEN, IPV6_PREFIX_LEN, Eni, Subnet
from vpccni_lab.ec2.world import World


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What a call asks for, of one family: exactly these, or so many. EC2 takes one of the four per call."""

    addresses: tuple[str, ...] = ()
    count: int = 0
    prefixes: tuple[str, ...] = ()
    prefix_count: int = 0

    @property
    def size(self) -> int:
        """Slots of the ENI's limit."""
        return len(self.addresses) + self.count + len(self.prefixes) + self.prefix_count

    @property
    def wants_prefixes(self) -> bool:
        return bool(self.prefixes or self.prefix_count)

    @property
    def kinds(self) -> int:
        return sum(1 for value in (self.addresses, self.count, self.prefixes, self.prefix_count) if value)


NOTHING: Final = Wish()


@dataclasses.dataclass(frozen=True, slots=True)
class Granted:
    addresses: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


def check_wish(wish: Wish, family: int) -> None:
    """Raises Ec2Error InvalidParameterCombination / InvalidParameterValue."""
    if min(wish.count, wish.prefix_count) < 0:
        raise errors.invalid_value(f"Value ({min(wish.count, wish.prefix_count)}) for parameter count is invalid.")
    if wish.kinds > 1:
        if family == 4:
            raise errors.combination(
                "Only one of privateIpAddresses, secondaryPrivateIpAddressCount, ipv4Prefixes and ipv4PrefixCount "
                "may be specified."
            )
        raise errors.invalid_value(
            "You can and can only specify one of ipv6-addresses or ipv6-addresses-count  ipv6-prefix and ipv6-prefix-count."
        )
    for name in ("addresses", "prefixes"):
        values: tuple[str, ...] = getattr(wish, name)
        if len(set(values)) != len(values):
            raise errors.invalid_value(f"Duplicate {name} in the request: {', '.join(values)}")


# Limits of the instance type


def check_limits(world: World, eni: Eni, *, more4: Wish = NOTHING, more6: Wish = NOTHING) -> None:
    """An unattached ENI has no limit yet; attaching checks it. Raises PrivateIpAddressLimitExceeded, InvalidParameterValue."""
    if eni.attachment is None:
        return
    kind = instance_type(world.instances[eni.attachment.instance_id].type)
    check_fits(kind, eni, more4=more4, more6=more6)


def check_fits(kind: InstanceType, eni: Eni, *, more4: Wish = NOTHING, more6: Wish = NOTHING) -> None:
    wants_prefixes = more4.wants_prefixes or more6.wants_prefixes or eni.prefixes or eni.ipv6_prefixes
    if wants_prefixes and not kind.prefixes:
        raise errors.invalid_value(f"Prefix delegation is not supported for instance type {kind.name}.")
    if eni.ipv4_slots + more4.size > kind.ipv4_per_eni:
        raise errors.address_limit()
    if eni.ipv6_slots + more6.size > kind.ipv6_per_eni:
        if not kind.ipv6_per_eni:
            raise errors.invalid_value(f"IPv6 is not supported for the instance type '{kind.name}'")
        raise errors.address_limit()


# Choosing


def grant_ipv4(world: World, subnet: Subnet, wish: Wish) -> Granted:
    """Take addresses out of the subnet: all of the wish or an error and nothing."""
    pool = world.ipv4[subnet.id]
    if not wish.size:
        return Granted()
    if world.fault(Kind.SUBNET_FULL, subnet=subnet.id):
        raise errors.subnet_full(subnet.id)
    if wish.wants_prefixes and world.fault(Kind.NO_PREFIX, subnet=subnet.id):
        raise errors.no_cidr_block()
    if wish.wants_prefixes:
        return Granted(prefixes=_grant_ipv4_prefixes(subnet, pool, wish))
    if wish.addresses:
        taken = _take_named(wish.addresses, subnet, pool)
    else:
        try:
            taken = pool.take_any(wish.count)
        except PoolFullError as error:
            raise errors.subnet_full(subnet.id) from error
    return Granted(addresses=tuple(str(IPv4Address(value)) for value in taken))


def _grant_ipv4_prefixes(subnet: Subnet, pool: Ipv4Pool, wish: Wish) -> tuple[str, ...]:
    if wish.prefixes:
        bases = [_prefix_base(text, IPV4_PREFIX_LEN) for text in wish.prefixes]
        try:
            taken = take_each(bases, pool.take_prefix, pool.release_prefix)
        except (AddressTakenError, AddressRefusedError) as error:
            raise errors.invalid_value(_bad_prefix(wish.prefixes, subnet.id)) from error
    else:
        try:
            taken = pool.take_any_prefixes(wish.prefix_count)
        except PoolFullError as error:
            raise errors.prefixes_exceed_subnet() from error
        except NoBlockError as error:
            raise errors.no_cidr_block() from error
    return tuple(str(IPv4Network((value, IPV4_PREFIX_LEN))) for value in taken)


def grant_ipv6(world: World, subnet: Subnet, wish: Wish) -> Granted:
    """As grant_ipv4. A subnet without an IPv6 CIDR is refused."""
    if not wish.size:
        return Granted()
    pool = world.ipv6.get(subnet.id)
    if pool is None:
        raise errors.invalid_value(f"The subnet '{subnet.id}' does not have any IPv6 CIDR block associated")
    if world.fault(Kind.SUBNET_FULL, subnet=subnet.id):
        raise errors.subnet_full(subnet.id)
    if wish.wants_prefixes:
        return Granted(prefixes=_grant_ipv6_prefixes(world, subnet, pool, wish))
    taken = _take_named(wish.addresses, subnet, pool) if wish.addresses else pool.take_any(wish.count)
    return Granted(addresses=tuple(str(IPv6Address(value)) for value in taken))


def _grant_ipv6_prefixes(world: World, subnet: Subnet, pool: Ipv6Pool, wish: Wish) -> tuple[str, ...]:
    if world.fault(Kind.NO_PREFIX, subnet=subnet.id):
        raise errors.no_cidr_block()
    if wish.prefixes:
        bases = [_prefix_base(text, IPV6_PREFIX_LEN) for text in wish.prefixes]
        try:
            taken = take_each(bases, pool.take_prefix, pool.release_prefix)
        except (AddressTakenError, AddressRefusedError) as error:
            raise errors.invalid_value(_bad_prefix(wish.prefixes, subnet.id)) from error
    else:
        try:
            taken = pool.take_any_prefixes(wish.prefix_count)
        except NoBlockError as error:
            raise errors.no_cidr_block() from error
    return tuple(str(IPv6Network((value, IPV6_PREFIX_LEN))) for value in taken)


def _bad_prefix(prefixes: Sequence[str], subnet_id: str) -> str:
    return f"The prefixes [{', '.join(prefixes)}] are not free or not within the CIDR of subnet '{subnet_id}'."


def _take_named(addresses: Sequence[str], subnet: Subnet, pool: Ipv4Pool | Ipv6Pool) -> list[int]:
    values = [int(parse_address(text, 4 if isinstance(pool, Ipv4Pool) else 6)) for text in addresses]
    try:
        return take_each(values, pool.take, pool.release)
    except AddressTakenError as error:
        raise errors.Ec2Error("InvalidIPAddress.InUse", "The specified address is already in use.") from error
    except AddressRefusedError as error:
        raise errors.invalid_value(
            f"Address is not in subnet's address range, or is reserved: [{', '.join(addresses)}], subnet {subnet.id}"
        ) from error


def parse_address(text: str, family: int) -> IPv4Address | IPv6Address:
    try:
        return IPv4Address(text) if family == 4 else IPv6Address(text)
    except ValueError as error:
        raise errors.invalid_value(f"invalid value for parameter address: {text}") from error


def _prefix_base(text: str, length: int) -> int:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise errors.invalid_value(f"Value ({text}) for parameter prefix is invalid. {error}") from error
    if network.prefixlen != length:
        raise errors.invalid_value(
            f"Value ({text}) for parameter prefix is invalid. The prefix length must be /{length}."
        )
    return int(network.network_address)


def release(world: World, subnet_id: str, addresses: Iterable[str], prefixes: Iterable[str] = ()) -> None:
    """Give addresses and prefixes (either family) back to the subnet."""
    for text in addresses:
        address = ipaddress.ip_address(text)
        pool = world.ipv4[subnet_id] if address.version == 4 else world.ipv6[subnet_id]
        pool.release(int(address))
    for text in prefixes:
        network = ipaddress.ip_network(text)
        holder = world.ipv4[subnet_id] if network.version == 4 else world.ipv6[subnet_id]
        holder.release_prefix(int(network.network_address))


# Assigning


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
    lost = tuple(dict.fromkeys(str(IPv6Network((_prefix_base(p, IPV6_PREFIX_LEN), IPV6_PREFIX_LEN))) for p in prefixes))
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
