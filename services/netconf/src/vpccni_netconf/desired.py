"""Desired state as last asked for, in memory. Only the kernel thread touches it. Lost with the process: ipam gives it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from vpccni_netconf.domain.objects import Link, Sysctl
from vpccni_netconf.domain.plan_pod import host_link_sysctls, links_of
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
        self.pod_links: dict[str, Link] = {}
        """Settings of pods' links on the host, by name (those of branch ENIs are left out)."""
        self.sysctls: dict[str, str] = {}
        """Values of the sysctls of pods' links on the host, by path."""
        self._link_of: dict[str, str] = {}

    def hold_pod(self, spec: PodSpec, host_mac: str) -> None:
        """A pod that held an address of it before is no longer looked after: two would undo each other's route for ever."""
        self.drop_pod(spec.host_veth)
        for address in spec.addresses:
            self.drop_pod(self._link_of.get(address, ""))
            self._link_of[address] = spec.host_veth
        self.pods[spec.host_veth] = HeldPod(spec, host_mac)
        for link in _links(spec, host_mac):
            self.pod_links[link.name] = link
        self.sysctls.update((item.path, item.value) for item in _sysctls(spec))

    def drop_pod(self, host_veth: str) -> None:
        held = self.pods.pop(host_veth, None)
        if held is None:
            return
        for link in _links(held.spec, held.host_mac):
            self.pod_links.pop(link.name, None)
        for item in _sysctls(held.spec):
            self.sysctls.pop(item.path, None)
        for address in held.spec.addresses:
            if self._link_of.get(address) == host_veth:
                del self._link_of[address]

    def owner_of(self, address: str) -> PodSpec | None:
        """The pod that holds the address."""
        held = self.pods.get(self._link_of.get(address, ""))
        return held.spec if held is not None else None


def _links(spec: PodSpec, host_mac: str) -> Iterator[Link]:
    yield Link(spec.host_veth, mtu=spec.mtu, mac=host_mac)
    if spec.egress is not None:
        yield Link(spec.egress.host_veth, mtu=spec.mtu, mac=spec.egress.host_mac)


def _sysctls(spec: PodSpec) -> Iterator[Sysctl]:
    return (item for name in links_of(spec) for item in host_link_sysctls(name))
