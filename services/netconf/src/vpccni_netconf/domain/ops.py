"""Changes to the kernel as values; ``str`` is the command an operator would type for it (logs, errors, drift events)."""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_netconf.domain.objects import Address, Link, Neighbour, Object, Route, Rule, Sysctl, VlanLink

_ENSURE: Final = {
    Rule: "ip rule add",
    Route: "ip route replace",
    Address: "ip addr add",
    Neighbour: "ip neigh replace",
    Link: "ip link set",
    VlanLink: "ip link add",
    Sysctl: "sysctl -w",
}
_REMOVE: Final = {
    Rule: "ip rule del",
    Route: "ip route del",
    Address: "ip addr del",
    Neighbour: "ip neigh del",
}
_KIND: Final = {
    Rule: "rule",
    Route: "route",
    Address: "address",
    Neighbour: "neighbour",
    Link: "link",
    VlanLink: "link",
    Sysctl: "sysctl",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Ensure:
    """Make it so; already so is success. (A rule is added without looking: it may then be there twice.)"""

    target: Object

    def __str__(self) -> str:
        return command(_ENSURE[type(self.target)], self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Take it away; already gone is success."""

    target: Rule | Route | Address | Neighbour

    def __str__(self) -> str:
        return command(_REMOVE[type(self.target)], self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class PurgeRules:
    """Take away every rule that matches, duplicates and all. ``table`` 0 in the rule: any table."""

    match: Rule

    def __str__(self) -> str:
        return command(_REMOVE[Rule], self.match)


@dataclasses.dataclass(frozen=True, slots=True)
class CreatePodLink:
    """A veth pair whose one end is made here and whose other end is born in the host's namespace.

    Never made in one namespace and moved: that serialises pods that start together on the kernel's RCU barrier.
    """

    ifname: str
    host_veth: str
    mtu: int
    host_mac: str
    index: int
    """Link index of the end made here; 0 lets the kernel choose."""
    mac: str = ""
    """Of the end made here; "" lets the kernel choose."""

    def __str__(self) -> str:
        address = f" address {self.mac}" if self.mac else ""
        return (
            f"ip link add {self.ifname} mtu {self.mtu}{address} type veth peer name {self.host_veth}"
            f" mtu {self.mtu} address {self.host_mac} netns host"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteLink:
    """By index: a name may have passed to another link by the time it is carried out."""

    index: int
    name: str

    def __str__(self) -> str:
        return f"ip link del {self.name} (index {self.index})"


Op = Ensure | Remove | PurgeRules | CreatePodLink | DeleteLink


def kind(op: Op) -> str:
    """The sort of object that an op is about, as drift events and metrics name it."""
    match op:
        case Ensure(target) | Remove(target):
            return _KIND[type(target)]
        case PurgeRules():
            return "rule"
        case CreatePodLink() | DeleteLink():
            return "link"


def target(op: Op) -> Object | None:
    """The object that an op is about, if it is one."""
    match op:
        case Ensure(item) | Remove(item) | PurgeRules(item):
            return item
        case CreatePodLink() | DeleteLink():
            return None


def command(verb: str, target: Object) -> str:
    family = getattr(target, "family", 4)
    return f"{verb} {target}" if family == 4 else f"{verb.replace('ip ', 'ip -6 ', 1)} {target}"
