"""What EC2's answer to a call that was only tried says about the role's permission."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from vpccni_eni_manager.domain import subnet_rules
from vpccni_eni_manager.domain.ec2_errors import DENIED_CODES, Ec2Error, Failure
from vpccni_eni_manager.domain.model import Subnet

DRY_RUN_SUCCEEDED: Final = "DryRunOperation"
# EC2 appends some hundred characters of ciphertext that only sts:DecodeAuthorizationMessage can read.
_ENCODED: Final = "Encoded authorization failure message"
_MESSAGE_MAX: Final = 300

READS: Final = ("DescribeInstanceTypes", "DescribeNetworkInterfaces", "DescribeSubnets")
_ENI_CHANGES: Final = (
    "AttachNetworkInterface",
    "CreateNetworkInterface",
    "CreateTags",
    "DeleteNetworkInterface",
    "DetachNetworkInterface",
    "ModifyNetworkInterfaceAttribute",
)
_IPV4_CHANGES: Final = ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")
_IPV6_CHANGES: Final = ("AssignIpv6Addresses", "UnassignIpv6Addresses")


class Verdict(enum.StrEnum):
    """Whether the role may make a call. UNKNOWN: EC2 did not get as far as saying so."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class ActionAccess:
    """``message``: EC2's, unless allowed."""

    action: str
    verdict: Verdict
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class SubnetState:
    """A subnet of the node's zone, and why no ENI may be made in it (empty: it may)."""

    subnet: Subnet
    is_primary: bool
    refused_why: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a doctor wants to know. ``imds_hop_limit``: 1, or 2 for two and more, 0 for not known."""

    actions: tuple[ActionAccess, ...] = ()
    subnets: tuple[SubnetState, ...] = ()
    subnets_error: str = ""
    missing_tags: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    imds_hop_limit: int = 0
    imds_error: str = ""


def needed(*, imds_only: bool, provisioning: bool, ipv6: bool) -> tuple[str, ...]:
    """EC2 actions that the settings need (docs/iam-policy.md), sorted."""
    if imds_only:
        return ()
    if not provisioning:
        return READS
    return tuple(sorted((*READS, *_ENI_CHANGES, *(_IPV6_CHANGES if ipv6 else _IPV4_CHANGES))))


def judged(action: str, error: Ec2Error | None) -> ActionAccess:
    """``error``: what the tried call was answered with. A refusal for any other reason comes after the permission."""
    if error is None or error.code == DRY_RUN_SUCCEEDED:
        return ActionAccess(action, Verdict.ALLOWED)
    if error.code in DENIED_CODES:
        return ActionAccess(action, Verdict.DENIED, _short(error.message))
    if error.failure is Failure.REFUSED:
        return ActionAccess(action, Verdict.ALLOWED)
    return ActionAccess(action, Verdict.UNKNOWN, _short(error.message))


def _short(message: str) -> str:
    return message.split(_ENCODED)[0].strip()[:_MESSAGE_MAX]


def subnet_states(found: tuple[Subnet, ...], primary_subnet: str, cluster: str) -> tuple[SubnetState, ...]:
    """In the order in which a new ENI would try them."""
    listed = subnet_rules.candidates(found, primary_subnet=primary_subnet, cluster=cluster, blocked={})
    return tuple(SubnetState(one.subnet, one.subnet.subnet_id == primary_subnet, one.refused) for one in listed)
