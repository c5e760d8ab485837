"""A node as the original CNI leaves it: kernel state, checkpoint and cached results, laid out by hand.

From the facts about amazon-vpc-cni-k8s 1.23.1 and the older layouts that it recognises itself; nothing here uses our services.
For tests of the switch-over, on a node whose services are not started (``cni: later``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.client import LabClient
from vpccni_lab.fabric.plan import gateway
from vpccni_lab.nodes.node import Node
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.cache import ResultCache
from vpccni_lab.runtime.conflist import ConfList
from vpccni_lab.runtime.network import CACHE_DIR
from vpccni_lab.runtime.pods import Pod, Pods

LAYOUTS: Final = ("1.23 nftables", "1.23 iptables", "1.7")
"""Connection marks in nftables or in iptables; 1.7: one from-rule for each VPC CIDR, numbered chains, old comments."""
CHECKPOINT: Final = "/run/aws-node/ipam.json"
CONF: Final = ConfList(
    "aws-cni",
    "0.4.0",
    ({"name": "aws-cni", "type": "aws-cni", "vethPrefix": "eni", "mtu": "9001", "pluginLogFile": "stderr"},),
)
_VPC: Final = ("10.0.0.0/16", "10.1.0.0/16")
_MARK: Final = "-j CONNMARK --set-xmark 0x80/0x80"
_RESTORE: Final = "-j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80"


@dataclasses.dataclass(frozen=True)
class OriginalPod:
    """``device``: device index of the ENI; ``table``: its route table, 254 for the primary ENI."""

    pod: Pod
    veth: str
    device: int

    @property
    def table(self) -> int:
        return self.device + 1 if self.device else 254


def lay_out(lab: LabClient, name: str, layout: str, iptables: str) -> list[OriginalPod]:
    """Two pods on the primary ENI and two on a second one. ``iptables``: legacy or nft, the node's. Raises ReasonError."""
    node = lab.node(name)
    first, second = _enis(lab, name)
    pods = [
        _pod(node, f"web-{device}-{number}", address, device)
        for device, eni in enumerate((first, second))
        for number, address in enumerate(eni["secondary_ips"][:2])
    ]
    with Pods(node, CONF) as runtime:
        for item in pods:
            runtime.make_sandbox(item.pod)
    script = [*_host(first, second), *(line for item in pods for line in _wiring(item, layout))]
    _run(node, ["sh", "-eu"], "\n".join(script))
    _run(node, [f"iptables-{iptables}-restore", "--noflush"], _iptables(first, layout))
    if layout == LAYOUTS[0]:
        _run(node, ["nft", "-f", "-"], _nftables())
    entries = [_entry(item) for item in pods]
    text = json.dumps({"version": "vpc-cni-ipam/1", "allocations": entries}, separators=(",", ":"))
    node.inside(lambda: _save(text, pods))
    return pods


