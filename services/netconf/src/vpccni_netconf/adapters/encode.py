"""Ops -> rtnetlink messages.

pyroute2's message classes know the wire format but need some 0.1 ms per message, ten times what the kernel needs to carry
one out. So each *shape* of message is encoded by them once, with stand-in values, and from then on the few bytes that differ
(addresses, link indices, names) are put in their places.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Hashable
from typing import Any, Final

from vpccni_netconf.adapters.rtnl_classes import (
    AddressMessage,
    LinkMessage,
    NeighbourMessage,
    RouteMessage,
    RuleMessage,
)
from vpccni_netconf.domain.names import family_of
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Route, Rule, VlanLink
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
_REPLACE: Final = 0x100
_EXCL: Final = 0x200
_CREATE: Final = 0x400
_NEWLINK, _DELLINK = 16, 17
_NEWADDR, _DELADDR = 20, 21
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEIGH, _DELNEIGH = 28, 29
_NEWRULE, _DELRULE = 32, 33
_IFF_UP: Final = 1
_SCOPE_LINK: Final = 253
_SCOPE_NOWHERE: Final = 255
_RT_BOOT: Final = 3
_UNICAST: Final = 1
_TO_TABLE: Final = 1
_NUD_PERMANENT: Final = 0x80
_NOPREFIXROUTE: Final = 0x200
_NODAD: Final = 0x02
_NAME_BYTES: Final = 16
_DOOMED: Final = 0x76706363
"""Link group of ours, for links on their way out; nobody else's links are ever in it."""

# Stand-ins: values that occur nowhere else in a message.
_INDEX: Final = 0x5EADBEE5
_INDEX_B: Final = 0x5EADBEE6
_FD: Final = 0x5EADBEE7
_MTU: Final = 0x5EADBEE8
_V4: Final = ("203.0.113.201", "203.0.113.202", "203.0.113.203")
_V6: Final = ("2001:db8:beef::c9", "2001:db8:beef::ca", "2001:db8:beef::cb")
_MAC: Final = "de:ad:be:ef:5e:ad"
_NAME_A: Final = "\x01stand-in-name\x01"
_NAME_B: Final = "\x02stand-in-name\x02"

Fields = dict[str, Any]
Attributes = list[tuple[str, Any]]


class _Shape:
    """An encoded message and where its variable bytes are."""

    def __init__(self, message: bytes, stand_ins: tuple[bytes, ...]) -> None:
        self._message = message
        self._places = []
        for value in stand_ins:
            at = message.find(value)
            if at < 0 or message.find(value, at + 1) >= 0:
                raise AssertionError(f"stand-in {value!r} must occur once in {message.hex()}")
            self._places.append((at, at + len(value)))

    def fill(self, values: tuple[bytes, ...]) -> bytearray:
        made = bytearray(self._message)
        for (start, end), value in zip(self._places, values, strict=True):
            made[start:end] = value
        return made


_shapes: dict[Hashable, _Shape] = {}


def _message(cls: Any, kind: int, flags: int, fields: Fields, attributes: Attributes) -> bytes:
    message = cls()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message["header"]["type"] = kind
    message["header"]["flags"] = flags | NLM_F_REQUEST
    message["header"]["sequence_number"] = 0
    message.encode()
    return bytes(message.data)


def _shaped(
    key: Hashable, values: tuple[bytes, ...], build: Callable[[], tuple[bytes, tuple[bytes, ...]]]
) -> bytearray:
    shape = _shapes.get(key)
    if shape is None:
        message, stand_ins = build()
        shape = _shapes[key] = _Shape(message, stand_ins)
    return shape.fill(values)


def pack_address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)


def _af(family: int) -> int:
    return socket.AF_INET6 if family == 6 else socket.AF_INET


def _stand_in(family: int, which: int) -> str:
    return (_V6 if family == 6 else _V4)[which]


def _split(cidr: str) -> tuple[str, int]:
    address, _, length = cidr.partition("/")
    return address, int(length)


