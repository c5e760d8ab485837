"""The CNI result of a pod, and what can be learnt from one that the runtime kept.

The container entry's "mac" is the route table and the dummy entry carries the device number: the original's plugin reads
both back on DEL, so a node can be switched over with its pods running.
"""

from __future__ import annotations

import dataclasses

from vpccni_ipam.domain.eni_numbers import route_table
from vpccni_ipam.domain.host_veth import pod_hash
from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey


@dataclasses.dataclass(frozen=True, slots=True)
class ResultInterface:
    name: str
    mac: str = ""
    sandbox: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ResultIp:
    """``address`` in CIDR notation; ``interface`` indexes the interfaces."""

    address: str
    interface: int
    gateway: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class CniResult:
    interfaces: tuple[ResultInterface, ...] = ()
    ips: tuple[ResultIp, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class KeptFacts:
    """What a kept result says: enough to unwire the pod. ``route_table`` 0: not known. ``vlan_id`` 0: no branch ENI."""

    host_veth: str
    address: str
    route_table: int
    vlan_id: int = 0
    gateway: str = ""


def dummy_name(pod: PodIdentity, key: PodKey) -> str:
    return "dummy" + pod_hash(pod, key)


def compose(item: Assignment) -> CniResult:
    """Result of a pod: with a branch ENI the dummy entry has its VLAN id and no device number, and there is a gateway."""
    branch = item.branch
    suffix = 128 if ":" in item.address else 32
    return CniResult(
        interfaces=(
            ResultInterface(item.wiring.host_veth),
            ResultInterface(item.key.ifname, str(item.route_table), item.wiring.netns),
            ResultInterface(dummy_name(item.pod, item.key), str(branch.vlan_id))
            if branch
            else ResultInterface(dummy_name(item.pod, item.key), "0", str(item.device_number)),
        ),
        ips=(ResultIp(f"{item.address}/{suffix}", 1, branch.gateway if branch else ""),),
    )


def kept_facts(result: CniResult, pod: PodIdentity, key: PodKey) -> KeptFacts | None:
    """None when the result is not one of ours (no address for the interface, no dummy entry, a malformed number)."""
    dummy = next((i for i in result.interfaces if i.name == dummy_name(pod, key)), None)
    index = next((n for n, i in enumerate(result.interfaces) if i.name == key.ifname and i.sandbox), None)
    if dummy is None or index is None:
        return None
    addresses = [(ip.address.split("/")[0], ip.gateway) for ip in result.ips if ip.interface == index]
    mac = result.interfaces[index].mac
    try:
        vlan_id = int(dummy.mac)
        table = int(mac) if mac else route_table(int(dummy.sandbox), 0)
    except ValueError:
        return None
    if len(addresses) != 1:
        return None
    host = result.interfaces[index - 1].name if index else ""
    (address, gateway) = addresses[0]
    return KeptFacts(host, address, table, vlan_id, gateway)
