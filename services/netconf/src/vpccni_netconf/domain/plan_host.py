"""Desired state of the node itself, apart from its packet filter (``chains.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vpccni_netconf.domain.names import DEFAULT_CONNMARK, VPC_GATEWAY_V6
from vpccni_netconf.domain.objects import Link, Object, Rule, Sysctl
from vpccni_netconf.domain.route_tables import LOCAL_TABLE, MAIN_TABLE
from vpccni_netconf.domain.rule_priorities import EXTERNAL_SERVICE, HOST, LOCAL_MOVED, MAIN_RULE
from vpccni_netconf.domain.spec import HostSpec

_IPPROTO_ICMPV6: Final = 58


def plan_host(spec: HostSpec, primary_link: str) -> tuple[Object, ...]:
    """``primary_link``: the name of the link with the primary ENI's MAC (never taken to be eth0)."""
    return (
        *_sysctls(spec, primary_link),
        Link(primary_link, mtu=spec.eni_mtu),
        *_local_rules(spec),
        *_mark_rules(spec),
        # The kernel's own, and never removed by us; but `ip rule flush` takes it, and with it pods' way into the VPC.
        Rule(spec.family, MAIN_RULE, MAIN_TABLE),
        *(Rule(4, EXTERNAL_SERVICE, MAIN_TABLE, dst=cidr) for cidr in spec.external_service_cidrs if not spec.ipv6),
    )


def _sysctls(spec: HostSpec, primary_link: str) -> list[Sysctl]:
    found = []
    if spec.configure_rp_filter:
        # Replies to source-translated pods of other ENIs come in here: the strict check would drop them.
        found.append(Sysctl(f"net/ipv4/conf/{primary_link}/rp_filter", "2", optional=False))
    # 0 lets kubelet's TCP probes reach strict branch ENI pods: early demultiplexing would bypass the pod's link.
    found.append(Sysctl("net/ipv4/tcp_early_demux", "0" if spec.disable_tcp_early_demux else "1"))
    if spec.ipv6:
        found.append(Sysctl("net/ipv6/conf/all/disable_ipv6", "0", optional=False))
    if spec.ipv6 and spec.v4_egress:
        found.append(Sysctl("net/ipv4/ip_forward", "1", optional=False))
    if spec.ipv6 or spec.v6_egress:
        found.append(Sysctl("net/ipv6/conf/all/forwarding", "1", optional=False))
        found.append(Sysctl(f"net/ipv6/conf/{primary_link}/accept_ra", "2", optional=False))
    return found


def _mark_rules(spec: HostSpec) -> list[Rule]:
    if not spec.node_port_support and spec.external_snat:
        return []
    # The mask is not optional: kube-proxy and Calico keep their own bits in the same mark.
    return [Rule(spec.family, HOST, MAIN_TABLE, fwmark=spec.connmark, fwmask=spec.connmark)]


def _local_rules(spec: HostSpec) -> list[Rule]:
    """Strict mode puts the local table behind the branch rules, so that node traffic to such pods goes through the VPC."""
    if not spec.pod_eni_strict:
        return [Rule(spec.family, 0, LOCAL_TABLE)]
    moved = [Rule(spec.family, LOCAL_MOVED, LOCAL_TABLE)]
    if spec.ipv6:
        # The branch gateway's neighbour discovery must still reach the local table.
        moved.append(Rule(6, 0, LOCAL_TABLE, src=f"{VPC_GATEWAY_V6}/128", ip_proto=_IPPROTO_ICMPV6))
    return moved


def owned_by_host(spec: HostSpec) -> Callable[[Object], bool]:
    """Ours: mark rules at 1024 with our mark (or the default one, of an earlier setting), 1535 into main, the two places of
    the local table's rule."""
    marks = {spec.connmark, DEFAULT_CONNMARK}

    def owned(item: Object) -> bool:
        match item:
            case Rule(family=family, priority=priority, table=table) if family == spec.family:
                plain = not (item.src or item.dst or item.fwmark or item.iif or item.ip_proto)
                return (
                    (priority == HOST and table == MAIN_TABLE and item.fwmark in marks)
                    or (priority == EXTERNAL_SERVICE and table == MAIN_TABLE and bool(item.dst))
                    or (priority in (0, LOCAL_MOVED) and table == LOCAL_TABLE and plain)
                )
            case _:
                return False

    return owned
