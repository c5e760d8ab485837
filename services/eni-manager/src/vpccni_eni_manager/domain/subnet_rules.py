"""Which subnets may hold a new ENI, in which order, and why the others may not (tags: the original's rules).

Each candidate keeps its reason, so that the choice can be shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from vpccni_eni_manager.domain.model import AddressMode, Subnet

ROLE_TAG: Final = "kubernetes.io/role/cni"
CLUSTER_TAG_PREFIX: Final = "cni.networking.k8s.aws/cluster/"


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A subnet that was looked at. ``refused``: why not; empty when it may be used."""

    subnet: Subnet
    refused: str = ""

    def __str__(self) -> str:
        verdict = (
            f"refused: {self.refused}" if self.refused else f"eligible, {self.subnet.available_ips} addresses free"
        )
        return f"{self.subnet.subnet_id} {self.subnet.cidr} {verdict}"


def foreign_cluster(tags: Mapping[str, str], cluster: str) -> str:
    """Why the cluster tags speak against us; empty when there are none, ours is among them, or CLUSTER_NAME is unset."""
    named = [key.removeprefix(CLUSTER_TAG_PREFIX) for key in tags if key.startswith(CLUSTER_TAG_PREFIX)]
    if not cluster or not named or cluster in named:
        return ""
    return f"cluster tags name {', '.join(sorted(named))}, not {cluster}"


def refused_why(subnet: Subnet, *, primary: bool, cluster: str) -> str:
    """Why no ENI may be created in it. The primary subnet needs no tag, any other needs the role tag."""
    role = subnet.tags.get(ROLE_TAG, "")
    if role == "0":
        return f"tag {ROLE_TAG}=0"
    if not role:
        return "" if primary else f"no tag {ROLE_TAG}"
    return foreign_cluster(subnet.tags, cluster)


def excluded_why(subnet: Subnet, cluster: str) -> str:
    """Why ENIs already in it must give no addresses to pods: role 0, or a role for another cluster. No tag: they may."""
    role = subnet.tags.get(ROLE_TAG, "")
    if role == "0":
        return f"subnet tag {ROLE_TAG}=0"
    return foreign_cluster(subnet.tags, cluster) if role else ""


def candidates(
    subnets: Iterable[Subnet],
    *,
    primary_subnet: str,
    cluster: str,
    blocked: Mapping[str, str],
) -> tuple[Candidate, ...]:
    """All subnets of the zone, most free addresses first. ``blocked``: subnet id -> why it is set aside for now."""
    ordered = sorted(subnets, key=lambda subnet: (-subnet.available_ips, subnet.subnet_id))
    return tuple(
        Candidate(
            subnet,
            refused_why(subnet, primary=subnet.subnet_id == primary_subnet, cluster=cluster)
            or blocked.get(subnet.subnet_id, ""),
        )
        for subnet in ordered
    )


def room_for_new_eni(subnet: Subnet, mode: AddressMode, unknown: int) -> int:
    """Addresses or prefixes that a new ENI can have at most, by EC2's count of free addresses (``unknown`` without one).

    The ENI itself takes one. A prefix takes 16, aligned, which EC2 may refuse still. IPv6 never runs out.
    """
    if subnet.available_ips < 0 or mode is AddressMode.PREFIX_IPV6:
        return unknown
    left = max(0, subnet.available_ips - 1)
    return left if mode is AddressMode.SECONDARY_IP else left // 16


@dataclasses.dataclass(frozen=True, slots=True)
class Blocked:
    """A subnet that had nothing to give: not asked again before ``until`` (monotonic seconds). ``failures`` in a row."""

    until: float
    failures: int
    why: str


BLOCK_BASE_S: Final = 15.0
BLOCK_CAP_S: Final = 120.0
_Key = tuple[str, AddressMode]


def block(blocks: Mapping[_Key, Blocked], key: _Key, now: float, why: str) -> dict[_Key, Blocked]:
    """Sets a subnet aside for one kind of address: 15 s, doubled per failure in a row, at most 120 s.

    The original stops the whole node for 120 s; other subnets and single addresses may well be to be had.
    """
    before = blocks.get(key)
    failures = before.failures + 1 if before else 1
    pause = min(BLOCK_CAP_S, BLOCK_BASE_S * 2 ** min(failures - 1, 8))
    return {**blocks, key: Blocked(now + pause, failures, why)}


def blocked_now(blocks: Mapping[_Key, Blocked], mode: AddressMode, now: float) -> dict[str, str]:
    """subnet id -> why, for those that are set aside for ``mode`` at ``now``."""
    return {
        subnet: f"{entry.why}, asked again in {entry.until - now:.0f} s"
        for (subnet, kind), entry in blocks.items()
        if kind is mode and entry.until > now
    }
