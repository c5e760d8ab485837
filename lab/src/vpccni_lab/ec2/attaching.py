"""Attaching ENIs to instances and detaching them, with the time both take."""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_lab.ec2 import errors, events, granting, interfaces
from vpccni_lab.ec2.faults import Kind
from vpccni_lab.ec2.limits import instance_type
from vpccni_lab.ec2.records import Attachment, Eni, Instance
from vpccni_lab.ec2.world import World

_STUCK_RECHECK: Final = 1.0  # seconds between looks at whether an attach-stuck fault still stands


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
    if at_once:
        _attached(world, eni_id, attachment.id)
        return attachment
    scope = world.scope(action="AttachNetworkInterface", subnet=eni.subnet_id, instance=instance_id)
    stuck, late = (world.faults.find(kind, scope, now) for kind in (Kind.ATTACH_STUCK, Kind.ATTACH_DELAY))
    delay = late.seconds if late else world.timings.attach
    stuck_by = stuck.id if stuck else ""
    if delay:
        world.timeline.at(now + delay, lambda: _attached(world, eni_id, attachment.id, stuck_by))
    else:
        _attached(world, eni_id, attachment.id, stuck_by)
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
    granting.check_fits(kind, eni)


def _attachments(world: World, instance_id: str) -> list[Attachment]:
    return [eni.attachment for eni in world.enis_of(instance_id) if eni.attachment]


def _attached(world: World, eni_id: str, attachment_id: str, stuck_by: str = "") -> None:
    """``stuck_by``: id of the fault that holds this attach up, for as long as it is set."""
    eni = world.enis.get(eni_id)
    if (
        eni is None
        or eni.attachment is None
        or eni.attachment.id != attachment_id
        or eni.attachment.status != "attaching"
    ):
        return
    if stuck_by and world.faults.is_set(stuck_by, world.now()):
        world.timeline.at(world.now() + _STUCK_RECHECK, lambda: _attached(world, eni_id, attachment_id, stuck_by))
        return
    eni = world.put_eni(dataclasses.replace(eni, attachment=dataclasses.replace(eni.attachment, status="attached")))
    world.emit(events.EniAttached(world.instances[eni.instance_id], eni))


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
    scope = world.scope(action="DetachNetworkInterface", subnet=eni.subnet_id, instance=eni.instance_id)
    late = None if force else world.faults.find(Kind.DETACH_DELAY, scope, world.now())
    delay = late.seconds if late else 0.0 if force else world.timings.detach
    if delay and eni.on_wire:
        world.put_eni(dataclasses.replace(eni, attachment=dataclasses.replace(attachment, status="detaching")))
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
        interfaces.destroy(world, world.enis[eni.id])
