"""Verbs on ENIs: create, attach, detach, delete, modify."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from vpccni_lab.ec2 import addressing, errors, events
from vpccni_lab.ec2.addressing import NOTHING, Wish
from vpccni_lab.ec2.faults import Kind
from vpccni_lab.ec2.limits import instance_type
from vpccni_lab.ec2.records import Attachment, ConnectionTracking, Eni, Instance, Tags
from vpccni_lab.ec2.world import World

INTERFACE_TYPES: Final = ("interface", "efa", "efa-only", "trunk", "branch")
_MAX_TOKENS: Final = 10_000
_STUCK_RECHECK: Final = 1.0  # seconds between looks at whether an attach-stuck fault still stands


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
    addressing.check_wish(new.ipv4, 4)
    addressing.check_wish(new.ipv6, 6)
    if new.interface_type not in INTERFACE_TYPES:
        raise errors.invalid_value(f"Value ({new.interface_type}) for parameter interfaceType is invalid.")
    bare = new.interface_type == "efa-only"
    if bare and (new.primary or new.ipv4.size or new.ipv6.size):
        raise errors.combination("IP addresses cannot be specified for network interfaces of type efa-only.")
    primary = Wish(addresses=(new.primary,)) if new.primary else Wish(count=0 if bare else 1)
    first = addressing.grant_ipv4(world, subnet, primary)
    try:
        more = addressing.grant_ipv4(world, subnet, new.ipv4)
        try:
            six = addressing.grant_ipv6(world, subnet, new.ipv6)
        except errors.Ec2Error:
            addressing.release(world, subnet.id, more.addresses, more.prefixes)
            raise
    except errors.Ec2Error:
        addressing.release(world, subnet.id, first.addresses)
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


# Attaching


def attach(
    world: World,
    eni_id: str,
    instance_id: str,
    device_index: int,
    network_card: int = 0,
    *,
    delete_on_termination: bool = False,
    at_once: bool = False,
) -> Attachment:
    """AttachNetworkInterface. The link comes after the attach delay (``at_once``: now, as for a primary ENI)."""
    eni = world.enis[eni_id] if at_once else world.eni(eni_id)
    instance = world.instance(instance_id)
    if eni.attachment is not None:
        raise errors.Ec2Error("InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] in use.")
    _check_attach(world, eni, instance, device_index, network_card)
    now = world.now()
    attachment = Attachment(
        id=world.new_id("eni-attach"),
        instance_id=instance_id,
        device_index=device_index,
        network_card=network_card,
        status="attaching",
        attach_time=now,
        delete_on_termination=delete_on_termination,
    )
    world.put_eni(dataclasses.replace(eni, attachment=attachment))
    world.attached.setdefault(instance_id, {})[eni_id] = None
    world.by_attachment[attachment.id] = eni_id
    delay = 0.0 if at_once else _delay(world, Kind.ATTACH_DELAY, "AttachNetworkInterface", eni, world.timings.attach)
    if delay:
        world.timeline.at(now + delay, lambda: _attached(world, eni_id, attachment.id))
    else:
        _attached(world, eni_id, attachment.id)
    return attachment


def _check_attach(world: World, eni: Eni, instance: Instance, device_index: int, network_card: int) -> None:
    kind = instance_type(instance.type)
    if not instance.alive:
        raise errors.Ec2Error("IncorrectState", f"Instance '{instance.id}' is not 'running' or 'stopped'.")
    if instance.az != eni.az:
        raise errors.combination(
            "You may not attach a network interface to an instance if they are not in the same availability zone"
        )
    card = kind.card(network_card)
    if card is None:
        raise errors.invalid_value(
            f"Network card index '{network_card}' is not valid for instance type '{kind.name}': "
            f"it has {len(kind.cards)} network card(s)."
        )
    if device_index < 0:
        raise errors.invalid_value(f"Value ({device_index}) for parameter deviceIndex is invalid.")
    if eni.interface_type in ("efa", "efa-only") and eni.interface_type not in card.interface_types:
        raise errors.combination(f"Interface type '{eni.interface_type}' is not supported by '{kind.name}'.")
    on_card = [a for a in _attachments(world, instance.id) if a.network_card == network_card]
    if any(a.device_index == device_index for a in on_card):
        raise errors.invalid_value(
            f"Instance '{instance.id}' already has an interface attached at device index '{device_index}'."
        )
    if len(on_card) >= card.max_interfaces:
        raise errors.attachment_limit(len(on_card) + 1, kind.name)
    addressing.check_fits(kind, eni)


def _attachments(world: World, instance_id: str) -> list[Attachment]:
    return [eni.attachment for eni in world.enis_of(instance_id) if eni.attachment]


def _delay(world: World, kind: Kind, action: str, eni: Eni, otherwise: float) -> float:
    scope = world.scope(action=action, subnet=eni.subnet_id, instance=world.enis[eni.id].instance_id)
    fault = world.faults.find(kind, scope, world.now())
    return fault.seconds if fault else otherwise


def _attached(world: World, eni_id: str, attachment_id: str) -> None:
    eni = world.enis.get(eni_id)
    if (
        eni is None
        or eni.attachment is None
        or eni.attachment.id != attachment_id
        or eni.attachment.status != "attaching"
    ):
        return
    scope = world.scope(action="AttachNetworkInterface", subnet=eni.subnet_id, instance=eni.instance_id)
    if world.faults.stands(Kind.ATTACH_STUCK, scope, world.now()):
        world.timeline.at(world.now() + _STUCK_RECHECK, lambda: _attached(world, eni_id, attachment_id))
        return
    eni = world.put_eni(dataclasses.replace(eni, attachment=dataclasses.replace(eni.attachment, status="attached")))
    world.emit(events.EniAttached(world.instances[eni.instance_id], eni))


# Detaching


def detach(world: World, attachment_id: str, *, force: bool = False) -> None:
    """DetachNetworkInterface. Detaching again while it detaches is accepted, as EC2 does."""
    eni_id = world.by_attachment.get(attachment_id)
    if eni_id is None:
        raise errors.not_found("InvalidAttachmentID.NotFound", "attachment ID", [attachment_id])
    eni = world.enis[eni_id]
    attachment = eni.attachment
    assert attachment is not None
    if attachment.device_index == 0 and attachment.network_card == 0:
        raise errors.Ec2Error(
            "OperationNotPermitted",
            "The network interface at device index 0 and networkCard index 0 cannot be detached.",
        )
    if attachment.status == "detaching" and not force:
        return
    delay = 0.0 if force else _delay(world, Kind.DETACH_DELAY, "DetachNetworkInterface", eni, world.timings.detach)
    was_linked = attachment.status in ("attached", "detaching")
    status = dataclasses.replace(attachment, status="detaching" if was_linked else "attaching")
    if delay and was_linked:
        world.put_eni(dataclasses.replace(eni, attachment=status))
        world.timeline.at(world.now() + delay, lambda: _detached(world, eni_id, attachment_id))
    else:
        _detached(world, eni_id, attachment_id)


def _detached(world: World, eni_id: str, attachment_id: str) -> None:
    eni = world.enis.get(eni_id)
    if eni is None or eni.attachment is None or eni.attachment.id != attachment_id:
        return
    instance = world.instances[eni.instance_id]
    del world.attached[instance.id][eni_id]
    del world.by_attachment[attachment_id]
    world.put_eni(dataclasses.replace(eni, attachment=None))
    if eni.on_wire:
        world.emit(events.EniDetached(instance, eni))


def detach_from_dead(world: World, eni: Eni) -> None:
    """The end of an instance: its ENI is gone or free at once, per DeleteOnTermination."""
    assert eni.attachment is not None
    _detached(world, eni.id, eni.attachment.id)
    if eni.attachment.delete_on_termination:
        destroy(world, world.enis[eni.id])


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
    addressing.release(
        world, eni.subnet_id, (*eni.private_ips, *eni.ipv6_addresses), (*eni.prefixes, *eni.ipv6_prefixes)
    )
    world.macs.discard(eni.mac)
    world.enis.drop(eni.id, world.now())


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
