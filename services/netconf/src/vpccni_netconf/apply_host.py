"""Sets up the node itself: rules, sysctls and the primary link. The packet filter is ``apply_filter.py``'s."""

from __future__ import annotations

import dataclasses

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.links import find_by_mac, pod_link_prefixes
from vpccni_netconf.domain.objects import Sysctl
from vpccni_netconf.domain.plan_host import owned_by_host, plan_host
from vpccni_netconf.domain.spec import HostSpec
from vpccni_netconf.ports import Kernel, Query


@dataclasses.dataclass(frozen=True, slots=True)
class HostResult:
    """``prefixes``: of host links of pods, the setting's first, then those of pods that are there already."""

    changes: int
    primary_link: str
    prefixes: tuple[str, ...]


def apply_host(kernel: Kernel, desired: Desired, spec: HostSpec) -> HostResult | None:
    """None while no link with the primary ENI's MAC is there. Raises KERNEL_REFUSED."""
    link = find_by_mac(kernel.host.observe(Query()).links, spec.primary_mac)
    if link is None:
        return None
    wanted = plan_host(spec, link.name)
    paths = tuple(item.path for item in wanted if isinstance(item, Sysctl))
    observed = kernel.host.observe(Query((spec.family,), rules=True, sysctls=paths))
    changes = kernel.host.apply(diff(wanted, observed, owned_by_host(spec)))
    desired.host = spec
    desired.primary_link = link.name
    return HostResult(changes, link.name, pod_link_prefixes(observed.links, spec.veth_prefix))
