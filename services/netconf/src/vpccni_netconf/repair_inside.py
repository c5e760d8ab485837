"""Puts right what strayed inside pods' namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.desired import Desired, HeldPod
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.drift import not_replaced
from vpccni_netconf.domain.ops import kind as op_kind
from vpccni_netconf.domain.plan_pod import plan_pod_inside
from vpccni_netconf.ports import Kernel, Query
from vpccni_netconf.repair import Mended
from vpccni_netconf.setup_pod import observe_inside


def repair_inside(kernel: Kernel, desired: Desired, pods: Iterable[str]) -> tuple[Mended, ...]:
    """``pods``: host links of the pods to look into; those that are gone are passed over. Only adds and sets: what else is in a
    pod's namespace is the pod's own."""
    found: list[Mended] = []
    for name in pods:
        held = desired.pods.get(name)
        if held is None or not held.spec.netns:
            continue
        try:
            found += _repair(kernel, held)
        except ReasonError as error:
            if error.reason not in (Reason.NETNS_GONE, Reason.NETNS_INVALID):
                found.append(Mended("link", f"{held.spec.ifname} of {held.spec.label}", str(error), name))
    return tuple(found)


def _repair(kernel: Kernel, held: HeldPod) -> Iterator[Mended]:
    spec = held.spec
    link = None if held.host_mac else kernel.host.observe(Query()).link(spec.host_veth)
    host_mac = held.host_mac or (link.mac if link is not None else "")
    if not host_mac:
        return
    with kernel.pod(spec.netns) as pod:
        observed = observe_inside(pod, spec)
        wanted = not_replaced(plan_pod_inside(spec, host_mac), observed)
        ops = diff(wanted, observed, lambda _: False)
        failed = {id(op): str(error) for op, error in pod.attempt(ops).failures}
    for op in ops:
        yield Mended(op_kind(op), f"{op} (inside {spec.label})", failed.get(id(op), ""), spec.host_veth)
