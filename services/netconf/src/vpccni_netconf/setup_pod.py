"""Wires one pod interface, or converges one that is wired already."""

from __future__ import annotations

import contextlib
import dataclasses

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.links import trunk_link
from vpccni_netconf.domain.names import host_mac
from vpccni_netconf.domain.objects import LinkFacts, Observed
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink, Ensure, Op
from vpccni_netconf.domain.plan_pod import (
    inside_sysctls,
    links_of,
    owned_inside,
    owned_on_host,
    plan_pod_host,
    plan_pod_inside,
    pod_rules_to_purge,
    stale_rules,
    sysctls_of,
    tables_of,
)
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.ports import Kernel, Namespace, Query

_FIRST_INDEX = 2
"""Link index that the kernel itself would give to the first link after lo."""


@dataclasses.dataclass(frozen=True, slots=True)
class SetupResult:
    """``changes``: kernel objects changed, 0 when everything was right. ``host_index``: link index on the host."""

    changes: int
    host_mac: str
    host_index: int


def setup_pod(kernel: Kernel, desired: Desired, spec: PodSpec) -> SetupResult:
    """Idempotent. On failure everything that this call made is undone and the first error is raised: NETNS_GONE,
    NETNS_INVALID, LINK_EXISTS, LINK_MISSING, KERNEL_REFUSED."""
    with kernel.pod(spec.netns) as pod:
        old = kernel.host.link_index(spec.host_veth)
        if old:
            wired = _wired(kernel, pod, spec, old)
            if wired is not None:
                result = _converge(kernel, pod, desired, spec, wired)
                desired.hold_pod(spec, result.host_mac)
                return result
            kernel.host.apply([DeleteLink(old, spec.host_veth)])
        result = _wire(kernel, pod, spec)
    desired.hold_pod(spec, result.host_mac)
    return result


def _wire(kernel: Kernel, pod: Namespace, spec: PodSpec) -> SetupResult:
    mac = host_mac(spec.container_id, spec.ifname, spec.host_veth)
    host_ops = _fresh_host_ops(spec) if spec.branch is None else _fresh_branch_ops(kernel, spec)
    with _step("kernel.create_link"):
        pod.apply([CreatePodLink(spec.ifname, spec.host_veth, spec.mtu, mac, _FIRST_INDEX + spec.index)])
    index = kernel.host.link_index(spec.host_veth)
    try:
        with _step("kernel.host_side"):
            changes = kernel.host.apply(host_ops)
        with _step("kernel.pod_side"):
            changes += pod.apply([Ensure(item) for item in plan_pod_inside(spec, mac)])
            pod.settle_carrier(spec.ifname)  # the pod's first packet must not be lost
            kernel.host.settle_carrier(spec.host_veth)
    except ReasonError:
        kernel.host.attempt([*pod_rules_to_purge(spec), DeleteLink(index, spec.host_veth)])
        raise
    return SetupResult(changes + 1, mac, index)


def _step(name: str) -> contextlib.AbstractContextManager[object]:
    """A child span, where anybody would see it."""
    return telemetry.span(name) if telemetry.exporting() else contextlib.nullcontext()


def _fresh_host_ops(spec: PodSpec) -> list[Op]:
    """For a link that was just made with its MTU and MAC."""
    wanted = plan_pod_host(dataclasses.replace(spec, mtu=0))
    return [*stale_rules(spec), *map(Ensure, wanted)]


def _fresh_branch_ops(kernel: Kernel, spec: PodSpec) -> list[Op]:
    """As above; the link of an earlier branch ENI with the same VLAN id is replaced. Raises LINK_MISSING."""
    links = kernel.host.observe(Query()).links
    trunk = trunk_link(spec, links)
    if not trunk:
        mac = spec.branch.trunk_mac if spec.branch else ""
        raise ReasonError(Reason.LINK_MISSING, f"no link with the trunk ENI's MAC address {mac} for {spec.label}")
    wanted = plan_pod_host(dataclasses.replace(spec, mtu=0), trunk_link=trunk)
    made = LinkFacts(0, spec.host_veth, up=False)
    return [*stale_rules(spec), *diff(wanted, Observed((*links, made)), lambda _: False)]


def observe_inside(pod: Namespace, spec: PodSpec) -> Observed:
    """What the pod's namespace holds of that which ``plan_pod_inside`` plans."""
    paths = tuple(item.path for item in inside_sysctls(spec))
    tables = (spec.index or MAIN_TABLE,)
    return pod.observe(Query((spec.family,), rules=True, tables=tables, addresses=True, neighbours=True, sysctls=paths))


def _wired(kernel: Kernel, pod: Namespace, spec: PodSpec, host_index: int) -> LinkFacts | None:
    """The host link's facts when it and the pod's interface are the two ends of one pair; None when the pod has no such
    interface (the host link is an older sandbox's). Raises LINK_EXISTS when the name is another link's."""
    inside = pod.observe(Query()).link(spec.ifname)
    if inside is None:
        return None
    host = kernel.host.observe(Query()).link(spec.host_veth)
    paired = host is not None and inside.kind == "veth" and inside.peer_index == host_index
    if paired and host is not None and host.peer_index == inside.index:
        return host
    raise ReasonError(
        Reason.LINK_EXISTS,
        f"{spec.ifname} exists in {spec.netns} and is not the pod's end of {spec.host_veth}",
    )


def _converge(kernel: Kernel, pod: Namespace, desired: Desired, spec: PodSpec, link: LinkFacts) -> SetupResult:
    families = (spec.family,)
    inside = observe_inside(pod, spec)
    on_host = kernel.host.observe(Query(families, rules=True, tables=tuple(tables_of(spec)), sysctls=sysctls_of(spec)))
    previous = desired.pods.get(spec.host_veth)
    addresses = frozenset({spec.address, previous.spec.address if previous else spec.address})
    changes = kernel.host.apply(
        diff(
            plan_pod_host(spec, link.mac, trunk_link(spec, on_host.links)),
            on_host,
            owned_on_host(addresses, links_of(spec)),
        )
    )
    changes += pod.apply(diff(plan_pod_inside(spec, link.mac), inside, owned_inside(spec)))
    return SetupResult(changes, link.mac, link.index)
