"""CreateTags, DeleteTags, DescribeTags: one key space over all kinds of resources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vpccni_lab.ec2 import errors
from vpccni_lab.ec2.api.listing import Getters, filtered, page
from vpccni_lab.ec2.api.params import Params, Result, check_tag_count, strings, tags_from
from vpccni_lab.ec2.records import Tags
from vpccni_lab.ec2.world import World

_ERRORS = {
    "eni": ("InvalidNetworkInterfaceID.NotFound", "networkInterface ID"),
    "i": ("InvalidInstanceID.NotFound", "instance ID"),
    "subnet": ("InvalidSubnetID.NotFound", "subnet ID"),
    "vpc": ("InvalidVpcID.NotFound", "vpc ID"),
    "sg": ("InvalidGroup.NotFound", "security group"),
    "eipalloc": ("InvalidAllocationID.NotFound", "allocation ID"),
}
KINDS = {
    "eni": "network-interface",
    "i": "instance",
    "subnet": "subnet",
    "vpc": "vpc",
    "sg": "security-group",
    "eipalloc": "elastic-ip",
}


def _access(world: World, resource: str) -> tuple[Tags, Callable[[Tags], object]]:
    """Tags of a resource, and how to set them. Raises Ec2Error for one that does not exist."""
    if resource in world.enis:
        eni = world.eni(resource)
        return eni.tags, lambda tags: world.put_eni(dataclasses.replace(eni, tags=tags))
    if resource in world.instances:
        instance = world.instances[resource]
        return instance.tags, lambda tags: world.put_instance(dataclasses.replace(instance, tags=tags))
    if resource in world.subnets:
        subnet = world.subnets[resource]
        return subnet.tags, lambda tags: world.subnets.update({resource: dataclasses.replace(subnet, tags=tags)})
    if resource in world.vpcs:
        vpc = world.vpcs[resource]
        return vpc.tags, lambda tags: world.vpcs.update({resource: dataclasses.replace(vpc, tags=tags)})
    if resource in world.groups:
        group = world.groups[resource]
        return group.tags, lambda tags: world.groups.update({resource: dataclasses.replace(group, tags=tags)})
    address = next((a for a in world.public.values() if a.allocation_id == resource), None)
    if address is not None:
        held = address
        return held.tags, lambda tags: world.public.update({held.public_ip: dataclasses.replace(held, tags=tags)})
    prefix = resource.split("-")[0]
    if prefix not in _ERRORS:
        raise errors.Ec2Error("InvalidID", f"The ID '{resource}' is not valid")
    code, what = _ERRORS[prefix]
    raise errors.not_found(code, what, [resource])


def create(world: World, params: Params) -> Result:
    resources, tags = strings(params, "Resources"), tags_from(params.get("Tags"))
    if not resources:
        raise errors.missing("resourceIdSet")
    if not tags:
        raise errors.missing("tagSet")
    pending = []
    for resource in dict.fromkeys(resources):
        old, put = _access(world, resource)
        merged = {**old, **tags}
        check_tag_count(merged)
        pending.append((put, merged))
    for put, merged in pending:
        put(merged)
    return {}


def delete(world: World, params: Params) -> Result:
    """Without Tags: all. With a value: only if it is that value (as EC2: an absent Value, any; "" is the empty one)."""
    resources = strings(params, "Resources")
    if not resources:
        raise errors.missing("resourceIdSet")
    wanted = params.get("Tags")
    pending = []
    for resource in dict.fromkeys(resources):
        old, put = _access(world, resource)
        kept = {} if not wanted else {key: value for key, value in old.items() if not _named(key, value, wanted)}
        pending.append((put, kept))
    for put, kept in pending:
        put(kept)
    return {}


def _named(key: str, value: str, wanted: list[dict[str, str]]) -> bool:
    return any(tag.get("Key") == key and ("Value" not in tag or tag["Value"] == value) for tag in wanted)


@dataclasses.dataclass(frozen=True, slots=True)
class _Tag:
    resource: str
    key: str
    value: str

    @property
    def kind(self) -> str:
        return KINDS[self.resource.split("-")[0]]


def describe(world: World, params: Params) -> Result:
    sources: list[tuple[str, Tags]] = [(e.id, e.tags) for e in world.described_enis()]
    sources += [(i.id, i.tags) for i in world.instances.values()]
    sources += [(s.id, s.tags) for s in world.subnets.values()]
    sources += [(v.id, v.tags) for v in world.vpcs.values()]
    sources += [(g.id, g.tags) for g in world.groups.values()]
    sources += [(a.allocation_id, a.tags) for a in world.public.values() if a.allocation_id]
    tags = [_Tag(resource, key, value) for resource, held in sources for key, value in held.items()]
    getters: Getters[_Tag] = {
        "resource-id": lambda t: (t.resource,),
        "resource-type": lambda t: (t.kind,),
        "key": lambda t: (t.key,),
        "value": lambda t: (t.value,),
    }
    tagged = filtered(tags, params, getters, None)
    found, token = page(tagged, params, lambda t: f"{t.resource} {t.key}")
    return {
        "Tags": [{"ResourceId": t.resource, "ResourceType": t.kind, "Key": t.key, "Value": t.value} for t in found],
        "NextToken": token,
    }
