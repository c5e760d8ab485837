"""Verbs on instances and public addresses."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address

from vpccni_lab.ec2 import attaching, errors, events, granting, interfaces
from vpccni_lab.ec2.granting import NOTHING, Wish
from vpccni_lab.ec2.interfaces import NewEni
from vpccni_lab.ec2.limits import instance_type
from vpccni_lab.ec2.records import NO_TAGS, Eni, Instance, PublicAddress, Tags
from vpccni_lab.ec2.world import World

_PUBLIC_BASE = int(IPv4Address("203.0.113.1"))  # TEST-NET-3, then on into the numbers after it
_REMEMBERED = 3600.0  # seconds that a terminated instance is still described
IMAGE = "ami-0123456789abcdef0"


@dataclasses.dataclass(frozen=True, slots=True)
class NewInstance:
    """``interfaces``: (device index, network card, ENI to make or id of one that exists, DeleteOnTermination).

    Without any, a primary ENI is made in ``subnet_id``. ``public_ip``: "", "auto" or an address.
    """

    type: str
    subnet_id: str = ""
    private_ip: str = ""
    groups: tuple[str, ...] = ()
    ipv6: Wish = NOTHING
    interfaces: tuple[tuple[int, int, NewEni | str, bool], ...] = ()
    public_ip: str = ""
    name: str = ""
    role: str = ""
    image_id: str = IMAGE
    client_token: str = ""
    tags: Tags = dataclasses.field(default_factory=dict)
    eni_tags: Tags = dataclasses.field(default_factory=dict)


def run(world: World, new: NewInstance) -> Instance:
    """RunInstances of one: running at once, its ENIs attached. All or nothing."""
    kind = instance_type(new.type)
    wanted = new.interfaces or (
        (0, kind.default_card, NewEni(new.subnet_id, new.private_ip, NOTHING, new.ipv6, groups=new.groups), True),
    )
    if not any(index == 0 and card == kind.default_card for index, card, _, _ in wanted):
        raise errors.combination("A network interface with device index 0 is required.")
    made: list[Eni] = []
    held: list[tuple[int, int, Eni, bool]] = []
    try:
        for index, card, source, delete in sorted(wanted, key=lambda item: (item[0], item[1])):
            if isinstance(source, str):
                eni = world.eni(source)
                if eni.attachment:
                    raise errors.Ec2Error("InvalidNetworkInterface.InUse", f"Interface: [{source}] in use.")
            else:
                eni = interfaces.create(world, dataclasses.replace(source, tags={**source.tags, **new.eni_tags}))
                made.append(eni)
            held.append((index, card, eni, delete))
        return _launch(world, new, held)
    except errors.Ec2Error:
        for eni in made:
            if world.enis[eni.id].attachment is None:
                interfaces.destroy(world, eni)
        raise


def _launch(world: World, new: NewInstance, held: list[tuple[int, int, Eni, bool]]) -> Instance:
    first = held[0][2]
    kind = instance_type(new.type)
    for _, _, eni, _ in held:
        granting.check_fits(kind, eni)
    instance = Instance(
        id=world.new_id("i"),
        type=new.type,
        az=first.az,
        vpc_id=first.vpc_id,
        subnet_id=first.subnet_id,
        private_ip=first.private_ip,
        launch_time=world.now(),
        reservation_id=world.new_id("r"),
        image_id=new.image_id,
        groups=first.groups,
        role=new.role or "vpclab-node",
        given_name=new.name,
        client_token=new.client_token,
        tags=dict(new.tags),
    )
    world.put_instance(instance)
    world.emit(events.InstanceLaunched(instance))
    if new.public_ip or world.subnets[first.subnet_id].map_public_ip:
        public = "" if new.public_ip in ("", "auto") else new.public_ip
        _associate(world, first, first.private_ip, PublicAddress(_free_public(world, public)))
    for index, card, eni, delete in held:
        attaching.attach(world, eni.id, instance.id, index, card, delete_on_termination=delete, at_once=True)
    return instance


def terminate(world: World, instance_id: str) -> tuple[str, str]:
    """TerminateInstances of one: (previous state, state). Again on a dead one: no change."""
    instance = world.instance(instance_id)
    before = instance.state
    if not instance.alive:
        return before, before
    world.put_instance(dataclasses.replace(instance, state="shutting-down"))
    if world.timings.terminate:
        world.timeline.at(world.now() + world.timings.terminate, lambda: _gone(world, instance_id))
    else:
        _gone(world, instance_id)
    return before, world.instances[instance_id].state


def _gone(world: World, instance_id: str) -> None:
    for eni in world.enis_of(instance_id):
        attaching.detach_from_dead(world, eni)
    instance = world.put_instance(dataclasses.replace(world.instances[instance_id], state="terminated"))
    world.attached.pop(instance_id, None)
    world.timeline.at(world.now() + _REMEMBERED, lambda: world.instances.drop(instance_id, world.now()))
    world.emit(events.InstanceTerminated(instance))


# Public addresses


def _free_public(world: World, wanted: str) -> str:
    if wanted:
        if wanted in world.public:
            raise errors.Ec2Error("InvalidAddress.InUse", f"The address {wanted} is in use.")
        return str(granting.parse_address(wanted, 4))
    number = _PUBLIC_BASE
    while str(IPv4Address(number)) in world.public or number & 255 in (0, 255):
        number += 1
    return str(IPv4Address(number))


def allocate_address(world: World, tags: Tags = NO_TAGS, wanted: str = "") -> PublicAddress:
    """AllocateAddress."""
    address = PublicAddress(_free_public(world, wanted), allocation_id=world.new_id("eipalloc"), tags=dict(tags))
    world.public[address.public_ip] = address
    return address


def _find_allocation(world: World, allocation_id: str) -> PublicAddress:
    for address in world.public.values():
        if address.allocation_id == allocation_id:
            return address
    raise errors.not_found("InvalidAllocationID.NotFound", "allocation ID", [allocation_id])


def associate_address(
    world: World,
    allocation_id: str,
    *,
    instance_id: str = "",
    eni_id: str = "",
    private_ip: str = "",
    reassociate: bool = True,
) -> str:
    """AssociateAddress: the association id. Takes the place of a public address that is there."""
    address = _find_allocation(world, allocation_id)
    if instance_id and not eni_id:
        world.instance(instance_id)
        primary = [e for e in world.enis_of(instance_id) if e.attachment and e.attachment.device_index == 0]
        if not primary:
            raise errors.Ec2Error("InvalidInstanceID", f"The instance '{instance_id}' has no network interface.")
        eni_id = primary[0].id
    if not eni_id:
        raise errors.missing("networkInterfaceId")
    eni = world.eni(eni_id)
    target = private_ip or eni.private_ip
    if target not in eni.private_ips:
        raise errors.invalid_value(f"The private IP address '{target}' is not assigned to network interface {eni_id}.")
    if address.association_id:
        if not reassociate:
            raise errors.Ec2Error(
                "Resource.AlreadyAssociated",
                f"resource {allocation_id} is already associated with {address.association_id}",
            )
        disassociate_address(world, address.association_id)
    return _associate(world, world.eni(eni_id), target, world.public[address.public_ip])


def _associate(world: World, eni: Eni, private_ip: str, address: PublicAddress) -> str:
    eni = world.enis[eni.id]
    for old in eni.public:
        if old.private_ip == private_ip:
            disassociate_address(world, old.association_id)
    eni = world.enis[eni.id]
    bound = dataclasses.replace(address, association_id=world.new_id("eipassoc"), eni_id=eni.id, private_ip=private_ip)
    world.public[bound.public_ip] = bound
    eni = world.put_eni(dataclasses.replace(eni, public=(*eni.public, bound)))
    world.emit(events.PublicIpChanged(eni))
    return bound.association_id


def disassociate_address(world: World, association_id: str) -> None:
    """DisassociateAddress. An address that is not elastic is gone with it."""
    for address in world.public.values():
        if association_id and address.association_id == association_id:
            break
    else:
        raise errors.not_found("InvalidAssociationID.NotFound", "association ID", [association_id])
    eni = world.enis[address.eni_id]
    eni = world.put_eni(
        dataclasses.replace(eni, public=tuple(p for p in eni.public if p.association_id != association_id))
    )
    if address.allocation_id:
        world.public[address.public_ip] = dataclasses.replace(address, association_id="", eni_id="", private_ip="")
    else:
        del world.public[address.public_ip]
    world.emit(events.PublicIpChanged(eni))


def release_address(world: World, allocation_id: str) -> None:
    """ReleaseAddress; refused while associated."""
    address = _find_allocation(world, allocation_id)
    if address.association_id:
        raise errors.Ec2Error("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
    del world.public[address.public_ip]