def rule_message(rule: Rule, *, add: bool) -> bytearray:
    """RTM_NEWRULE or RTM_DELRULE (matches by what is given).

    Not exclusive: the kernel takes a rule that has more conditions than the new one for the same, and the new one would be
    missing once the other is gone. Whether the rule is there is for the caller to know.
    """
    src, src_len = _split(rule.src) if rule.src else ("", 0)
    dst, dst_len = _split(rule.dst) if rule.dst else ("", 0)
    src_len, dst_len = (src_len if src else 0), (dst_len if dst else 0)
    key = (
        "rule",
        add,
        rule.family,
        rule.priority,
        rule.table,
        src_len,
        dst_len,
        rule.fwmark,
        rule.fwmask,
        rule.iif,
        rule.ip_proto,
    )
    values = tuple(pack_address(text) for text, length in ((src, src_len), (dst, dst_len)) if length)

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        # The priority is always sent, 0 too: without the attribute an add gets one of the kernel's choice.
        attributes: Attributes = [("FRA_PRIORITY", rule.priority), ("FRA_TABLE", rule.table)]
        stand_ins = []
        if src_len:
            attributes.append(("FRA_SRC", _stand_in(rule.family, 0)))
            stand_ins.append(pack_address(_stand_in(rule.family, 0)))
        if dst_len:
            attributes.append(("FRA_DST", _stand_in(rule.family, 1)))
            stand_ins.append(pack_address(_stand_in(rule.family, 1)))
        if rule.fwmark:
            attributes += [("FRA_FWMARK", rule.fwmark), ("FRA_FWMASK", rule.fwmask)]
        if rule.iif:
            attributes.append(("FRA_IIFNAME", rule.iif))
        if rule.ip_proto:
            attributes.append(("FRA_IP_PROTO", rule.ip_proto))
        if not rule.table:
            attributes.remove(("FRA_TABLE", 0))
        fields = {
            "family": _af(rule.family),
            "src_len": src_len,
            "dst_len": dst_len,
            "table": rule.table if rule.table < 256 else 0,
            "action": _TO_TABLE if add or rule.table else 0,
        }
        kind, flags = (_NEWRULE, _CREATE) if add else (_DELRULE, 0)
        return _message(RuleMessage, kind, flags, fields, attributes), tuple(stand_ins)

    return _shaped(key, values, build)


def route_message(route: Route, index: int, *, add: bool) -> bytearray:
    """RTM_NEWROUTE (replace) or RTM_DELROUTE of a unicast route on the link with ``index``."""
    dst, length = _split(route.dst)
    family = route.family
    key = ("route", add, family, route.table, length, bool(route.gateway), bool(route.prefsrc), route.metric)
    texts = [
        text for text, given in ((dst, length), (route.gateway, route.gateway), (route.prefsrc, route.prefsrc)) if given
    ]
    values = (_u32(index), *map(pack_address, texts))

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        attributes: Attributes = [("RTA_TABLE", route.table), ("RTA_OIF", _INDEX)]
        stand_ins = [_u32(_INDEX)]
        for which, (name, given) in enumerate(
            (("RTA_DST", length), ("RTA_GATEWAY", route.gateway), ("RTA_PREFSRC", route.prefsrc))
        ):
            if given:
                attributes.append((name, _stand_in(family, which)))
                stand_ins.append(pack_address(_stand_in(family, which)))
        if route.metric:
            attributes.append(("RTA_PRIORITY", route.metric))
        link_scope = not route.gateway and family == 4
        fields = {
            "family": _af(family),
            "dst_len": length,
            "table": route.table if route.table < 256 else 0,
            # A delete matches any protocol and, by "nowhere", any scope.
            "proto": _RT_BOOT if add else 0,
            "scope": (_SCOPE_LINK if link_scope else 0) if add else _SCOPE_NOWHERE,
            "type": _UNICAST if add else 0,
        }
        kind, flags = (_NEWROUTE, _CREATE | _REPLACE) if add else (_DELROUTE, 0)
        return _message(RouteMessage, kind, flags, fields, attributes), tuple(stand_ins)

    return _shaped(key, values, build)


def address_message(item: Address, index: int, *, add: bool) -> bytearray:
    """RTM_NEWADDR (exclusive) or RTM_DELADDR."""
    address, length = _split(item.address)
    family = family_of(address)
    packed = pack_address(address)
    values = (_u32(index), packed) if family == 6 else (_u32(index), packed, packed)

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        attributes: Attributes = [("IFA_ADDRESS", _stand_in(family, 0))]
        stand_ins = [_u32(_INDEX), pack_address(_stand_in(family, 0))]
        if family == 4:
            attributes.append(("IFA_LOCAL", _stand_in(family, 1)))
            stand_ins.append(pack_address(_stand_in(family, 1)))
        if add:
            # EC2 assigns every address once: nothing to detect, nothing to wait for.
            attributes.append(("IFA_FLAGS", _NOPREFIXROUTE | (_NODAD if family == 6 else 0)))
        fields = {"family": _af(family), "prefixlen": length, "index": _INDEX, "scope": 0}
        kind, flags = (_NEWADDR, _CREATE | _EXCL) if add else (_DELADDR, 0)
        return _message(AddressMessage, kind, flags, fields, attributes), tuple(stand_ins)

    return _shaped(("address", add, family, length), values, build)


