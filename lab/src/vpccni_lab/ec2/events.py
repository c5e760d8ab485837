"""What changed on the wire. A subscriber gets these in order, each after the state already shows the change."""

from __future__ import annotations

import dataclasses

from vpccni_lab.ec2.records import Eni, Instance, SecurityGroup, Subnet, Vpc


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceLaunched:
    instance: Instance


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceTerminated:
    instance: Instance


@dataclasses.dataclass(frozen=True, slots=True)
class EniAttached:
    instance: Instance
    eni: Eni


@dataclasses.dataclass(frozen=True, slots=True)
class EniDetached:
    """``eni`` is the record as it was while attached (so that its device index and addresses are at hand)."""

    instance: Instance
    eni: Eni


@dataclasses.dataclass(frozen=True, slots=True)
class AddressesChanged:
    """Addresses or prefixes of an ENI that has a link in its instance."""

    eni: Eni


@dataclasses.dataclass(frozen=True, slots=True)
class PublicIpChanged:
    eni: Eni


@dataclasses.dataclass(frozen=True, slots=True)
class EniChanged:
    """Source/destination check, security groups or trunk association of an ENI; or a branch ENI is gone."""

    eni: Eni


@dataclasses.dataclass(frozen=True, slots=True)
class VpcChanged:
    vpc: Vpc


@dataclasses.dataclass(frozen=True, slots=True)
class SubnetCreated:
    subnet: Subnet


@dataclasses.dataclass(frozen=True, slots=True)
class SecurityGroupChanged:
    group: SecurityGroup


Event = (
    InstanceLaunched
    | InstanceTerminated
    | EniAttached
    | EniDetached
    | AddressesChanged
    | PublicIpChanged
    | EniChanged
    | VpcChanged
    | SubnetCreated
    | SecurityGroupChanged
)
