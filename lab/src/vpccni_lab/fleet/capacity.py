"""eni-manager of one node in virtual time: its rules (vpccni_eni_manager.domain) decide, the model answers.

The order of calls is that of ensure_capacity.py, attach_eni.py, release_capacity.py and sweep_orphans.py; what those do for
crashes, lost answers and IMDS is left out: here nothing crashes and no answer is lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_eni_manager.domain import orphans, subnet_rules, tags
from vpccni_eni_manager.domain.ec2_errors import ENI_IN_USE, ENI_NOT_FOUND, INSUFFICIENT_CODES, Ec2Error, Failure
from vpccni_eni_manager.domain.model import (
    AddressMode,
    Assigned,
    Eni,
    Growth,
    InstanceLimits,
    Inventory,
    Source,
    Subnet,
)
from vpccni_eni_manager.domain.orphans import Verdict
from vpccni_eni_manager.domain.placement import Assign, CreateEni, Refuse, plan_growth
from vpccni_eni_manager.domain.subnet_rules import Blocked

from vpccni_lab.ec2.records import Instance
from vpccni_lab.fleet.cloud import Caller, eni_of
from vpccni_lab.fleet.virtual import Process

_ROUNDS: Final = 16
_FINISH_S: Final = 60.0
_IMDS_LOOK_S: Final = 0.25
_IMDS_MOST_S: Final = 5.0
_DELETE_PAUSE_S: Final = 1.0
_DELETE_PAUSE_MAX_S: Final = 5.0


class Capacity:
    """The ENIs of one instance and the calls that change them. ``stray``: ENIs of all nodes that are attached to nothing."""

    def __init__(
        self,
        caller: Caller,
        instance: Instance,
        limits: InstanceLimits,
        stray: dict[str, None],
        cluster: str = "fleet",
    ) -> None:
        self.caller = caller
        self.instance = instance
        self.limits = limits
        self._stray = stray
        self._cluster = cluster
        self._blocks: dict[tuple[str, AddressMode], Blocked] = {}
        self._made = 0
        self.enis: dict[str, Eni] = {}

    @property
    def now(self) -> float:
        return self.caller.sim.now

    def start(self, deadline: float) -> Process[None]:
        """The calls of a first start: inventory, subnets, limits, tags of the primary ENI."""
        ec2, call = self.caller.ec2, self.caller.call
        ids = [eni.id for eni in ec2.enis_of(self.instance.id)]
        # By id: the model's filters look at every ENI of the account. The action, and so the bucket, is the same.
        yield from call("DescribeNetworkInterfaces", {"NetworkInterfaceIds": ids}, deadline)
        yield from call("DescribeSubnets", self._zone(), deadline)
        yield from call("DescribeInstanceTypes", {"InstanceTypes": [self.instance.type]}, deadline)
        primary = ids[0]
        wanted = tags.wanted(self.instance.id, self._cluster, {})
        written = [{"Key": key, "Value": value} for key, value in sorted(wanted.items())]
        yield from call("CreateTags", {"Resources": [primary], "Tags": written}, deadline)
        self.enis = {eni_id: eni_of(ec2.eni(eni_id)) for eni_id in ids}

    def grow(self, growth: Growth, deadline: float) -> Process[tuple[Eni, Assigned]]:
        """One EnsureCapacity step: the ENI after it and what it got. Raises ReasonError."""
        failed: ReasonError | None = None
        for _ in range(_ROUNDS):
            blocked = subnet_rules.blocked_now(self._blocks, growth.mode, self.now)
            full = {eni.eni_id for eni in self.enis.values() if eni.subnet_id in blocked}
            growth = dataclasses.replace(growth, excluded_enis=growth.excluded_enis | full)
            inventory = Inventory(enis=tuple(self.enis.values()), source=Source.EC2, generation=0)
            match plan_growth(inventory, self.limits, growth):
                case Refuse(reason, message):
                    raise failed or ReasonError(reason, message)
                case CreateEni() as plan:
                    return (yield from self._new_eni(plan, growth, deadline))
                case Assign(eni, count):
                    try:
                        return (yield from self._fill(eni, count, growth.mode, deadline))
                    except Ec2Error as error:
                        if error.code not in INSUFFICIENT_CODES:
                            raise
                        self._had_nothing(eni.subnet_id, growth.mode, error.code)
                        failed = ReasonError(_exhausted(growth.mode), error.message)
        raise failed or ReasonError(Reason.EC2_REFUSED, "nothing was added")

    def _fill(self, eni: Eni, count: int, mode: AddressMode, deadline: float) -> Process[tuple[Eni, Assigned]]:
        added = yield from self._assign(eni, count, mode, deadline)
        self._blocks.pop((eni.subnet_id, mode), None)
        now = dataclasses.replace(
            eni, secondary_ips=eni.secondary_ips + added.ips, ipv4_prefixes=eni.ipv4_prefixes + added.prefixes
        )
        self.enis[eni.eni_id] = now
        return now, added

    def _assign(self, eni: Eni, count: int, mode: AddressMode, deadline: float) -> Process[Assigned]:
        """Everything in one call; if the subnet has less, what it has."""
        try:
            return (yield from self._assign_call(eni, count, mode, deadline))
        except Ec2Error as error:
            if error.code not in INSUFFICIENT_CODES or count <= 1:
                raise
            smaller = 1
            if mode is AddressMode.SECONDARY_IP:
                answer = yield from self.caller.call("DescribeSubnets", {"SubnetIds": [eni.subnet_id]}, deadline)
                smaller = min(count - 1, int(answer["Subnets"][0]["AvailableIpAddressCount"]))
            if smaller < 1:
                raise
            return (yield from self._assign_call(eni, smaller, mode, deadline))

    def _assign_call(self, eni: Eni, count: int, mode: AddressMode, deadline: float) -> Process[Assigned]:
        params = {"NetworkInterfaceId": eni.eni_id, _count_key(mode): count}
        answer = yield from self.caller.call("AssignPrivateIpAddresses", params, deadline, repeatable=False)
        return Assigned(
            tuple(str(one["PrivateIpAddress"]) for one in answer.get("AssignedPrivateIpAddresses") or ()),
            tuple(str(one["Ipv4Prefix"]) for one in answer.get("AssignedIpv4Prefixes") or ()),
        )

    def _new_eni(self, plan: CreateEni, growth: Growth, deadline: float) -> Process[tuple[Eni, Assigned]]:
        eni_id = yield from self._create(plan, growth, deadline)
        self._stray[eni_id] = None
        by, call = self.now + _FINISH_S, self.caller.call
        try:
            params = {"NetworkInterfaceId": eni_id, "InstanceId": self.instance.id, "DeviceIndex": plan.device_index}
            attachment = (yield from call("AttachNetworkInterface", params, by, repeatable=False))["AttachmentId"]
            marked = {"AttachmentId": attachment, "DeleteOnTermination": True}
            yield from call("ModifyNetworkInterfaceAttribute", {"NetworkInterfaceId": eni_id, "Attachment": marked}, by)
            # IMDS, which costs nothing, tells when asking EC2 is worth a call.
            while self._status(eni_id) != "attached":
                yield _IMDS_LOOK_S
            yield from call("DescribeNetworkInterfaces", {"NetworkInterfaceIds": [eni_id]}, by)
        except Ec2Error as error:
            yield from self._undo(eni_id)
            raise ReasonError(Reason.ENI_ATTACH_FAILED, error.message) from error
        del self._stray[eni_id]
        made = eni_of(self.caller.ec2.eni(eni_id))
        self.enis[eni_id] = made
        return made, Assigned(made.secondary_ips, made.ipv4_prefixes)

    def _create(self, plan: CreateEni, growth: Growth, deadline: float) -> Process[str]:
        """In the first subnet that has room, best first."""
        answer = yield from self.caller.call("DescribeSubnets", self._zone(), deadline)
        found = subnet_rules.candidates(
            [_subnet_of(one) for one in answer["Subnets"]],
            primary_subnet=self.instance.subnet_id,
            cluster=self._cluster,
            blocked=subnet_rules.blocked_now(self._blocks, growth.mode, self.now),
        )
        for candidate in found:
            if candidate.refused:
                continue
            name, code = candidate.subnet.subnet_id, "InsufficientFreeAddressesInSubnet"
            count = min(plan.count, subnet_rules.room_for_new_eni(candidate.subnet, growth.mode, plan.count))
            if count >= 1:
                try:
                    made = yield from self.caller.call(
                        "CreateNetworkInterface", self._request(name, growth.mode, count), deadline
                    )
                    return str(made["NetworkInterface"]["NetworkInterfaceId"])
                except Ec2Error as error:
                    if error.code not in INSUFFICIENT_CODES:
                        raise
                    code = error.code
            self._had_nothing(name, growth.mode, code)
        raise ReasonError(_exhausted(growth.mode), "; ".join(map(str, found)))

    def _request(self, subnet_id: str, mode: AddressMode, count: int) -> dict[str, Any]:
        self._made += 1
        marks = tags.at_creation(tags.wanted(self.instance.id, self._cluster, {}), self.now)
        written = [{"Key": key, "Value": value} for key, value in sorted(marks.items())]
        return {
            "ClientToken": f"{self.instance.id}-{self._made}",
            "SubnetId": subnet_id,
            "Description": tags.description(self.instance.id),
            "TagSpecifications": [{"ResourceType": "network-interface", "Tags": written}],
            _count_key(mode): count,
        }

    def _undo(self, eni_id: str) -> Process[None]:
        record = self.caller.ec2.world.enis.get(eni_id)
        attachment = record.attachment.id if record and record.attachment else ""
        with contextlib.suppress(Ec2Error):  # a real node's journal goes on with it; here the sweep does
            yield from self._remove(eni_id, attachment)
            self._stray.pop(eni_id, None)

    def release(self, eni_id: str, ips: tuple[str, ...], prefixes: tuple[str, ...], deadline: float) -> Process[None]:
        """Gives addresses or prefixes of one ENI back: one call per kind. Raises Ec2Error."""
        for key, given in (("PrivateIpAddresses", ips), ("Ipv4Prefixes", prefixes)):
            if given:
                params = {"NetworkInterfaceId": eni_id, key: list(given)}
                yield from self.caller.call("UnassignPrivateIpAddresses", params, deadline)
        eni, gone = self.enis[eni_id], {*ips, *prefixes}
        self.enis[eni_id] = dataclasses.replace(
            eni,
            secondary_ips=tuple(ip for ip in eni.secondary_ips if ip not in gone),
            ipv4_prefixes=tuple(prefix for prefix in eni.ipv4_prefixes if prefix not in gone),
        )
        for mode in AddressMode:
            self._blocks.pop((eni.subnet_id, mode), None)

    def remove(self, eni_id: str) -> Process[None]:
        """Gives a whole ENI back, after a look at its tags. Raises Ec2Error."""
        params = {"NetworkInterfaceIds": [eni_id]}
        yield from self.caller.call("DescribeNetworkInterfaces", params, self.now + _FINISH_S)
        yield from self._remove(eni_id, self.enis[eni_id].attachment_id)
        del self.enis[eni_id]

    def _remove(self, eni_id: str, attachment: str) -> Process[None]:
        by, pause = self.now + 2 * _FINISH_S, _DELETE_PAUSE_S
        if attachment:
            yield from self.caller.call("DetachNetworkInterface", {"AttachmentId": attachment}, by)
            until = self.now + _IMDS_MOST_S
            while self.now < until and self._status(eni_id) != "available":
                yield _IMDS_LOOK_S
        while True:
            try:
                yield from self.caller.call("DeleteNetworkInterface", {"NetworkInterfaceId": eni_id}, by)
                return
            except Ec2Error as error:
                if error.code == ENI_NOT_FOUND:
                    return
                if error.code not in ENI_IN_USE or self.now >= by:
                    raise
            yield pause
            pause = min(pause * 1.5, _DELETE_PAUSE_MAX_S)

    def look_again(self, deadline: float) -> Process[None]:
        """The two-hourly look at the node's own ENIs (tags leave no trace in IMDS)."""
        yield from self.caller.call("DescribeNetworkInterfaces", {"NetworkInterfaceIds": list(self.enis)}, deadline)

    def sweep(self, deadline: float) -> Process[int]:
        """The hourly look for leaked ENIs. Returns how many were deleted."""
        params = {"NetworkInterfaceIds": [next(iter(self.enis))]}  # by id, for the same reason as in start
        yield from self.caller.call("DescribeNetworkInterfaces", params, deadline)
        world, deleted = self.caller.ec2.world, 0
        records = [world.enis.get(eni_id) for eni_id in self._stray]
        shown = [eni_of(record) for record in records if record is not None and record.attachment is None]
        for one in orphans.judge(shown, self.now, ()):
            if one.verdict is Verdict.DELETE:
                try:
                    leaked = {"NetworkInterfaceId": one.eni.eni_id}
                    yield from self.caller.call("DeleteNetworkInterface", leaked, deadline)
                    self._stray.pop(one.eni.eni_id, None)
                    deleted += 1
                except Ec2Error as error:
                    if error.failure is not Failure.REFUSED:
                        raise
        return deleted

    def _zone(self) -> dict[str, Any]:
        names = {"vpc-id": self.instance.vpc_id, "availability-zone": self.instance.az}
        return {"Filters": [{"Name": name, "Values": [value]} for name, value in names.items()]}

    def _status(self, eni_id: str) -> str:
        ec2 = self.caller.ec2
        ec2.advance()
        held = ec2.eni(eni_id).attachment
        return held.status if held else "available"

    def _had_nothing(self, subnet_id: str, mode: AddressMode, why: str) -> None:
        self._blocks = subnet_rules.block(self._blocks, (subnet_id, mode), self.now, why)


def _count_key(mode: AddressMode) -> str:
    return "Ipv4PrefixCount" if mode is AddressMode.PREFIX_IPV4 else "SecondaryPrivateIpAddressCount"


def _exhausted(mode: AddressMode) -> Reason:
    return Reason.SUBNET_FULL if mode is AddressMode.SECONDARY_IP else Reason.SUBNET_NO_PREFIX


def _subnet_of(answer: Mapping[str, Any]) -> Subnet:
    return Subnet(
        subnet_id=str(answer["SubnetId"]),
        vpc_id=str(answer["VpcId"]),
        availability_zone=str(answer["AvailabilityZone"]),
        cidr=str(answer["CidrBlock"]),
        available_ips=int(answer["AvailableIpAddressCount"]),
        tags={str(tag["Key"]): str(tag["Value"]) for tag in answer.get("Tags") or ()},
    )
