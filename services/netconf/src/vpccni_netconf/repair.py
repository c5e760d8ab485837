"""Compares the whole kernel state that we look after with what it should be, and puts right what strayed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.desired import Desired, HeldPod
from vpccni_netconf.domain.diff import Owned, diff
from vpccni_netconf.domain.drift import Interests
from vpccni_netconf.domain.links import find_by_mac, trunk_link
from vpccni_netconf.domain.objects import Link, Object, Observed, Sysctl
from vpccni_netconf.domain.ops import kind as op_kind
from vpccni_netconf.domain.ops import target
from vpccni_netconf.domain.plan_eni import owned_by_eni, plan_eni
from vpccni_netconf.domain.plan_host import owned_by_host, plan_host
from vpccni_netconf.domain.plan_pod import links_of, owned_on_host, plan_pod_host, sysctls_of, tables_of
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.ports import Kernel, Query
from vpccni_netconf.setup_pod import setup_pod


@dataclasses.dataclass(frozen=True, slots=True)
class Mended:
    """``line``: the command. ``problem`` "": it worked. ``about``: the object in the host's namespace, or the host link of the
    pod inside whose namespace it is; None: neither."""

    kind: str
    line: str
    problem: str = ""
    about: Object | str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Repaired:
    """``interests``, ``ipv6``: what to listen for from now on."""

    mended: tuple[Mended, ...]
    interests: Interests
    ipv6: bool


def repair(kernel: Kernel, desired: Desired, *, sysctls_of_pods: Collection[str] | None = None) -> Repaired:
    """One look at everything, one batch. Raises KERNEL_REFUSED when the kernel cannot even be read. ``sysctls_of_pods``: host
    links of the pods whose sysctls are looked at, too (three files per pod, of which no event tells); None: all."""
    mended = list(_rewire_all(kernel, desired))
    query = _query(desired)
    observed = kernel.host.observe(query)
    wanted, owners = _plan(desired, observed)
    if sysctls_of_pods is not None:
        left_out = [pod.spec for name, pod in desired.pods.items() if name not in sysctls_of_pods]
        skipped = {path for spec in left_out for path in sysctls_of(spec)}
        wanted = [item for item in wanted if not (isinstance(item, Sysctl) and item.path in skipped)]
    paths = tuple(item.path for item in wanted if isinstance(item, Sysctl))
    sysctls = kernel.host.observe(Query((), links=False, sysctls=paths)).sysctls if paths else ()
    observed = dataclasses.replace(observed, sysctls=sysctls)
    ops = diff(wanted, observed, lambda item: any(owned(item) for owned in owners))
    outcome = kernel.host.attempt(ops)
    failed = {id(op): str(error) for op, error in outcome.failures}
    mended += [Mended(op_kind(op), str(op), failed.get(id(op), ""), target(op)) for op in ops]
    links = {item.name: item for item in wanted if isinstance(item, Link) and item.name not in desired.pod_links}
    tables = frozenset(eni.table for eni in desired.enis.values())
    values = {item.path: item.value for item in wanted if isinstance(item, Sysctl) and item.path not in desired.sysctls}
    return Repaired(tuple(mended), Interests(links, tables, values), 6 in query.families)


def _query(desired: Desired) -> Query:
    families = {4}.union(
        *((eni.spec.family,) for eni in desired.enis.values()), *(pod.spec.families for pod in desired.pods.values())
    )
    if desired.host is not None:
        families.add(desired.host.family)
    tables = {MAIN_TABLE} | {eni.table for eni in desired.enis.values()}
    tables = tables.union(*(tables_of(pod.spec) for pod in desired.pods.values()))
    addresses = bool(desired.enis) or any(pod.spec.egress for pod in desired.pods.values())
    return Query(tuple(sorted(families)), rules=True, tables=tuple(sorted(tables)), addresses=addresses)


def _plan(desired: Desired, observed: Observed) -> tuple[list[Object], list[Owned]]:
    """Everything that should be, given the links that are there now (a link may have been renamed meanwhile)."""
    wanted: list[Object] = []
    owners: list[Owned] = []
    if desired.host is not None:
        primary = find_by_mac(observed.links, desired.host.primary_mac)
        wanted += plan_host(desired.host, primary.name if primary else desired.primary_link)
        owners.append(owned_by_host(desired.host))
    for eni in desired.enis.values():
        link = find_by_mac(observed.links, eni.spec.mac)
        if link is not None:
            wanted += plan_eni(eni.spec, link.name, eni.table)
            owners.append(owned_by_eni(eni.spec, link.name, eni.table))
    there = {link.name for link in observed.links}
    present = [pod for name, pod in desired.pods.items() if name in there]
    for pod in present:
        wanted += plan_pod_host(pod.spec, pod.host_mac, trunk_link(pod.spec, observed.links))
    links = frozenset().union(*(links_of(pod.spec) for pod in present))
    owners.append(owned_on_host(frozenset().union(*(pod.spec.addresses for pod in present)), links))
    return wanted, owners


def _rewire_all(kernel: Kernel, desired: Desired) -> Iterator[Mended]:
    """Pods of which a host link was deleted, and with it the pod's end."""
    for held in list(desired.pods.values()):
        egress = held.spec.egress
        if not kernel.host.link_index(held.spec.host_veth):
            yield _rewire(kernel, desired, held, f"{held.spec.ifname} type veth peer name {held.spec.host_veth}")
        elif egress is not None and not kernel.host.link_index(egress.host_veth):
            yield _rewire(kernel, desired, held, f"{egress.ifname} type veth peer name {egress.host_veth}")


def _rewire(kernel: Kernel, desired: Desired, held: HeldPod, link: str) -> Mended:
    """A pod whose namespace is gone too is dropped: its DEL will come, or never."""
    spec = held.spec
    line = f"ip link add {link} ({spec.label})"
    try:
        if not spec.netns:
            raise ReasonError(Reason.NETNS_GONE, "the pod's namespace is not known")
        setup_pod(kernel, desired, spec)
    except ReasonError as error:
        if error.reason in (Reason.NETNS_GONE, Reason.NETNS_INVALID):
            desired.drop_pod(spec.host_veth)
        return Mended("link", line, str(error))
    return Mended("link", line)