def _enis(lab: LabClient, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    instance = lab.node(name).instance_id
    primary = lab.enis()[name][0]
    lab.ec2("AssignPrivateIpAddresses", NetworkInterfaceId=primary["id"], SecondaryPrivateIpAddressCount=3)
    made = lab.ec2(
        "CreateNetworkInterface",
        SubnetId=primary["subnet"],
        Groups=[group["GroupId"] for group in _groups(lab, primary["id"])],
        Description=f"aws-K8S-{instance}",
        SecondaryPrivateIpAddressCount=3,
        TagSpecifications=[
            {
                "ResourceType": "network-interface",
                "Tags": [
                    {"Key": "node.k8s.amazonaws.com/instance_id", "Value": instance},
                    {"Key": "node.k8s.amazonaws.com/createdAt", "Value": "2026-01-01T00:00:00Z"},
                ],
            }
        ],
    )["NetworkInterface"]["NetworkInterfaceId"]
    lab.ec2("AttachNetworkInterface", NetworkInterfaceId=made, InstanceId=instance, DeviceIndex=1)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        enis = lab.enis()[name]
        if len(enis) == 2 and enis[1]["link"]:
            return enis[0], enis[1]
        time.sleep(0.05)
    raise ReasonError(Reason.LINK_MISSING, f"ENI {made} has no link in {name} after 10 s")


def _groups(lab: LabClient, eni_id: str) -> list[dict[str, Any]]:
    (eni,) = lab.ec2("DescribeNetworkInterfaces", NetworkInterfaceIds=[eni_id])["NetworkInterfaces"]
    return list(eni["Groups"])


def _pod(node: Node, name: str, address: str, device: int) -> OriginalPod:
    pod = dataclasses.replace(podlib.new_pod(node.name, name), addresses=(address,))
    digest = hashlib.sha1(f"{pod.namespace}.{pod.name}".encode()).hexdigest()
    return OriginalPod(pod, f"eni{digest[:11]}", device)


def _host(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    link, address = second["link"], second["private_ip"]
    network = ipaddress.ip_network(f"{address}/24", strict=False)
    via = gateway(str(network))
    return [
        f"echo 2 > /proc/sys/net/ipv4/conf/{first['link']}/rp_filter",
        f"ip link set {first['link']} mtu 9001",
        "ip rule add fwmark 0x80/0x80 lookup main priority 1024",
        f"ip link set {link} mtu 9001 up",
        f"ip addr add {address}/24 dev {link}",
        f"ip route add {via}/32 dev {link} scope link table 2",
        f"ip route add default via {via} dev {link} table 2",
        f"ip route del {network} dev {link}",
        f"ip rule add from {address} lookup 2 priority 32765",
    ]


def _wiring(item: OriginalPod, layout: str) -> list[str]:
    name, veth, (address,) = item.pod.netns.rsplit("/", 1)[1], item.veth, item.pod.addresses
    mac = "02:" + ":".join(hashlib.sha1(veth.encode()).hexdigest()[n : n + 2] for n in range(0, 10, 2))
    lines = [
        f"ip link add {veth} address {mac} mtu 9001 type veth peer name eth0 mtu 9001 netns {name}",
        f"echo 0 > /proc/sys/net/ipv6/conf/{veth}/accept_ra",
        f"echo 1 > /proc/sys/net/ipv6/conf/{veth}/accept_redirects",
        f"echo 0 > /proc/sys/net/ipv6/conf/{veth}/forwarding",
        f"ip link set {veth} up",
        f"ip -n {name} link set eth0 up",
        f"ip -n {name} route add 169.254.1.1/32 dev eth0 scope link",
        f"ip -n {name} route add default via 169.254.1.1 dev eth0",
        f"ip -n {name} addr add {address}/32 dev eth0",
        f"ip -n {name} neigh add 169.254.1.1 lladdr {mac} dev eth0 nud permanent",
        f"ip route add {address}/32 dev {veth} scope link",
        f"ip rule add to {address} lookup main priority 512",
    ]
    if item.device:
        ends = [f" to {cidr}" for cidr in _VPC] if layout == "1.7" else [""]
        lines += [f"ip rule add from {address}{end} lookup {item.table} priority 1536" for end in ends]
    return lines


def _iptables(primary: dict[str, Any], layout: str) -> str:
    link, node = primary["link"], primary["private_ip"]
    comment = '-m comment --comment "AWS, primary ENI"'
    mangle = [
        f"-A PREROUTING -i {link} {comment} -m addrtype --dst-type LOCAL --limit-iface-in {_MARK}",
        f"-A PREROUTING -i eni+ {comment} {_RESTORE}",
        f"-A PREROUTING -i vlan+ {comment} {_RESTORE}",
    ]
    nat = _old_nat(node) if layout == "1.7" else _nat(node, marks=layout == "1.23 iptables")
    return "\n".join(["*mangle", *mangle, "COMMIT", "*nat", *nat, "COMMIT", ""])


def _nat(node: str, *, marks: bool) -> list[str]:
    lines = [":AWS-SNAT-CHAIN-0 - [0:0]"]
    if marks:
        lines += [
            ":AWS-CONNMARK-CHAIN-0 - [0:0]",
            '-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0',
            f'-A PREROUTING -m comment --comment "AWS, CONNMARK" {_RESTORE}',
            *(
                f'-A AWS-CONNMARK-CHAIN-0 -d {cidr} -m comment --comment "AWS CONNMARK CHAIN" -j RETURN'
                for cidr in reversed(_VPC)
            ),
            f'-A AWS-CONNMARK-CHAIN-0 -m comment --comment "AWS, CONNMARK" {_MARK}',
        ]
    to_others = '-m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL'
    return [
        *lines,
        '-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0',
        *(f'-A AWS-SNAT-CHAIN-0 -d {cidr} -m comment --comment "AWS SNAT CHAIN" -j RETURN' for cidr in reversed(_VPC)),
        f"-A AWS-SNAT-CHAIN-0 ! -o vlan+ {to_others} -j SNAT --to-source {node} --random-fully",
    ]


def _old_nat(node: str) -> list[str]:
    """One chain for each VPC CIDR, each leading to the next; translation in the last; jump by ``state NEW``."""
    last = len(_VPC)
    snat, mark = "AWS-SNAT-CHAIN-", "AWS-CONNMARK-CHAIN-"
    lines = [f":{chain}{number} - [0:0]" for chain in (snat, mark) for number in range(last + 1)]
    lines += [
        f'-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -m state --state NEW -j {mark}0',
        f'-A PREROUTING -m comment --comment "AWS, CONNMARK" {_RESTORE}',
        f'-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j {snat}0',
    ]
    for number, cidr in enumerate(_VPC):
        lines.append(f'-A {snat}{number} ! -d {cidr} -m comment --comment "AWS SNAT CHAN" -j {snat}{number + 1}')
        lines.append(
            f'-A {mark}{number} ! -d {cidr} -m comment --comment "AWS CONNMARK CHAIN, VPC CIDR" -j {mark}{number + 1}'
        )
    lines.append(
        f'-A {snat}{last} -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source {node}'
    )
    lines.append(f'-A {mark}{last} -m comment --comment "AWS, CONNMARK" {_MARK}')
    return lines


def _nftables() -> str:
    return "\n".join(
        [
            "table ip aws-cni {",
            "  chain snat-mark {",
            *(f"    counter ip daddr {cidr} return" for cidr in _VPC),
            "    counter ct mark set ct mark | 0x80",
            "  }",
            "  chain nat-prerouting {",
            "    type nat hook prerouting priority dstnat + 10; policy accept;",
            "    fib daddr type local return",
            '    iifname "eni*" counter jump snat-mark',
            "    counter meta mark set ct mark & 0x00000080",
            "  }",
            "}",
            "",
        ]
    )


def _entry(item: OriginalPod) -> dict[str, Any]:
    return {
        "networkName": CONF.name,
        "containerID": item.pod.container_id,
        "ifName": "eth0",
        "ipv4": item.pod.address,
        "allocationTimestamp": 1_700_000_000_000_000_000,
        "metadata": {"k8sPodNamespace": item.pod.namespace, "k8sPodName": item.pod.name, "interfacesCount": 1},
    }


def result_of(item: OriginalPod) -> dict[str, Any]:
    """What the original's plugin printed for the pod."""
    return {
        "cniVersion": CONF.cni_version,
        "interfaces": [
            {"name": item.veth},
            {"name": "eth0", "mac": str(item.table), "sandbox": item.pod.netns},
            {"name": f"dummy{item.veth.removeprefix('eni')}", "mac": "0", "sandbox": str(item.device)},
        ],
        "ips": [{"version": "4", "interface": 1, "address": f"{item.pod.address}/32"}],
        "dns": {},
    }


def _save(checkpoint: str, pods: Sequence[OriginalPod]) -> None:
    with open(CHECKPOINT, "w") as file:
        file.write(checkpoint)
    cache = ResultCache(CACHE_DIR)
    for item in pods:
        cache.save(CONF, item.pod.attachment, result_of(item), json.dumps({"name": CONF.name}).encode())


def _run(node: Node, argv: list[str], text: str) -> None:
    done = node.run(argv, stdin=text)
    if done.returncode:
        raise ReasonError(Reason.KERNEL_REFUSED, f"{' '.join(argv)} on {node.name}: {done.stderr.strip()}")
