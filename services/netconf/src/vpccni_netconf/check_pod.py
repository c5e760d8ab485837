"""Compares one pod interface with what it should be. Changes nothing."""

from __future__ import annotations

import dataclasses

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.diff import diff
from vpccni_netconf.domain.links import trunk_link
from vpccni_netconf.domain.objects import Observed
from vpccni_netconf.domain.plan_pod import (
    links_of,
    owned_inside,
    owned_on_host,
    plan_pod_host,
    plan_pod_inside,
)
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.ports import Kernel
from vpccni_netconf.setup_pod import observe_host_side, observe_inside


def missing_links(spec: PodSpec, on_host: Observed, inside: Observed) -> tuple[str, ...]:
    """What has no link to be compared on."""
    found = [f"{spec.ifname} is missing in {spec.netns}"] if inside.link(spec.ifname) is None else []
    if spec.egress is not None:
        if inside.link(spec.egress.ifname) is None:
            found.append(f"{spec.egress.ifname} is missing in {spec.netns}")
        if on_host.link(spec.egress.host_veth) is None:
            found.append(f"host link {spec.egress.host_veth} is missing")
    return tuple(found)


def check_pod(kernel: Kernel, desired: Desired, spec: PodSpec) -> tuple[str, ...]:
    """One line per difference, worded as the command that would mend it; empty when all is right. Raises NETNS_GONE."""
    held = desired.pods.get(spec.host_veth)
    if not spec.route_table and held is not None:
        spec = dataclasses.replace(spec, route_table=held.spec.route_table)
    on_host = observe_host_side(kernel, spec)
    link = on_host.link(spec.host_veth)
    if link is None:
        return (f"host link {spec.host_veth} is missing",)
    mac = (held.host_mac if held else "") or link.mac
    with kernel.pod(spec.netns) as pod:
        inside = observe_inside(pod, spec)
    missing = missing_links(spec, on_host, inside)
    if missing:
        return missing
    differences = (
        *diff(
            plan_pod_host(spec, mac, trunk_link(spec, on_host.links)),
            on_host,
            owned_on_host(frozenset(spec.addresses), links_of(spec)),
        ),
        *diff(plan_pod_inside(spec, mac), inside, owned_inside(spec)),
    )
    return tuple(map(str, differences))
