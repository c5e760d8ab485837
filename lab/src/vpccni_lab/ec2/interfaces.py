"""Verbs on ENIs: create, attach, detach, delete, modify."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from vpccni_lab.ec2 import errors, events, granting
from vpccni_lab.ec2.granting import NOTHING, Wish
from vpccni_lab.ec2.records import ConnectionTracking, Eni, Tags
from vpccni_lab.ec2.world import World

INTERFACE_TYPES: Final = ("interface", "efa", "efa-only", "trunk", "branch")
_MAX_TOKENS: Final = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class NewEni:
    """What CreateNetworkInterface takes. ``primary``: the primary address asked for, "" lets EC2 choose."""

    subnet_id: str
    primary: str = ""
    ipv4: Wish = NOTHING
    ipv6: Wish = NOTHING
    description: str = ""
    groups: tuple[str, ...] = ()
    interface_type: str = "interface"
    connection_tracking: ConnectionTracking | None = None
    tags: Tags = dataclasses.field(default_factory=dict)
    client_token: str = ""

    @property
    def fingerprint(self) -> str:
        return repr(dataclasses.replace(self, client_token=""))


def create(world: World, new: NewEni) -> Eni:
    """CreateNetworkInterface: either the whole of it or nothing. The same ClientToken gives the same ENI again.

    Raises Ec2Error InvalidSubnetID.NotFound, InvalidGroup.NotFound, IdempotentParameterMismatch, InsufficientFree…, and so on.
    """
    if new.client_token:
        known = world.client_tokens.get(new.client_token)
        if known and known[1] in world.enis:
            if known[0] != new.fingerprint:
                raise errors.Ec2Error(
                    "IdempotentParameterMismatch",
                    "The request uses the same client token as a previous, but non-identical request.",
                )
            return world.enis[known[1]]
    eni = _create(world, new)
    if new.client_token:
        world.client_tokens[new.client_token] = (new.fingerprint, eni.id)
        if len(world.client_tokens) > _MAX_TOKENS:
            del world.client_tokens[next(iter(world.client_tokens))]
    return eni


def check_groups(world: World, groups: Sequence[str], vpc_id: str) -> tuple[str, ...]:
    """The VPC's default group if none is named."""
    for group_id in groups:
        if world.group(group_id).vpc_id != vpc_id:
            raise errors.Ec2Error(
                "InvalidGroup.NotFound", "You have specified two resources that belong to different networks."
            )
    return tuple(dict.fromkeys(groups)) or (world.vpc(vpc_id).default_group,)


def _create(world: World, new: NewEni) -> Eni:
    subnet = world.subnet(new.subnet_id)
    groups = check_groups(world, new.groups, subnet.vpc_id)
    granting.check_wish(new.ipv4, 4)
    granting.check_wish(new.ipv6, 6)
    if new.interface_type not in INTERFACE_TYPES:
        raise errors.invalid_value(f"Value ({new.interface_type}) for parameter interfaceType is invalid.")
    bare = new.interface_type == "efa-only"
    if bare and (new.primary or new.ipv4.size or new.ipv6.size):
        raise errors.combination("IP addresses cannot be specified for network interfaces of type efa-only.")
    primary = Wish(addresses=(new.primary,)) if new.primary else Wish(count=0 if bare else 1)
    first = granting.grant_ipv4(world, subnet, primary)
    try:
        more = granting.grant_ipv4(world, subnet, new.ipv4)
        try:
            six = granting.grant_ipv6(world, subnet, new.ipv6)
        except errors.Ec2Error:
            granting.release(world, subnet.id, more.addresses, more.prefixes)
            raise
    except errors.Ec2Error:
        granting.release(world, subnet.id, first.addresses)
        raise
    return world.put_eni(
        Eni(
            id=world.new_id("eni"),
            mac=world.new_mac(),
            vpc_id=subnet.vpc_id,
            subnet_id=subnet.id,
            az=subnet.az,
            private_ip=first.addresses[0] if first.addresses else "",
            secondary_ips=more.addresses,
            prefixes=more.prefixes,
            ipv6_addresses=six.addresses,
            ipv6_prefixes=six.prefixes,
            description=new.description,
            groups=groups,
            interface_type=new.interface_type,
            connection_tracking=new.connection_tracking,
            created_at=world.now(),
            tags=dict(new.tags),
        )
    )


def delete(world: World, eni_id: str) -> None:
    """DeleteNetworkInterface; refused while attached, in whatever status."""
    eni = world.eni(eni_id)
    if eni.attachment is not None:
        raise errors.invalid_value(f"Network interface '{eni_id}' is currently in use.")
    destroy(world, eni)


def destroy(world: World, eni: Eni) -> None:
    """The ENI is gone, its addresses free."""
    for address in eni.public:
        if address.allocation_id:
            world.public[address.public_ip] = dataclasses.replace(address, association_id="", eni_id="", private_ip="")
        else:
            world.public.pop(address.public_ip, None)
    granting.release(world, eni.subnet_id, (*eni.private_ips, *eni.ipv6_addresses), (*eni.prefixes, *eni.ipv6_prefixes))
    world.macs.discard(eni.mac)
    world.enis.drop(eni.id, world.now())
    if eni.trunk is not None:  # as EC2 does: the association goes with the ENI
        world.emit(events.EniChanged(eni))


# Modifying


def modify(
    world: World,
    eni_id: str,
    *,
    description: str | None = None,
    groups: Sequence[str] | None = None,
    source_dest_check: bool | None = None,
    delete_on_termination: tuple[str, bool] | None = None,
    connection_tracking: ConnectionTracking | None = None,
) -> Eni:
    """ModifyNetworkInterfaceAttribute; EC2 takes one attribute per call. ``delete_on_termination``: (attachment id, value)."""
    eni = world.eni(eni_id)
    given = (description, groups, source_dest_check, delete_on_termination, connection_tracking)
    if sum(value is not None for value in given) != 1:
        raise errors.combination("Exactly one attribute of the network interface must be specified.")
    if description is not None:
        return world.put_eni(dataclasses.replace(eni, description=description))
    if connection_tracking is not None:
        return world.put_eni(dataclasses.replace(eni, connection_tracking=connection_tracking))
    if delete_on_termination is not None:
        attachment_id, value = delete_on_termination
        if eni.attachment is None or eni.attachment.id != attachment_id:
            raise errors.not_found("InvalidAttachmentID.NotFound", "attachment ID", [attachment_id])
        return world.put_eni(
            dataclasses.replace(eni, attachment=dataclasses.replace(eni.attachment, delete_on_termination=value))
        )
    if groups is not None:
        if not groups:
            raise errors.invalid_value("At least one security group must be specified.")
        eni = dataclasses.replace(eni, groups=check_groups(world, groups, eni.vpc_id))
    if source_dest_check is not None:
        eni = dataclasses.replace(eni, source_dest_check=source_dest_check)
    world.put_eni(eni)
    world.emit(events.EniChanged(eni))
    return eni