def neighbour_message(item: Neighbour, index: int, *, add: bool) -> bytearray:
    """RTM_NEWNEIGH (replace, permanent) or RTM_DELNEIGH."""
    family = family_of(item.address)
    values = (_u32(index), pack_address(item.address), bytes.fromhex(item.mac.replace(":", "")))

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        attributes = [("NDA_DST", _stand_in(family, 0)), ("NDA_LLADDR", _MAC)]
        stand_ins = (_u32(_INDEX), pack_address(_stand_in(family, 0)), bytes.fromhex(_MAC.replace(":", "")))
        fields = {"family": _af(family), "ifindex": _INDEX, "state": _NUD_PERMANENT, "flags": 0, "ndm_type": 0}
        kind, flags = (_NEWNEIGH, _CREATE | _REPLACE) if add else (_DELNEIGH, 0)
        return _message(NeighbourMessage, kind, flags, fields, attributes), stand_ins

    return _shaped(("neighbour", add, family), values, build)


def link_message(item: Link, index: int) -> bytearray:
    """RTM_NEWLINK on an existing link: up or down, MTU and MAC where given."""
    values = [_u32(index)]
    if item.mtu:
        values.append(_u32(item.mtu))
    if item.mac:
        values.append(bytes.fromhex(item.mac.replace(":", "")))

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        attributes: Attributes = []
        stand_ins = [_u32(_INDEX)]
        if item.mtu:
            attributes.append(("IFLA_MTU", _MTU))
            stand_ins.append(_u32(_MTU))
        if item.mac:
            attributes.append(("IFLA_ADDRESS", _MAC))
            stand_ins.append(bytes.fromhex(_MAC.replace(":", "")))
        fields = {"family": 0, "index": _INDEX, "flags": _IFF_UP if item.up else 0, "change": _IFF_UP}
        return _message(LinkMessage, _NEWLINK, 0, fields, attributes), tuple(stand_ins)

    return _shaped(("link", item.up, bool(item.mtu), bool(item.mac)), tuple(values), build)


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
    return bytearray(_message(LinkMessage, _NEWLINK, _CREATE | _EXCL, {"family": 0, "index": 0}, attributes))


def delete_link_message(op: DeleteLink) -> bytearray:
    def build() -> tuple[bytes, tuple[bytes, ...]]:
        return _message(LinkMessage, _DELLINK, 0, {"family": 0, "index": _INDEX}, []), (_u32(_INDEX),)

    return _shaped("delete-link", (_u32(op.index),), build)


def doom_link_message(index: int) -> bytearray:
    """RTM_NEWLINK that puts an existing link into the group of those that ``delete_doomed_message`` deletes."""

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        return _message(LinkMessage, _NEWLINK, 0, {"family": 0, "index": _INDEX}, [("IFLA_GROUP", _DOOMED)]), (
            _u32(_INDEX),
        )

    return _shaped("doom-link", (_u32(index),), build)


def delete_doomed_message() -> bytearray:
    """RTM_DELLINK of the whole group."""
    return bytearray(_message(LinkMessage, _DELLINK, 0, {"family": 0, "index": 0}, [("IFLA_GROUP", _DOOMED)]))


def pod_link_message(op: CreatePodLink, host_fd: int) -> bytearray:
    """RTM_NEWLINK of a veth pair: this end up, its peer in the namespace of ``host_fd`` with its name, MAC and MTU."""
    mac = bytes.fromhex(op.host_mac.replace(":", ""))
    values = (_u32(op.index), _padded(op.ifname), _padded(op.host_veth), mac, _u32(host_fd))

    def build() -> tuple[bytes, tuple[bytes, ...]]:
        peer = [
            ("IFLA_IFNAME", _NAME_B),
            ("IFLA_MTU", op.mtu),
            ("IFLA_TXQLEN", 0),
            ("IFLA_ADDRESS", _MAC),
            ("IFLA_NET_NS_FD", _FD),
        ]
        attributes = [
            ("IFLA_IFNAME", _NAME_A),
            ("IFLA_MTU", op.mtu),
            ("IFLA_TXQLEN", 0),
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
        fields = {"family": 0, "index": _INDEX, "flags": _IFF_UP, "change": _IFF_UP}
        message = _message(LinkMessage, _NEWLINK, _CREATE | _EXCL, fields, attributes)
        names = (_NAME_A.encode() + b"\0", _NAME_B.encode() + b"\0")
        return message, (_u32(_INDEX), *names, bytes.fromhex(_MAC.replace(":", "")), _u32(_FD))

    return _shaped(("pod-link", op.mtu), values, build)


def _padded(name: str) -> bytes:
    return name.encode().ljust(_NAME_BYTES, b"\0")
