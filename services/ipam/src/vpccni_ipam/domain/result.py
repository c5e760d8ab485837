"""The CNI result of a pod, and what can be learnt from one that the runtime kept.

The container entry's "mac" is the route table and the dummy entry carries the device number: the original's plugin reads
both back on DEL, so a node can be switched over with its pods running.
"""

from __future__ import annotations

import dataclasses

from vpccni_ipam.domain.eni_numbers import route_table
from vpccni_ipam.domain.host_veth import pod_hash
from vpccni_ipam.domain.model import Assignment, PodIdentity, PodKey, inside_name


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


def compose(first: Assignment, *others: Assignment) -> CniResult:
    """Result of a pod, ``others`` on further network cards: with a branch ENI the dummy entry has its VLAN id and no device
    number, and there is a gateway."""
    branch = first.branch
    interfaces: list[ResultInterface] = []
    ips: list[ResultIp] = []
    for item in (first, *others):
        interfaces.append(ResultInterface(item.wiring.host_veth))
        interfaces.append(ResultInterface(item.ifname, str(item.route_table), item.wiring.netns))
        suffix = 128 if ":" in item.address else 32
        ips.append(ResultIp(f"{item.address}/{suffix}", len(interfaces) - 1, branch.gateway if branch else ""))
    dummy = dummy_name(first.pod, first.key)
    last = (
        ResultInterface(dummy, str(branch.vlan_id)) if branch else ResultInterface(dummy, "0", str(first.device_number))
    )
    return CniResult((*interfaces, last, *_egress(first)), tuple(ips))


def _egress(item: Assignment) -> tuple[ResultInterface, ...]:
    """Last, as a plugin that comes after would add them; the addresses are nobody's business but the node's."""
    egress = item.wiring.egress
    if egress is None:
        return ()
    return (
        ResultInterface(egress.host_veth, egress.host_mac),
        ResultInterface(egress.ifname, egress.mac, item.wiring.netns),
    )


def kept_interfaces(result: CniResult, pod: PodIdentity, key: PodKey) -> tuple[KeptFacts, ...]:
    """Every interface that the result says the pod has of us, by index; none when the result is not one of ours."""
    found: list[KeptFacts] = []
    while (facts := kept_facts(result, pod, key, len(found))) is not None:
        found.append(facts)
    return tuple(found)


def kept_facts(result: CniResult, pod: PodIdentity, key: PodKey, index: int = 0) -> KeptFacts | None:
    """None when the result is not one of ours (no address for the interface, no dummy entry, a malformed number), or has no
    such interface. ``index``: of the network card."""
    dummy = next((i for i in result.interfaces if i.name == dummy_name(pod, key)), None)
    name = inside_name(key, index)
    place = next((n for n, i in enumerate(result.interfaces) if i.name == name and i.sandbox), None)
    if dummy is None or place is None:
        return None
    addresses = [(ip.address.split("/")[0], ip.gateway) for ip in result.ips if ip.interface == place]
    mac = result.interfaces[place].mac
    try:
        vlan_id = int(dummy.mac)
        # The dummy entry's device number is of card 0; elsewhere a missing table is "any table".
        table = int(mac) if mac else 0 if index else route_table(int(dummy.sandbox), 0)
    except ValueError:
        return None
    if len(addresses) != 1:
        return None
    host = result.interfaces[place - 1].name if place else ""
    (address, gateway) = addresses[0]
    return KeptFacts(host, address, table, vlan_id, gateway)
