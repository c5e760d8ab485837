"""Desired state as last asked for, in memory. Only the kernel thread touches it. Lost with the process: ipam gives it again."""

from __future__ import annotations

import dataclasses

from vpccni_netconf.domain.spec import EniSpec, HostSpec, PodSpec


@dataclasses.dataclass(frozen=True, slots=True)
class HeldEni:
    spec: EniSpec
    table: int


@dataclasses.dataclass(frozen=True, slots=True)
class HeldPod:
    """``host_mac`` "": unknown, whatever the link has."""

    spec: PodSpec
    host_mac: str


class Desired:
    """Host, ENIs by id, pods by host link name and by address."""

    def __init__(self) -> None:
        self.host: HostSpec | None = None
        self.primary_link = ""
        self.enis: dict[str, HeldEni] = {}
        self.pods: dict[str, HeldPod] = {}
        self._link_of: dict[str, str] = {}

    def hold_pod(self, spec: PodSpec, host_mac: str) -> None:
        """A pod that held the address before is no longer looked after: two would undo each other's route for ever."""
        self.drop_pod(spec.host_veth)
        self.drop_pod(self._link_of.get(spec.address, ""))
        self.pods[spec.host_veth] = HeldPod(spec, host_mac)
        self._link_of[spec.address] = spec.host_veth

    def drop_pod(self, host_veth: str) -> None:
        held = self.pods.pop(host_veth, None)
        if held is not None and self._link_of.get(held.spec.address) == host_veth:
            del self._link_of[held.spec.address]

    def owner_of(self, address: str) -> PodSpec | None:
        """The pod that holds the address."""
        held = self.pods.get(self._link_of.get(address, ""))
        return held.spec if held is not None else None
