"""Converges the host's side of all pods at once, and takes away what belongs to none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vpccni_netconf.desired import Desired, HeldPod
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.links import leftover_links, trunk_link
from vpccni_netconf.domain.names import HASH_DIGITS, host_cidr
from vpccni_netconf.domain.objects import Object, Observed
from vpccni_netconf.domain.plan_pod import links_of, owned_pods, plan_pod_host, sysctls_of, tables_of
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.rule_priorities import FROM_POD
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.ports import Background, Kernel, Query


@dataclasses.dataclass(frozen=True, slots=True)
class PodsResult:
    """``missing_links``: host links of listed pods that are not there (their pod is gone, or lost its interface). ``eni_ids``:
    secondary ENIs that are looked after."""

    changes: int
    missing_links: tuple[str, ...]
    eni_ids: tuple[str, ...]


def apply_pods(kernel: Kernel, desired: Desired, background: Background, specs: Sequence[PodSpec]) -> PodsResult:
    """``specs`` must be complete, pods whose SetupPod is under way included: host links, routes and rules of pods that are
    not listed are removed. Raises the first KERNEL_REFUSED after everything else was done."""
    tables = frozenset({MAIN_TABLE}).union(*map(tables_of, specs))
    sysctls = tuple(path for spec in specs for path in sysctls_of(spec))
    egress = any(spec.egress for spec in specs)
    query = Query((4, 6), rules=True, tables=tuple(sorted(tables)), addresses=egress, sysctls=sysctls)
    observed = kernel.host.observe(query)
    links = {link.name: link for link in observed.links}
    held = [_held(desired, spec, observed) for spec in specs]
    wanted: list[Object] = []
    for pod in held:
        wanted += plan_pod_host(pod.spec, pod.host_mac, trunk_link(pod.spec, observed.links))
    prefixes = pod_prefixes(desired, specs)
    staying = [link for link in observed.links if not background.is_leaving(link.index)]
    leftovers = leftover_links(staying, prefixes, frozenset().union(*map(links_of, specs)), observed.routes)
    outcome = kernel.host.attempt(diff(wanted, observed, owned_pods(prefixes)))
    for link in leftovers:
        background.delete_link(link.index, link.name)
    for name in list(desired.pods):
        desired.drop_pod(name)
    for pod in held:
        if pod.spec.host_veth in links:
            desired.hold_pod(pod.spec, pod.host_mac)
    if outcome.failures:
        raise outcome.failures[0][1]
    missing = tuple(spec.host_veth for spec in specs if spec.host_veth not in links)
    return PodsResult(outcome.changes + len(leftovers), missing, tuple(desired.enis))


def _held(desired: Desired, spec: PodSpec, observed: Observed) -> HeldPod:
    """MAC and MTU as this process gave them; else, of a pod that was wired by another, as they are. A table that is not known
    (0) is the one that the pod's rule names now."""
    if spec.route_table == 0:
        own = host_cidr(spec.address)
        tables = (rule.table for rule in observed.rules if rule.priority == FROM_POD and rule.src == own)
        spec = dataclasses.replace(spec, route_table=next(tables, 0))
    known = desired.pods.get(spec.host_veth)
    if known is not None and known.spec.container_id == spec.container_id:
        return HeldPod(dataclasses.replace(spec, mtu=known.spec.mtu), known.host_mac)
    link = observed.link(spec.host_veth)
    if link is None:
        return HeldPod(spec, "")
    return HeldPod(dataclasses.replace(spec, mtu=link.mtu), link.mac)


def pod_prefixes(desired: Desired, specs: Sequence[PodSpec] = ()) -> frozenset[str]:
    """Prefixes that mark a host link as ours: the setting's, the default, those of known pods."""
    found = {spec.host_veth[:-HASH_DIGITS] for spec in specs} | {name[:-HASH_DIGITS] for name in desired.pods}
    setting = desired.host.veth_prefix if desired.host is not None else "eni"
    return frozenset(found - {""} | {"eni", "vlan", setting})
