"""rtnetlink dumps and events -> objects.

Read by hand: pyroute2's decoder needs some 0.3 ms per message, and a dump of 250 pods has a thousand.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from vpccni_netconf.domain.objects import Address, LinkFacts, Neighbour, Route, Rule

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NEWLINK, DELLINK = 16, 17
NEWADDR, DELADDR = 20, 21
NEWROUTE, DELROUTE = 24, 25
NEWNEIGH, DELNEIGH = 28, 29
NEWRULE, DELRULE = 32, 33

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_LINK: Final = struct.Struct("=BxHiII")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_RULE: Final = struct.Struct("=BBBBBBBBI")
_ADDRESS: Final = struct.Struct("=BBBBI")
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")
_U32: Final = struct.Struct("=I")
_S32: Final = struct.Struct("=i")
_HEADER_BYTES: Final = 16
_IFF_UP: Final = 1
_NUD_PERMANENT: Final = 0x80
_UNICAST: Final = 1
_TO_TABLE: Final = 1
_OF_LINKS: Final = frozenset({1, 3, 4, 5, 18, 37})
"""IFLA_ADDRESS, IFNAME, MTU, LINK, LINKINFO, LINK_NETNSID."""

Attributes = dict[int, memoryview]


class Message:
    """One netlink message of a received buffer. ``body`` starts after the netlink header."""

    __slots__ = ("body", "flags", "kind", "port", "sequence")

    def __init__(self, kind: int, flags: int, sequence: int, port: int, body: memoryview) -> None:
        self.kind = kind
        self.flags = flags
        self.sequence = sequence
        self.port = port
        self.body = body

    @property
    def errno(self) -> int:
        """Of NLMSG_ERROR: 0 is an acknowledgement, else a positive errno."""
        return -int(struct.unpack_from("=i", self.body)[0])

    @property
    def error_text(self) -> str:
        """The kernel's own words (extended acknowledgement), "" if it gave none."""
        if not self.flags & NLM_F_ACK_TLVS:
            return ""
        # error, then the header of the offending message (and its body, unless capped), then attributes
        length = _U32.unpack_from(self.body, 4)[0] if not self.flags & NLM_F_CAPPED else _HEADER_BYTES
        text = attributes(self.body, 4 + _align(length)).get(1)
        return bytes(text).rstrip(b"\0").decode(errors="replace") if text is not None else ""


def messages(buffer: memoryview) -> Iterator[Message]:
    at = 0
    while at + _HEADER_BYTES <= len(buffer):
        length, kind, flags, sequence, port = _HEADER.unpack_from(buffer, at)
        if length < _HEADER_BYTES:
            return
        yield Message(kind, flags, sequence, port, buffer[at + _HEADER_BYTES : at + length])
        at += _align(length)


def attributes(body: memoryview, at: int, wanted: frozenset[int] | None = None) -> Attributes:
    """By kind. ``wanted``: only these kinds, and no further than the last of them (links have thirty that nobody asks for)."""
    found: Attributes = {}
    end = len(body) - 3
    unpack = _ATTRIBUTE.unpack_from
    while at < end:
        length, kind = unpack(body, at)
        if length < 4:
            break
        kind &= 0x3FFF
        if wanted is None or kind in wanted:
            found[kind] = body[at + 4 : at + length]
            if wanted is not None and len(found) == len(wanted):
                break
        at += (length + 3) & -4
    return found


def _align(length: int) -> int:
    return (length + 3) & ~3


def _u32(found: Attributes, kind: int, default: int = 0) -> int:
    value = found.get(kind)
    return default if value is None else int(_U32.unpack_from(value)[0])


def _text(found: Attributes, kind: int) -> str:
    value = found.get(kind)
    return "" if value is None else bytes(value).rstrip(b"\0").decode(errors="replace")


def _ip(found: Attributes, kind: int, af: int) -> str:
    value = found.get(kind)
    return "" if value is None else socket.inet_ntop(af, value)


def link_facts(body: memoryview) -> LinkFacts:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body, 16, _OF_LINKS)
    mac = found.get(1)
    info = found.get(18)
    kind = _text(attributes(info, 0), 1) if info is not None else ""
    return LinkFacts(
        index=index,
        name=_text(found, 3),
        mac=bytes(mac).hex(":") if mac is not None else "",
        mtu=_u32(found, 4),
        up=bool(flags & _IFF_UP),
        kind=kind,
        peer_index=_u32(found, 5),
        peer_netns=int(_S32.unpack_from(found[37])[0]) if 37 in found else -1,
    )


def route(body: memoryview, names: Mapping[int, str]) -> Route | None:
    """None for what is not a plain unicast route over one known link (local, broadcast, multipath, cached, …)."""
    af, dst_len, src_len, tos, table, _, _, kind, flags = _ROUTE.unpack_from(body)
    if kind != _UNICAST or src_len or tos or flags & 0x200:
        return None
    found = attributes(body, 12)
    name = names.get(_u32(found, 4))
    if name is None:
        return None
    zero = "::" if af == socket.AF_INET6 else "0.0.0.0"
    metric = _u32(found, 6)
    if af == socket.AF_INET6 and metric == 1024:
        metric = 0  # what the kernel makes of an unspecified IPv6 metric
    return Route(
        table=_u32(found, 15, table),
        dst=f"{_ip(found, 1, af) or zero}/{dst_len}",
        dev=name,
        gateway=_ip(found, 5, af),
        prefsrc=_ip(found, 7, af),
        metric=metric,
    )


def rule(body: memoryview) -> Rule | None:
    """None for rules that do something else than look up a table, or match on what we never use (ports, uids, oif, …)."""
    af, dst_len, src_len, tos, table, _, _, action, flags = _RULE.unpack_from(body)
    found = attributes(body, 12)
    foreign = found.keys() & {11, 12, 17, 19, 20, 23, 24, 25}
    if action != _TO_TABLE or tos or flags & 0x2 or foreign or af not in (socket.AF_INET, socket.AF_INET6):
        return None
    mark = _u32(found, 10)
    protocol = found.get(22)
    return Rule(
        family=6 if af == socket.AF_INET6 else 4,
        priority=_u32(found, 6),
        table=_u32(found, 15, table),
        src=f"{_ip(found, 2, af)}/{src_len}" if src_len else "",
        dst=f"{_ip(found, 1, af)}/{dst_len}" if dst_len else "",
        fwmark=mark,
        fwmask=_u32(found, 16) if mark else 0,
        iif=_text(found, 3),
        ip_proto=protocol[0] if protocol is not None else 0,
    )


def address(body: memoryview, names: Mapping[int, str]) -> Address | None:
    af, length, _, _, index = _ADDRESS.unpack_from(body)
    found = attributes(body, 8)
    text = _ip(found, 2, af) or _ip(found, 1, af)
    name = names.get(index)
    return Address(name, f"{text}/{length}") if name is not None and text else None


def neighbour(body: memoryview, names: Mapping[int, str], *, any_state: bool = False) -> Neighbour | None:
    """None unless permanent. ``any_state``: of an entry that was deleted; its state and MAC are gone before it is."""
    af, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
    found = attributes(body, 12)
    mac = found.get(2)
    name = names.get(index)
    if name is None or af not in (socket.AF_INET, socket.AF_INET6):
        return None
    if not any_state and (not state & _NUD_PERMANENT or mac is None):
        return None
    return Neighbour(name, _ip(found, 1, af), bytes(mac).hex(":") if mac is not None else "")
