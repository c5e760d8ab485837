"""Which EC2 calls are made, with which parameters (ipam.md 5.1 of the original's behaviour; docs/ec2.md says when)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vpccni_eni_manager.adapters.ec2_call import Ec2Caller
from vpccni_eni_manager.adapters.ec2_parse import assigned_of, eni_of, subnet_of
from vpccni_eni_manager.domain import limits as limits_rules
from vpccni_eni_manager.domain.ec2_errors import ENI_NOT_FOUND, Ec2Error
from vpccni_eni_manager.domain.managed import INSTANCE_ID_TAG
from vpccni_eni_manager.domain.model import AddressMode, Assigned, Eni, InstanceLimits, Subnet
from vpccni_eni_manager.domain.tags import CLUSTER_TAG
from vpccni_eni_manager.ports import NewEni

_PAGE: Final = 1000
_SUBNET_NOT_FOUND: Final = frozenset({"InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound"})


def _filter(**values: str) -> list[dict[str, Any]]:
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in values.items()]


class Ec2Api:
    """Implements ports.Ec2."""

    def __init__(self, caller: Ec2Caller) -> None:
        self._call = caller.call

    async def _pages(self, api: str, key: str, filters: list[dict[str, Any]], deadline: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"Filters": filters, "MaxResults": _PAGE}
        while True:
            answer = await self._call(api, params, deadline)
            found.extend(answer.get(key) or ())
            if not answer.get("NextToken"):
                return found
            params = {**params, "NextToken": answer["NextToken"]}

    async def enis_of(self, instance_id: str, deadline: float) -> tuple[Eni, ...]:
        filters = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
        found = await self._pages("DescribeNetworkInterfaces", "NetworkInterfaces", filters, deadline)
        return tuple(eni_of(one) for one in found)

    async def eni(self, eni_id: str, deadline: float) -> Eni | None:
        try:
            answer = await self._call("DescribeNetworkInterfaces", {"NetworkInterfaceIds": [eni_id]}, deadline)
        except Ec2Error as error:
            if error.code == ENI_NOT_FOUND:
                return None
            raise
        found = answer.get("NetworkInterfaces") or ()
        return eni_of(found[0]) if found else None

    async def unattached(self, vpc_id: str, cluster: str, deadline: float) -> tuple[Eni, ...]:
        filters = _filter(tag_key=INSTANCE_ID_TAG, status="available", vpc_id=vpc_id)
        if cluster:
            filters.append({"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]})
        found = await self._pages("DescribeNetworkInterfaces", "NetworkInterfaces", filters, deadline)
        return tuple(eni_of(one) for one in found)

    async def subnets(self, vpc_id: str, availability_zone: str, deadline: float) -> tuple[Subnet, ...]:
        filters = _filter(vpc_id=vpc_id, availability_zone=availability_zone)
        found = await self._pages("DescribeSubnets", "Subnets", filters, deadline)
        return tuple(subnet_of(one) for one in found)

    async def subnet(self, subnet_id: str, deadline: float) -> Subnet | None:
        try:
            answer = await self._call("DescribeSubnets", {"SubnetIds": [subnet_id]}, deadline)
        except Ec2Error as error:
            if error.code in _SUBNET_NOT_FOUND:
                return None
            raise
        found = answer.get("Subnets") or ()
        return subnet_of(found[0]) if found else None

    async def instance_limits(self, instance_type: str, deadline: float) -> InstanceLimits | None:
        answer = await self._call("DescribeInstanceTypes", {"InstanceTypes": [instance_type]}, deadline)
        found = answer.get("InstanceTypes") or ()
        return limits_rules.from_ec2(instance_type, found[0]) if found else None

    async def create(self, new: NewEni, deadline: float) -> Eni:
        params: dict[str, Any] = {
            "ClientToken": new.token,
            "SubnetId": new.subnet_id,
            "Description": new.description,
            "TagSpecifications": [
                {
                    "ResourceType": "network-interface",
                    "Tags": [{"Key": key, "Value": new.tags[key]} for key in sorted(new.tags)],
                }
            ],
        }
        if new.security_groups:
            params["Groups"] = sorted(new.security_groups)
        if new.connection_tracking:
            params["ConnectionTrackingSpecification"] = dict(new.connection_tracking)
        params |= _create_count(new.mode, new.count)
        answer = await self._call("CreateNetworkInterface", params, deadline)
        return eni_of(answer["NetworkInterface"])

    async def attach(self, eni_id: str, instance_id: str, device: int, card: int, deadline: float) -> str:
        params = {"NetworkInterfaceId": eni_id, "InstanceId": instance_id, "DeviceIndex": device}
        if card:
            params["NetworkCardIndex"] = card
        answer = await self._call("AttachNetworkInterface", params, deadline, repeatable=False)
        return str(answer["AttachmentId"])

    async def delete_on_termination(self, eni_id: str, attachment_id: str, deadline: float) -> None:
        attachment = {"AttachmentId": attachment_id, "DeleteOnTermination": True}
        params = {"NetworkInterfaceId": eni_id, "Attachment": attachment}
        await self._call("ModifyNetworkInterfaceAttribute", params, deadline)

    async def set_groups(self, eni_id: str, groups: Sequence[str], deadline: float) -> None:
        params = {"NetworkInterfaceId": eni_id, "Groups": sorted(groups)}
        await self._call("ModifyNetworkInterfaceAttribute", params, deadline)

    async def detach(self, attachment_id: str, deadline: float) -> None:
        await self._call("DetachNetworkInterface", {"AttachmentId": attachment_id}, deadline)

    async def delete(self, eni_id: str, deadline: float) -> None:
        await self._call("DeleteNetworkInterface", {"NetworkInterfaceId": eni_id}, deadline)

    async def assign(self, eni_id: str, mode: AddressMode, count: int, deadline: float) -> Assigned:
        """Not repeatable: sent twice, it assigns twice."""
        if mode is AddressMode.PREFIX_IPV6:
            params: dict[str, Any] = {"NetworkInterfaceId": eni_id, "Ipv6PrefixCount": count}
            return assigned_of(await self._call("AssignIpv6Addresses", params, deadline, repeatable=False))
        key = "Ipv4PrefixCount" if mode is AddressMode.PREFIX_IPV4 else "SecondaryPrivateIpAddressCount"
        params = {"NetworkInterfaceId": eni_id, key: count}
        return assigned_of(await self._call("AssignPrivateIpAddresses", params, deadline, repeatable=False))

    async def unassign_ipv4(self, eni_id: str, ips: Sequence[str], prefixes: Sequence[str], deadline: float) -> None:
        params: dict[str, Any] = {"NetworkInterfaceId": eni_id}
        if ips:
            params["PrivateIpAddresses"] = list(ips)
        if prefixes:
            params["Ipv4Prefixes"] = list(prefixes)
        await self._call("UnassignPrivateIpAddresses", params, deadline)

    async def unassign_ipv6_prefixes(self, eni_id: str, prefixes: Sequence[str], deadline: float) -> None:
        params = {"NetworkInterfaceId": eni_id, "Ipv6Prefixes": list(prefixes)}
        await self._call("UnassignIpv6Addresses", params, deadline)

    async def tag(self, eni_id: str, tags: Mapping[str, str], deadline: float) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        await self._call("CreateTags", {"Resources": [eni_id], "Tags": pairs}, deadline)


def _create_count(mode: AddressMode, count: int) -> dict[str, int]:
    """IPv6: an address of its own; the prefix is assigned once it is attached (EC2 takes one or the other at creation)."""
    if mode is AddressMode.PREFIX_IPV6:
        return {"Ipv6AddressCount": 1}
    if count < 1:
        return {}
    return {"Ipv4PrefixCount" if mode is AddressMode.PREFIX_IPV4 else "SecondaryPrivateIpAddressCount": count}
