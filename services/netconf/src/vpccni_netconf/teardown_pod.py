"""Takes one pod interface away."""

from __future__ import annotations

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.names import host_cidr
from vpccni_netconf.domain.objects import Route
from vpccni_netconf.domain.ops import Op, Remove
from vpccni_netconf.domain.plan_pod import links_of, pod_rules_to_purge
from vpccni_netconf.domain.route_tables import MAIN_TABLE
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.ports import Background, Kernel


def teardown_pod(kernel: Kernel, desired: Desired, background: Background, spec: PodSpec) -> int:
    """Rules and route now; the link itself (the kernel takes its time) and the address's connections afterwards. Nothing
    there: 0 changes, success. The namespace is not needed and may be gone.

    A late DEL of an older sandbox must not hurt the pod that has its name or its address by now.
    """
    held = desired.pods.get(spec.host_veth)
    if spec.branch is not None and not spec.netns and held is None:
        # kubelet repeats such calls, and the VLAN may belong to a new pod of the same name by now.
        return 0
    ours = held is None or held.spec.container_id == spec.container_id
    owner = desired.owner_of(spec.address)
    address_free = owner is None or owner.container_id == spec.container_id
    links = _links(kernel, background, spec) if ours else {}
    ops: list[Op] = []
    if address_free:
        ops += pod_rules_to_purge(spec)
        if spec.host_veth in links:
            ops.append(Remove(Route(MAIN_TABLE, host_cidr(spec.address), spec.host_veth)))
    if spec.egress is not None and spec.egress.host_veth in links:
        ops.append(Remove(Route(MAIN_TABLE, host_cidr(spec.egress.address), spec.egress.host_veth)))
    if ours:
        desired.drop_pod(spec.host_veth)
    changes = kernel.host.apply(ops) if ops else 0
    for name, index in links.items():
        background.delete_link(index, name)
    if address_free and (changes or links):
        for address in spec.addresses:
            background.flush_connections(address)
    return changes + len(links)


def _links(kernel: Kernel, background: Background, spec: PodSpec) -> dict[str, int]:
    """The pod's links that are there and not on their way out already."""
    found = {name: kernel.host.link_index(name) for name in links_of(spec)}
    return {name: index for name, index in found.items() if index and not background.is_leaving(index)}
