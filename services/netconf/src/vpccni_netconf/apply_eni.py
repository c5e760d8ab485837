"""Sets up one secondary ENI; leaves alone what is right already (a live ENI's table is never emptied)."""

from __future__ import annotations

import dataclasses

from vpccni_netconf.desired import Desired, HeldEni
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.links import find_by_mac
from vpccni_netconf.domain.plan_eni import choose_table, owned_by_eni, plan_eni
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.spec import EniSpec
from vpccni_netconf.ports import Kernel, Query


@dataclasses.dataclass(frozen=True, slots=True)
class EniResult:
    """``route_table``: the one in use. ``changes`` 0: everything was right."""

    changes: int
    link_name: str
    link_index: int
    route_table: int


def apply_eni(kernel: Kernel, desired: Desired, spec: EniSpec) -> EniResult | None:
    """None while no link with the ENI's MAC is there. Raises TABLE_CONFLICT, KERNEL_REFUSED."""
    families = (spec.family,)
    observed = kernel.host.observe(Query(families, rules=True))
    link = find_by_mac(observed.links, spec.mac)
    if link is None:
        return None
    table = choose_table(spec, observed.rules)
    observed = kernel.host.observe(Query(families, rules=True, tables=(table, MAIN_TABLE), addresses=True))
    changes = kernel.host.apply(diff(plan_eni(spec, link.name, table), observed, owned_by_eni(spec, link.name, table)))
    desired.enis[spec.eni_id] = HeldEni(spec, table)
    return EniResult(changes, link.name, link.index, table)
