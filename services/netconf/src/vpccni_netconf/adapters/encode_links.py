"""Links -> rtnetlink messages."""

from __future__ import annotations

from typing import Final

from vpccni_netconf.adapters.rtnl_classes import LinkMessage
from vpccni_netconf.adapters.shapes import (
    CREATE,
    EXCL,
    FD,
    INDEX,
    MAC,
    MTU,
    NAME_A,
    NAME_B,
    OTHER_MAC,
    Attributes,
    Built,
    message,
    pack_mac,
    shaped,
    u32,
)
from vpccni_netconf.domain.objects import Link, VlanLink
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink

_NEWLINK, _DELLINK = 16, 17
_IFF_UP: Final = 1
_NAME_BYTES: Final = 16
# A veth uses one queue unless told otherwise, but is made with as many as the machine has processors, each an object of its
# own in sysfs: with one, making it costs a tenth less on two processors, and the more the larger the machine.
_ONE_QUEUE: Final = (("IFLA_NUM_TX_QUEUES", 1), ("IFLA_NUM_RX_QUEUES", 1))
_DOOMED: Final = 0x76706363
"""Link group of ours, for links on their way out; nobody else's links are ever in it."""


def link_message(item: Link, index: int) -> bytearray:
    """RTM_NEWLINK on an existing link: up or down, MTU and MAC where given."""
    values = [u32(index)]
    if item.mtu:
        values.append(u32(item.mtu))
    if item.mac:
        values.append(pack_mac(item.mac))

    def build() -> Built:
        attributes: Attributes = []
        stand_ins = [u32(INDEX)]
        if item.mtu:
            attributes.append(("IFLA_MTU", MTU))
            stand_ins.append(u32(MTU))
        if item.mac:
            attributes.append(("IFLA_ADDRESS", MAC))
            stand_ins.append(pack_mac(MAC))
        fields = {"family": 0, "index": INDEX, "flags": _IFF_UP if item.up else 0, "change": _IFF_UP}
        return message(LinkMessage, _NEWLINK, 0, fields, attributes), tuple(stand_ins)

    return shaped(("link", item.up, bool(item.mtu), bool(item.mac)), tuple(values), build)


def vlan_message(item: VlanLink, parent: int) -> bytearray:
    """RTM_NEWLINK of a VLAN link, down."""
    info = {
        "attrs": [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", {"attrs": [("IFLA_VLAN_ID", item.vlan_id)]})],
    }
    attributes = [
        ("IFLA_IFNAME", item.name),
        ("IFLA_LINK", parent),
        ("IFLA_ADDRESS", item.mac),
        ("IFLA_LINKINFO", info),
    ]
    return bytearray(message(LinkMessage, _NEWLINK, CREATE | EXCL, {"family": 0, "index": 0}, attributes))


def delete_link_message(op: DeleteLink) -> bytearray:
    def build() -> Built:
        return message(LinkMessage, _DELLINK, 0, {"family": 0, "index": INDEX}, []), (u32(INDEX),)

    return shaped("delete-link", (u32(op.index),), build)


def doom_link_message(index: int) -> bytearray:
    """RTM_NEWLINK that puts an existing link into the group of those that ``delete_doomed_message`` deletes."""

    def build() -> Built:
        return message(LinkMessage, _NEWLINK, 0, {"family": 0, "index": INDEX}, [("IFLA_GROUP", _DOOMED)]), (
            u32(INDEX),
        )

    return shaped("doom-link", (u32(index),), build)


def delete_doomed_message() -> bytearray:
    """RTM_DELLINK of the whole group."""
    return bytearray(message(LinkMessage, _DELLINK, 0, {"family": 0, "index": 0}, [("IFLA_GROUP", _DOOMED)]))


def pod_link_message(op: CreatePodLink, host_fd: int) -> bytearray:
    """RTM_NEWLINK of a veth pair: this end up, its peer in the namespace of ``host_fd`` with its name, MAC and MTU."""
    mac = pack_mac(op.host_mac)
    own = (pack_mac(op.mac),) if op.mac else ()
    values = (u32(op.index), _padded(op.ifname), _padded(op.host_veth), mac, u32(host_fd), *own)

    def build() -> Built:
        peer = [
            ("IFLA_IFNAME", NAME_B),
            ("IFLA_MTU", op.mtu),
            ("IFLA_TXQLEN", 0),
            ("IFLA_ADDRESS", MAC),
            ("IFLA_NET_NS_FD", FD),
            *_ONE_QUEUE,
        ]
        attributes = [
            ("IFLA_IFNAME", NAME_A),
            ("IFLA_MTU", op.mtu),
            ("IFLA_TXQLEN", 0),
            *((("IFLA_ADDRESS", OTHER_MAC),) if own else ()),
            *_ONE_QUEUE,
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_KIND", "veth"),
                        ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", {"attrs": peer})]}),
                    ]
                },
            ),
        ]
        fields = {"family": 0, "index": INDEX, "flags": _IFF_UP, "change": _IFF_UP}
        made = message(LinkMessage, _NEWLINK, CREATE | EXCL, fields, attributes)
        names = (NAME_A.encode() + b"\0", NAME_B.encode() + b"\0")
        return made, (u32(INDEX), *names, pack_mac(MAC), u32(FD), *((pack_mac(OTHER_MAC),) if own else ()))

    return shaped(("pod-link", op.mtu, bool(own)), values, build)


def _padded(name: str) -> bytes:
    return name.encode().ljust(_NAME_BYTES, b"\0")
