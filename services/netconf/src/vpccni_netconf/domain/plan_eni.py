"""Desired state of a secondary ENI: its link, address, route table, and the rule of its own address."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.domain.names import VPC_GATEWAY_V6, default_cidr, host_cidr, is_routable
from vpccni_netconf.domain.objects import Address, Link, Object, Route, Rule
from vpccni_netconf.domain.route_tables import MAIN_TABLE, RESERVED_TABLES, route_table
from vpccni_netconf.domain.rule_priorities import FROM_ENI
from vpccni_netconf.domain.spec import EniSpec


def choose_table(spec: EniSpec, rules: Sequence[Rule]) -> int:
    """Table number of the ENI. On further network cards a number that a rule of the ENI's address already uses is kept:
    releases before 1.20 numbered otherwise, and running pods' rules point there.

    Raises TABLE_CONFLICT for the kernel's own tables.
    """
    table = spec.route_table or route_table(spec.device_number, spec.network_card)
    if spec.network_card:
        own = host_cidr(spec.primary_ip)
        used = {rule.table for rule in rules if rule.src == own and rule.priority == FROM_ENI}
        if len(used) == 1:
            table = used.pop()
    if table in RESERVED_TABLES:
        raise ReasonError(
            Reason.TABLE_CONFLICT,
            f"route table {table} of ENI {spec.eni_id} ({spec.primary_ip}) is the kernel's own; a secondary ENI has device number + 1",
        )
    return table


def gateway_of(spec: EniSpec) -> str:
    """The VPC router: the first address of an IPv4 subnet; one fixed link-local address for IPv6."""
    if spec.family == 6:
        return VPC_GATEWAY_V6
    return str(ipaddress.ip_network(spec.subnet).network_address + 1)


def plan_eni(spec: EniSpec, link: str, table: int) -> tuple[Object, ...]:
    """``link``: the link's name now. The address comes before the routes, the gateway's own route before the default."""
    gateway = gateway_of(spec)
    length = ipaddress.ip_network(spec.subnet).prefixlen
    objects: list[Object] = [
        Link(link, mtu=spec.mtu),
        Address(link, f"{spec.primary_ip}/{length}"),
        Route(table, host_cidr(gateway), link),
        Route(table, default_cidr(spec.family), link, gateway=gateway),
    ]
    if not spec.is_trunk:
        objects.append(Rule(spec.family, FROM_ENI, table, src=host_cidr(spec.primary_ip)))
    return tuple(objects)


def owned_by_eni(spec: EniSpec, link: str, table: int) -> Callable[[Object], bool]:
    """Ours: gateway and default route in the ENI's table, the rule of its address, every routable address of the family on
    its link, and the connected subnet route in main (it would draw the node's own traffic to that subnet to this ENI)."""
    gateway = host_cidr(gateway_of(spec))
    default = default_cidr(spec.family)
    subnet = ipaddress.ip_network(spec.subnet)
    own = host_cidr(spec.primary_ip)

    def owned(item: Object) -> bool:
        match item:
            case Route(table=in_table, dst=dst) if in_table == table:
                return dst in (gateway, default)
            case Route(table=in_table, dst=dst, dev=dev, gateway=via):
                connected = in_table == MAIN_TABLE and dev == link and not via
                return connected and item.family == spec.family and ipaddress.ip_network(dst) == subnet
            case Rule(priority=priority, src=src):
                return priority == FROM_ENI and src == own
            case Address(dev=dev, address=address):
                return dev == link and is_routable(address, spec.family)
            case _:
                return False

    return owned
