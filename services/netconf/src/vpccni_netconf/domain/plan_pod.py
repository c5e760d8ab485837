"""Desired state of one pod interface, inside the pod and on the host."""

from __future__ import annotations

from collections.abc import Callable

from vpccni_netconf.domain.names import (
    FROM_POD,
    MAIN_TABLE,
    TO_POD,
    default_cidr,
    host_cidr,
    is_pod_link,
    is_routable,
    pod_gateway,
)
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Object, Route, Rule, Sysctl
from vpccni_netconf.domain.ops import PurgeRules
from vpccni_netconf.domain.spec import PodSpec

_POD_INDEX_PRIORITY = 1


def plan_pod_inside(spec: PodSpec, host_mac: str) -> tuple[Object, ...]:
    """What the pod's namespace holds. Routes go in before the address; the gateway is a permanent neighbour entry, so the
    pod never asks for it and the host need not own it."""
    gateway = pod_gateway(spec.family, spec.index)
    table = spec.index or MAIN_TABLE
    dev = spec.ifname
    # On further network cards the pod chooses the way out by its source address.
    choice = (Rule(spec.family, _POD_INDEX_PRIORITY, table, src=host_cidr(spec.address)),) if spec.index else ()
    return (
        *_inside_sysctls(spec),
        Link(dev, mtu=spec.mtu),
        Route(table, host_cidr(gateway), dev),
        *choice,
        Route(table, default_cidr(spec.family), dev, gateway=gateway),
        Address(dev, host_cidr(spec.address)),
        Neighbour(dev, gateway, host_mac),
    )


def _inside_sysctls(spec: PodSpec) -> tuple[Sysctl, ...]:
    if spec.family == 4:
        return ()
    return tuple(Sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "0") for name in (spec.ifname, "lo"))


def host_link_sysctls(host_veth: str) -> tuple[Sysctl, ...]:
    """Set before the link is up: a pod could send router advertisements the moment it is."""
    base = f"net/ipv6/conf/{host_veth}"
    return (
        Sysctl(f"{base}/accept_ra", "0"),
        Sysctl(f"{base}/accept_redirects", "1"),
        Sysctl(f"{base}/forwarding", "0"),
    )


def plan_pod_host(spec: PodSpec, host_mac: str = "") -> tuple[Object, ...]:
    """What the host holds for the pod. ``host_mac`` "": whatever the link has (a pod that another version wired)."""
    cidr = host_cidr(spec.address)
    objects: list[Object] = [
        Link(spec.host_veth, mtu=spec.mtu, mac=host_mac),
        Route(MAIN_TABLE, cidr, spec.host_veth),
        Rule(spec.family, TO_POD, MAIN_TABLE, dst=cidr),
    ]
    if spec.route_table not in (0, MAIN_TABLE):
        objects.append(Rule(spec.family, FROM_POD, spec.route_table, src=cidr))
    return tuple(objects)


def pod_rules_to_purge(spec: PodSpec) -> tuple[PurgeRules, ...]:
    """Every rule of the pod's address, whatever table older versions gave it (one per VPC CIDR before 1.8)."""
    cidr = host_cidr(spec.address)
    return (
        PurgeRules(Rule(spec.family, TO_POD, MAIN_TABLE, dst=cidr)),
        PurgeRules(Rule(spec.family, FROM_POD, 0, src=cidr)),
    )


def owned_on_host(addresses: frozenset[str]) -> Callable[[Object], bool]:
    """Ours: the rules and main-table routes of these pod addresses."""
    cidrs = frozenset(map(host_cidr, addresses))

    def owned(item: Object) -> bool:
        match item:
            case Rule(priority=priority, src=src, dst=dst, table=table):
                return (priority == TO_POD and dst in cidrs and table == MAIN_TABLE and not src) or (
                    priority == FROM_POD and src in cidrs
                )
            case Route(table=table, dst=dst, gateway=gateway):
                return table == MAIN_TABLE and dst in cidrs and not gateway
            case _:
                return False

    return owned


def owned_inside(spec: PodSpec) -> Callable[[Object], bool]:
    """Ours inside the pod: what is on its interface, in the family of its address; other plugins' links are theirs."""
    own = plan_pod_inside(spec, "")
    tables = {item.table for item in own if isinstance(item, Route)}
    gateway = pod_gateway(spec.family, spec.index)

    def owned(item: Object) -> bool:
        match item:
            case Route(table=table, dev=dev, dst=dst):
                return table in tables and dev == spec.ifname and dst in (host_cidr(gateway), default_cidr(spec.family))
            case Address(dev=dev, address=address):
                return dev == spec.ifname and is_routable(address, spec.family)
            case _:
                return False

    return owned


def owned_pods(prefixes: frozenset[str]) -> Callable[[Object], bool]:
    """Ours of all pods on the node: rules at 512 and 1536 of single addresses, host routes of single addresses on pod links."""

    def owned(item: Object) -> bool:
        match item:
            case Rule(priority=priority, src=src, dst=dst, table=table):
                to_pod = priority == TO_POD and table == MAIN_TABLE and _single(dst) and not src
                return to_pod or (priority == FROM_POD and _single(src))
            case Route(table=table, dst=dst, dev=dev, gateway=gateway):
                return table == MAIN_TABLE and not gateway and _single(dst) and is_pod_link(dev, prefixes)
            case _:
                return False

    return owned


def _single(cidr: str) -> bool:
    return cidr.endswith("/128" if ":" in cidr else "/32")
