"""Names of links and addresses that are fixed by the original, so that a node can be switched over and back with its pods
running. Rule priorities: rule_priorities.py; table numbers: route_tables.py.

Source of each: amazon-vpc-cni-k8s v1.23 (pkg/networkutils, cmd/routed-eni-cni-plugin/driver).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Final

DEFAULT_CONNMARK: Final = 0x80
MIN_MTU: Final = 576
MAX_MTU: Final = 9001
MAX_LINK_NAME: Final = 15
"""Characters (IFNAMSIZ - 1)."""
VPC_GATEWAY_V6: Final = "fe80:ec2::1"
EGRESS_CIDR: Final = {4: "169.254.172.0/22", 6: "fd00::ac:0/118"}
"""By family: addresses that mean something on this node only, for what pods send in the family that is not the cluster's."""
EGRESS_GATEWAY_V4: Final = "169.254.172.1"
HASH_DIGITS: Final = 11

_LINK_NAME: Final = re.compile(r"[^\s/:%]{1,15}\Z")
POD_LINK: Final = re.compile(r"[^\s/:%]{0,4}[0-9a-f]{11}\Z")
EGRESS_LINK: Final = re.compile(r"veth[0-9a-f]{8}\Z")


def family_of(address: str) -> int:
    """4 or 6, of an address or a CIDR in text."""
    return 6 if ":" in address else 4


def host_cidr(address: str) -> str:
    """The address as a CIDR of one: /32 or /128."""
    return f"{address}/128" if ":" in address else f"{address}/32"


def default_cidr(family: int) -> str:
    return "::/0" if family == 6 else "0.0.0.0/0"


def is_routable(address: str, family: int) -> bool:
    """True for an address (with prefix length) of the family that is not link-local: those of a link that are ours to set."""
    interface = ipaddress.ip_interface(address)
    return interface.version == family and not interface.is_link_local


def is_branch_link(name: str) -> bool:
    return name.startswith("vlan.eth.") and name[9:].isdigit()


def vlan_link_name(vlan_id: int) -> str:
    return f"vlan.eth.{vlan_id}"


def pod_gateway(family: int, index: int) -> str:
    """Next hop inside the pod; nobody owns it, a permanent neighbour entry points it at the host link."""
    return f"fe80::{index + 1:x}" if family == 6 else f"169.254.1.{index + 1}"


def egress_ifname(family: int) -> str:
    """Inside the pod."""
    return f"v{family}if0"


def is_egress(address: str) -> bool:
    """True of an address of some pod's egress link."""
    return ipaddress.ip_address(address) in ipaddress.ip_network(EGRESS_CIDR[family_of(address)])


def link_local(mac: str) -> str:
    """The IPv6 link-local address that a link with this MAC gives itself (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def valid_link_name(name: str) -> bool:
    """As the kernel's dev_valid_name: 1 to 15 characters, no space, slash or colon, not "." or ".."."""
    return _LINK_NAME.match(name) is not None and name not in (".", "..")


def is_pod_link(name: str, prefixes: frozenset[str]) -> bool:
    """True for a host link of a pod: one of the prefixes, then 11 hexadecimal digits."""
    return POD_LINK.match(name) is not None and name[:-HASH_DIGITS] in prefixes


def host_mac(container_id: str, ifname: str, host_veth: str) -> str:
    """MAC of a pod's host link: locally administered, unicast, the same each time for the same pod interface.

    Chosen by us and given at creation, because the pod's neighbour entry for its gateway holds it; a later rewrite
    (udev's MACAddressPolicy) is drift that can be told from the name alone.
    """
    digest = hashlib.sha1(f"{container_id}/{ifname}/{host_veth}".encode(), usedforsecurity=False).digest()
    return bytes(((digest[0] | 0x02) & 0xFE, *digest[1:6])).hex(":")
