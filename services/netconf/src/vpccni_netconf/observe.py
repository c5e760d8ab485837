"""What the kernel has of pods on the host. Read only."""

from __future__ import annotations

import dataclasses

from vpccni_netconf.domain.names import is_egress, is_pod_link
from vpccni_netconf.domain.objects import Observed
from vpccni_netconf.domain.plan_pod import owned_pods
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.rule_priorities import FROM_POD, TO_POD
from vpccni_netconf.ports import Background, Kernel, Query


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedPod:
    """``host_veth`` "": rules without a link. ``route_table``: of the from-rule, MAIN_TABLE without one."""

    host_veth: str = ""
    address: str = ""
    route_table: int = MAIN_TABLE
    link: bool = False
    route: bool = False
    to_rule: bool = False
    from_rule: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedPods:
    """``host_links``: names of all links. ``egress_addresses``: those that some link has a route for."""

    pods: tuple[ObservedPod, ...]
    host_links: tuple[str, ...]
    egress_addresses: tuple[str, ...]


def observe_pods(kernel: Kernel, background: Background, veth_prefix: str) -> ObservedPods:
    """``veth_prefix`` "": the default one. Links that are being deleted are left out."""
    observed = kernel.host.observe(Query((4, 6), rules=True, tables=(MAIN_TABLE,)))
    staying = tuple(link for link in observed.links if not background.is_leaving(link.index))
    observed = dataclasses.replace(observed, links=staying)
    names = tuple(link.name for link in observed.links)
    pods = fold(observed, frozenset({veth_prefix or "eni", "eni", "vlan"}))
    return ObservedPods(pods, names, tuple(filter(is_egress, (route.dst.split("/")[0] for route in observed.routes))))


def fold(observed: Observed, prefixes: frozenset[str]) -> tuple[ObservedPod, ...]:
    """Rules and routes of one address, and the link that its route goes to, as one pod; links without a route alone."""
    owned = owned_pods(prefixes)
    by_address: dict[str, ObservedPod] = {}

    def pod(cidr: str) -> ObservedPod:
        address = cidr.partition("/")[0]
        return by_address.setdefault(address, ObservedPod(address=address))

    for route in filter(owned, observed.routes):
        found = dataclasses.replace(pod(route.dst), host_veth=route.dev, link=True, route=True)
        by_address[found.address] = found
    for rule in filter(owned, observed.rules):
        if rule.priority == TO_POD:
            found = dataclasses.replace(pod(rule.dst), to_rule=True)
        elif rule.priority == FROM_POD:
            found = dataclasses.replace(pod(rule.src), from_rule=True, route_table=rule.table)
        by_address[found.address] = found
    routed = {found.host_veth for found in by_address.values()}
    bare = [
        ObservedPod(host_veth=link.name, link=True)
        for link in observed.links
        if link.kind == "veth" and is_pod_link(link.name, prefixes) and link.name not in routed
    ]
    return (*by_address.values(), *bare)
