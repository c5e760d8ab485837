"""Desired state of one pod interface, inside the pod and on the host."""

from __future__ import annotations

from collections.abc import Callable

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.domain.names import (
    default_cidr,
    host_cidr,
    is_branch_link,
    is_pod_link,
    is_routable,
    pod_gateway,
    vlan_link_name,
)
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Object, Route, Rule, Sysctl, VlanLink
from vpccni_netconf.domain.ops import PurgeRules
from vpccni_netconf.domain.plan_egress import egress_sysctls, owned_egress, plan_egress_host, plan_egress_inside
from vpccni_netconf.domain.route_tables import BRANCH_TABLE_BASE, MAIN_TABLE, RESERVED_TABLES
from vpccni_netconf.domain.rule_priorities import BRANCH_IIF, FROM_POD, TO_POD
from vpccni_netconf.domain.spec import BranchSpec, PodSpec

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
        *inside_sysctls(spec),
        Link(dev, mtu=spec.mtu),
        Route(table, host_cidr(gateway), dev),
        *choice,
        Route(table, default_cidr(spec.family), dev, gateway=gateway),
        Address(dev, host_cidr(spec.address)),
        Neighbour(dev, gateway, host_mac),
        *(plan_egress_inside(spec.egress, spec.mtu) if spec.egress else ()),
    )


def inside_sysctls(spec: PodSpec) -> tuple[Sysctl, ...]:
    own = (spec.ifname, "lo") if spec.family == 6 else ()
    return (
        *(Sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "0") for name in own),
        *(egress_sysctls(spec.egress, spec.ifname) if spec.egress else ()),
    )


def host_link_sysctls(link: str) -> tuple[Sysctl, ...]:
    """Set before the link is up: a pod could send router advertisements the moment it is."""
    base = f"net/ipv6/conf/{link}"
    return (
        Sysctl(f"{base}/accept_ra", "0"),
        Sysctl(f"{base}/accept_redirects", "1"),
        Sysctl(f"{base}/forwarding", "0"),
    )


def plan_pod_host(spec: PodSpec, host_mac: str = "", trunk_link: str = "") -> tuple[Object, ...]:
    """What the host holds for the pod. ``host_mac`` "": whatever the link has (a pod that another version wired).
    ``trunk_link``: name of the trunk ENI's link, for a pod with a branch ENI. ``spec.mtu`` 0: its links were just made."""
    link: tuple[Object, ...] = (*host_link_sysctls(spec.host_veth), Link(spec.host_veth, mtu=spec.mtu, mac=host_mac))
    if spec.egress is not None:
        link += (*host_link_sysctls(spec.egress.host_veth), *plan_egress_host(spec.egress, spec.mtu))
    if spec.branch is not None:
        return (*link, *plan_branch(spec, spec.branch, trunk_link))
    return (*link, *_reached_by_main(spec, spec.route_table))


def _reached_by_main(spec: PodSpec, table: int) -> list[Object]:
    cidr = host_cidr(spec.address)
    objects: list[Object] = [
        Route(MAIN_TABLE, cidr, spec.host_veth),
        Rule(spec.family, TO_POD, MAIN_TABLE, dst=cidr),
    ]
    if table not in (0, MAIN_TABLE):
        objects.append(Rule(spec.family, FROM_POD, table, src=cidr))
    return objects


def plan_branch(spec: PodSpec, branch: BranchSpec, trunk_link: str) -> tuple[Object, ...]:
    """Strict: all that the pod sends and gets goes through its branch ENI's VLAN, also from and to this node, so that its
    security groups see it. Standard: as any pod, with the branch as its way out."""
    vlan, table = vlan_link_name(branch.vlan_id), branch_table(branch)
    objects: list[Object] = [
        VlanLink(vlan, trunk_link, branch.vlan_id, branch.mac),
        *host_link_sysctls(vlan),
        Link(vlan),
        Route(table, host_cidr(branch.gateway), vlan),
        Route(table, default_cidr(spec.family), vlan, gateway=branch.gateway),
    ]
    if not branch.strict:
        return (*objects, *_reached_by_main(spec, table))
    return (
        *objects,
        Route(table, host_cidr(spec.address), spec.host_veth),
        Rule(spec.family, BRANCH_IIF, table, iif=vlan),
        Rule(spec.family, BRANCH_IIF, table, iif=spec.host_veth),
    )


