"""Takes one pod interface away."""

from __future__ import annotations

from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.names import MAIN_TABLE, host_cidr
from vpccni_netconf.domain.objects import Route
from vpccni_netconf.domain.ops import Op, Remove
from vpccni_netconf.domain.plan_pod import pod_rules_to_purge
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.ports import Background, Kernel


def teardown_pod(kernel: Kernel, desired: Desired, background: Background, spec: PodSpec) -> int:
    """Rules and route now; the link itself (the kernel takes its time) and the address's connections afterwards. Nothing
    there: 0 changes, success. The namespace is not needed and may be gone.

    A late DEL of an older sandbox must not hurt the pod that has its name or its address by now.
    """
    held = desired.pods.get(spec.host_veth)
    ours = held is None or held.spec.container_id == spec.container_id
    owner = desired.owner_of(spec.address)
    address_free = owner is None or owner.container_id == spec.container_id
    index = kernel.host.link_index(spec.host_veth) if ours else 0
    if background.is_leaving(index):
        index = 0
    ops: list[Op] = []
    if address_free:
        ops += pod_rules_to_purge(spec)
        if index:
            ops.append(Remove(Route(MAIN_TABLE, host_cidr(spec.address), spec.host_veth)))
    if ours:
        desired.drop_pod(spec.host_veth)
    changes = kernel.host.apply(ops) if ops else 0
    if index:
        background.delete_link(index, spec.host_veth)
    if address_free and (changes or index):
        background.flush_connections(spec.address)
    return changes + bool(index)
