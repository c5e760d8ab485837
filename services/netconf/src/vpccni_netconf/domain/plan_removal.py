"""What of ours goes when a node is given back: all rules, and the routes of ENIs. Links, addresses and sysctls stay."""

from __future__ import annotations

from vpccni_netconf.domain.names import DEFAULT_CONNMARK, VPC_GATEWAY_V6, default_cidr, host_cidr
from vpccni_netconf.domain.objects import Object, Observed, Route, Rule
from vpccni_netconf.domain.ops import Ensure, Op, Remove
from vpccni_netconf.domain.plan_host import owned_by_host
from vpccni_netconf.domain.plan_pod import owned_pods
from vpccni_netconf.domain.route_tables import LOCAL_TABLE, RESERVED_TABLES
from vpccni_netconf.domain.rule_priorities import FROM_ENI, LOCAL_MOVED
from vpccni_netconf.domain.spec import HostSpec


def eni_tables(rules: tuple[Rule, ...]) -> tuple[int, ...]:
    """Tables that may be of an ENI of ours: a rule sends one address there, at the priority that we use."""
    return tuple(sorted({rule.table for rule in rules if _may_be_of_eni(rule)}))


def plan_removal(observed: Observed, prefixes: frozenset[str], connmark: int = DEFAULT_CONNMARK) -> tuple[Op, ...]:
    """``observed``: rules of both families, addresses, and routes of ``eni_tables``. ``prefixes``: of host links of pods.

    A rule of an ENI shares its priority with the first rule that anybody adds without naming one: it is ours only when the
    address is on a link and the table's default route leaves by that link.
    """
    local = tuple(Rule(family, 0, LOCAL_TABLE) for family in (4, 6))
    hosts = [owned_by_host(HostSpec("", "", connmark=connmark, ipv6=ipv6)) for ipv6 in (False, True)]
    pods = owned_pods(prefixes)
    link_of = {address.address.partition("/")[0]: address.dev for address in observed.addresses}
    leaves_by = {route.table: route.dev for route in observed.routes if route.dst == default_cidr(route.family)}
    of_enis: set[Rule] = set()
    for rule in filter(_may_be_of_eni, observed.rules):
        link = link_of.get(rule.src.partition("/")[0], "")
        if link and leaves_by.get(rule.table) == link:
            of_enis.add(rule)
    tables = {rule.table for rule in of_enis}

    def ours(item: Object) -> bool:
        if isinstance(item, Route):
            return item.table in tables
        own_rule = isinstance(item, Rule) and (item in of_enis or _for_gateway(item))
        return item not in local and (own_rule or pods(item) or any(owned(item) for owned in hosts))

    back = [Ensure(rule) for rule in local if Rule(rule.family, LOCAL_MOVED, LOCAL_TABLE) in observed.rules]
    missing = [op for op in back if op.target not in observed.rules]
    present: tuple[Rule | Route, ...] = (*observed.rules, *observed.routes)
    return (*missing, *(Remove(item) for item in present if ours(item)))


def _may_be_of_eni(rule: Rule) -> bool:
    single = rule.src.endswith("/128" if rule.family == 6 else "/32")
    return rule.priority == FROM_ENI and single and rule.table not in RESERVED_TABLES


def _for_gateway(rule: Rule) -> bool:
    """Neighbour discovery of the branch gateway, while the local table's rule was moved."""
    return rule.priority == 0 and rule.table == LOCAL_TABLE and rule.src == host_cidr(VPC_GATEWAY_V6)