def branch_table(branch: BranchSpec) -> int:
    """VLAN id + 100. Raises TABLE_CONFLICT for the three ids that would give the kernel's own tables."""
    table = branch.vlan_id + BRANCH_TABLE_BASE
    if table in RESERVED_TABLES:
        raise ReasonError(
            Reason.TABLE_CONFLICT,
            f"vlan_id={branch.vlan_id}: its route table {table} is the kernel's own; the VLAN id must not be 153 to 155",
        )
    return table


def stale_rules(spec: PodSpec) -> tuple[PurgeRules, ...]:
    """Rules that an earlier owner of the address, or of the host link's name, may have left behind: they would come first and
    send the pod's traffic elsewhere."""
    purges = _rules_of_address(spec)
    if spec.branch is not None:
        purges.append(PurgeRules(Rule(spec.family, BRANCH_IIF, 0, iif=spec.host_veth)))
    return tuple(purges)


def pod_rules_to_purge(spec: PodSpec) -> tuple[PurgeRules, ...]:
    """Every rule of the pod's address, whatever table older versions gave it (one per VPC CIDR before 1.8); of a pod with a
    branch ENI those of both enforcing modes, as the mode may have changed since it was wired."""
    purges = _rules_of_address(spec)
    if spec.branch is not None:
        purges.append(PurgeRules(Rule(spec.family, BRANCH_IIF, branch_table(spec.branch))))
    return tuple(purges)


def _rules_of_address(spec: PodSpec) -> list[PurgeRules]:
    cidr = host_cidr(spec.address)
    return [
        PurgeRules(Rule(spec.family, TO_POD, MAIN_TABLE, dst=cidr)),
        PurgeRules(Rule(spec.family, FROM_POD, 0, src=cidr)),
    ]


def owned_on_host(addresses: frozenset[str], links: frozenset[str] = frozenset()) -> Callable[[Object], bool]:
    """Ours: the rules and main-table routes of these pod addresses, and the branch rules of these links."""
    cidrs = frozenset(map(host_cidr, addresses))

    def owned(item: Object) -> bool:
        match item:
            case Rule(priority=priority, src=src, dst=dst, table=table):
                return (
                    (priority == TO_POD and dst in cidrs and table == MAIN_TABLE and not src)
                    or (priority == FROM_POD and src in cidrs)
                    or (priority == BRANCH_IIF and item.iif in links)
                )
            case Route(table=table, dst=dst, gateway=gateway):
                return table == MAIN_TABLE and dst in cidrs and not gateway
            case _:
                return False

    return owned


def owned_inside(spec: PodSpec) -> Callable[[Object], bool]:
    """Ours inside the pod: what is on its interface, in the family of its address; other plugins' links are theirs."""
    own = spec.index or MAIN_TABLE
    gateway = pod_gateway(spec.family, spec.index)
    of_egress = owned_egress(spec.egress) if spec.egress else lambda _: False

    def owned(item: Object) -> bool:
        if of_egress(item):
            return True
        match item:
            case Route(table=table, dev=dev, dst=dst):
                return table == own and dev == spec.ifname and dst in (host_cidr(gateway), default_cidr(spec.family))
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
                branch = priority == BRANCH_IIF and (is_pod_link(item.iif, prefixes) or is_branch_link(item.iif))
                return to_pod or branch or (priority == FROM_POD and _single(src))
            case Route(table=table, dst=dst, dev=dev, gateway=gateway):
                return table == MAIN_TABLE and not gateway and _single(dst) and is_pod_link(dev, prefixes)
            case _:
                return False

    return owned


def _single(cidr: str) -> bool:
    return cidr.endswith("/128" if ":" in cidr else "/32")


def links_of(spec: PodSpec) -> frozenset[str]:
    """Names of the pod's links on the host."""
    names = {spec.host_veth}
    if spec.egress is not None:
        names.add(spec.egress.host_veth)
    if spec.branch is not None:
        names.add(vlan_link_name(spec.branch.vlan_id))
    return frozenset(names)


def tables_of(spec: PodSpec) -> frozenset[int]:
    """Route tables that hold routes of the pod's host side."""
    return frozenset({MAIN_TABLE} | ({branch_table(spec.branch)} if spec.branch is not None else set()))


def sysctls_of(spec: PodSpec) -> tuple[str, ...]:
    """Paths of the sysctls of the pod's links on the host."""
    return tuple(item.path for name in sorted(links_of(spec)) for item in host_link_sysctls(name))
