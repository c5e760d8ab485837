"""Choosing addresses and prefixes for ENIs: what a call may ask for, the type's limits, taking from the subnet."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from vpccni_lab.ec2 import errors
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


def _check_faults(world: World, subnet: Subnet, wish: Wish) -> None:
    if world.fault(Kind.SUBNET_FULL, subnet=subnet.id):
        raise errors.subnet_full()
    if wish.wants_prefixes and world.fault(Kind.NO_PREFIX, subnet=subnet.id):
        raise errors.no_cidr_block()


def grant_ipv4(world: World, subnet: Subnet, wish: Wish) -> Granted:
    """Take addresses out of the subnet: all of the wish or an error and nothing."""
    pool = world.ipv4[subnet.id]
    if not wish.size:
        return Granted()
    _check_faults(world, subnet, wish)
    if wish.wants_prefixes:
        return Granted(prefixes=_grant_ipv4_prefixes(subnet, pool, wish))
    if wish.addresses:
        taken = _take_named(wish.addresses, subnet, pool)
    else:
        try:
            taken = pool.take_any(wish.count)
        except PoolFullError as error:
            raise errors.subnet_full() from error
    return Granted(addresses=tuple(str(IPv4Address(value)) for value in taken))


def _grant_ipv4_prefixes(subnet: Subnet, pool: Ipv4Pool, wish: Wish) -> tuple[str, ...]:
    if wish.prefixes:
        bases = [prefix_base(text, IPV4_PREFIX_LEN) for text in wish.prefixes]
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
    _check_faults(world, subnet, wish)
    if wish.wants_prefixes:
        return Granted(prefixes=_grant_ipv6_prefixes(subnet, pool, wish))
    taken = _take_named(wish.addresses, subnet, pool) if wish.addresses else pool.take_any(wish.count)
    return Granted(addresses=tuple(str(IPv6Address(value)) for value in taken))


def _grant_ipv6_prefixes(subnet: Subnet, pool: Ipv6Pool, wish: Wish) -> tuple[str, ...]:
    if wish.prefixes:
        bases = [prefix_base(text, IPV6_PREFIX_LEN) for text in wish.prefixes]
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


def prefix_base(text: str, length: int) -> int:
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
