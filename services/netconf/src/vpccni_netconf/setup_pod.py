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
from vpccni_netconf.domain.plan_egress import egress_link
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
        _delete_old_egress(kernel, spec)
        result = _wire(kernel, pod, spec)
    desired.hold_pod(spec, result.host_mac)
    return result


def _wire(kernel: Kernel, pod: Namespace, spec: PodSpec) -> SetupResult:
    mac = host_mac(spec.container_id, spec.ifname, spec.host_veth)
    host_ops = _fresh_host_ops(spec) if spec.branch is None else _fresh_branch_ops(kernel, spec)
    made = [CreatePodLink(spec.ifname, spec.host_veth, spec.mtu, mac, _FIRST_INDEX + spec.index)]
    if spec.egress is not None:
        made.append(egress_link(spec.egress, spec.mtu))
    try:
        with _step("kernel.create_link"):
            pod.apply(made)
        index = kernel.host.link_index(spec.host_veth)
        with _step("kernel.host_side"):
            changes = kernel.host.apply(host_ops)
        with _step("kernel.pod_side"):
            changes += pod.apply([Ensure(item) for item in plan_pod_inside(spec, mac)])
            for op in made:
                pod.settle_carrier(op.ifname)  # the pod's first packet must not be lost
                kernel.host.settle_carrier(op.host_veth)
    except ReasonError:
        names = [op.host_veth for op in made]
        left = [DeleteLink(kernel.host.link_index(name), name) for name in names]
        kernel.host.attempt([*pod_rules_to_purge(spec), *(op for op in left if op.index)])
        raise
    return SetupResult(changes + len(made), mac, index)


def _delete_old_egress(kernel: Kernel, spec: PodSpec) -> None:
    """That of an older sandbox of the pod."""
    old = kernel.host.link_index(spec.egress.host_veth) if spec.egress else 0
    if spec.egress and old:
        kernel.host.apply([DeleteLink(old, spec.egress.host_veth)])


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
    names = (spec.host_veth, *((spec.egress.host_veth,) if spec.egress else ()))
    made = (LinkFacts(0, name, up=False) for name in names)
    return [*stale_rules(spec), *diff(wanted, Observed((*links, *made)), lambda _: False)]


def observe_inside(pod: Namespace, spec: PodSpec) -> Observed:
    """What the pod's namespace holds of that which ``plan_pod_inside`` plans."""
    paths = tuple(item.path for item in inside_sysctls(spec))
    tables = (spec.index or MAIN_TABLE,)
    return pod.observe(Query(spec.families, rules=True, tables=tables, addresses=True, neighbours=True, sysctls=paths))


def observe_host_side(kernel: Kernel, spec: PodSpec) -> Observed:
    """What the host holds of that which ``plan_pod_host`` plans."""
    tables, egress = tuple(tables_of(spec)), spec.egress is not None
    return kernel.host.observe(
        Query(spec.families, rules=True, tables=tables, addresses=egress, sysctls=sysctls_of(spec))
    )


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


def _make_egress(kernel: Kernel, pod: Namespace, spec: PodSpec) -> int:
    """The egress link of a pod that lost it; 1 when it had to be made. Raises LINK_EXISTS when the name is another link's."""
    egress = spec.egress
    if egress is None:
        return 0
    inside = pod.observe(Query()).link(egress.ifname)
    on_host = kernel.host.observe(Query()).link(egress.host_veth)
    if inside is not None and on_host is not None and inside.peer_index == on_host.index:
        return 0
    if inside is not None:
        raise ReasonError(
            Reason.LINK_EXISTS, f"{egress.ifname} exists in {spec.netns} and is not the pod's end of {egress.host_veth}"
        )
    _delete_old_egress(kernel, spec)
    pod.apply([egress_link(egress, spec.mtu)])
    return 1


def _converge(kernel: Kernel, pod: Namespace, desired: Desired, spec: PodSpec, link: LinkFacts) -> SetupResult:
    changes = _make_egress(kernel, pod, spec)
    inside, on_host = observe_inside(pod, spec), observe_host_side(kernel, spec)
    previous = desired.pods.get(spec.host_veth)
    addresses = frozenset((*spec.addresses, *(previous.spec.addresses if previous else ())))
    changes += kernel.host.apply(
        diff(
            plan_pod_host(spec, link.mac, trunk_link(spec, on_host.links)),
            on_host,
            owned_on_host(addresses, links_of(spec)),
        )
    )
    changes += pod.apply(diff(plan_pod_inside(spec, link.mac), inside, owned_inside(spec)))
    return SetupResult(changes, link.mac, link.index)
