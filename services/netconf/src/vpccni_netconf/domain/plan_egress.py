"""Desired state of a pod's egress link: what it sends in the address family that is not the cluster's.

A second veth pair with an address that only this node knows; the packet filter translates it (``chains.py``). Names, addresses
and routes are those of the original's egress plugin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from vpccni_netconf.domain.names import EGRESS_CIDR, EGRESS_GATEWAY_V4, default_cidr, host_cidr, link_local
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Object, Route, Sysctl
from vpccni_netconf.domain.ops import CreatePodLink
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.spec import EgressSpec

_LINK_INDEX: Final = 100
"""Inside the pod: behind the links of any number of network cards."""


def egress_link(egress: EgressSpec, mtu: int) -> CreatePodLink:
    return CreatePodLink(egress.ifname, egress.host_veth, mtu, egress.host_mac, _LINK_INDEX, egress.mac)


def gateway_of(egress: EgressSpec) -> str:
    """Next hop inside the pod: an address of the link's end on the node."""
    return link_local(egress.host_mac) if egress.family == 6 else EGRESS_GATEWAY_V4


def egress_sysctls(egress: EgressSpec, ifname: str) -> tuple[Sysctl, ...]:
    """Inside the pod. ``ifname``: its interface of the cluster's family, which must not offer IPv6 beside the egress link."""
    if egress.family == 4:
        return ()
    return (
        Sysctl(f"net/ipv6/conf/{ifname}/disable_ipv6", "1"),
        Sysctl(f"net/ipv6/conf/{egress.ifname}/disable_ipv6", "0"),
    )


def plan_egress_inside(egress: EgressSpec, mtu: int) -> tuple[Object, ...]:
    """The address has the length of the whole range, yet all but the gateway is sent to the node, which refuses what is for
    another pod's egress address."""
    dev, gateway = egress.ifname, gateway_of(egress)
    cidr = EGRESS_CIDR[egress.family]
    objects: list[Object] = [
        Link(dev, mtu=mtu, mac=egress.mac),
        Address(dev, f"{egress.address}/{ipaddress.ip_network(cidr).prefixlen}"),
    ]
    if egress.family == 4:
        objects += [
            Route(MAIN_TABLE, host_cidr(gateway), dev, prefsrc=egress.address),
            Route(MAIN_TABLE, cidr, dev, gateway=gateway, prefsrc=egress.address),
        ]
    objects += [
        Route(MAIN_TABLE, default_cidr(egress.family), dev, gateway=gateway),
        # No look-up before the first packet, and for IPv6 none that waits for duplicate address detection.
        Neighbour(dev, gateway, egress.host_mac),
    ]
    return tuple(objects)


def plan_egress_host(egress: EgressSpec, mtu: int) -> tuple[Object, ...]:
    """``mtu`` 0: of a link that was just made with its MTU and MAC."""
    length = 64 if egress.family == 6 else 32
    return (
        Address(egress.host_veth, f"{gateway_of(egress)}/{length}", link_scope=True),
        Link(egress.host_veth, mtu=mtu, mac=egress.host_mac if mtu else ""),
        Route(MAIN_TABLE, host_cidr(egress.address), egress.host_veth),
    )


def owned_egress(egress: EgressSpec) -> Callable[[Object], bool]:
    """Ours inside the pod: on its egress link, addresses and the routes that are planned, or that the kernel adds with the
    address."""
    cidr = EGRESS_CIDR[egress.family]
    destinations = {host_cidr(gateway_of(egress)), cidr, default_cidr(egress.family)}

    def owned(item: Object) -> bool:
        match item:
            case Route(table=table, dev=dev, dst=dst):
                return table == MAIN_TABLE and dev == egress.ifname and dst in destinations
            case Address(dev=dev, address=address):
                return dev == egress.ifname and ipaddress.ip_interface(address) in ipaddress.ip_network(cidr)
            case _:
                return False

    return owned
