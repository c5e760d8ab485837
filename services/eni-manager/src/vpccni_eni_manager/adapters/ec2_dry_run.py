"""Each EC2 action as a request that EC2 is sure not to carry out: a dry run, or an address that no subnet has."""

from __future__ import annotations

from typing import Any, Final

from vpccni_eni_manager.adapters.ec2_call import Ec2Caller
from vpccni_eni_manager.domain.ec2_errors import Ec2Error
from vpccni_eni_manager.ports import Sample

# RFC 5737 and RFC 3849 keep these for documentation. The four address actions have no dry run (EC2 API reference): after
# the permission, EC2 refuses an address from outside the subnet, or one that the ENI does not hold.
_NO_IPV4: Final = "192.0.2.1"
_NO_IPV6: Final = "2001:db8:ffff:ffff::1"


class DryRuns:
    """Implements ports.DryRuns."""

    def __init__(self, caller: Ec2Caller) -> None:
        self._caller = caller

    async def __call__(self, action: str, sample: Sample, deadline: float) -> Ec2Error | None:
        return await self._caller.try_once(action, request(action, sample), deadline)


def request(action: str, sample: Sample) -> dict[str, Any]:
    """Parameters of ``action``. Raises KeyError for an action that eni-manager does not make."""
    eni = {"NetworkInterfaceId": sample.eni_id}
    tags = [{"Key": key, "Value": sample.tags[key]} for key in sorted(sample.tags)]
    dry: dict[str, Any] = {"DryRun": True}
    requests: dict[str, dict[str, Any]] = {
        "AssignIpv6Addresses": {**eni, "Ipv6Addresses": [_NO_IPV6]},
        "AssignPrivateIpAddresses": {**eni, "PrivateIpAddresses": [_NO_IPV4]},
        "AttachNetworkInterface": {**eni, "InstanceId": sample.instance_id, "DeviceIndex": 1, **dry},
        "CreateNetworkInterface": {
            "SubnetId": sample.subnet_id,
            **({"Groups": list(sample.security_groups)} if sample.security_groups else {}),
            **({"TagSpecifications": [{"ResourceType": "network-interface", "Tags": tags}]} if tags else {}),
            **dry,
        },
        "CreateTags": {"Resources": [sample.eni_id], "Tags": tags, **dry},
        "DeleteNetworkInterface": {**eni, **dry},
        "DescribeInstanceTypes": {"InstanceTypes": [sample.instance_type], **dry},
        "DescribeNetworkInterfaces": dry,
        "DescribeSubnets": dry,
        "DetachNetworkInterface": {"AttachmentId": sample.attachment_id, **dry},
        "ModifyNetworkInterfaceAttribute": {**eni, "Groups": list(sample.security_groups), **dry},
        "UnassignIpv6Addresses": {**eni, "Ipv6Addresses": [_NO_IPV6]},
        "UnassignPrivateIpAddresses": {**eni, "PrivateIpAddresses": [_NO_IPV4]},
    }
    return requests[action]
