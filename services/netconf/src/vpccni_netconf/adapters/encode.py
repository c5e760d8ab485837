"""Rules, routes, addresses and neighbour entries -> rtnetlink messages."""

from __future__ import annotations

import socket
from typing import Final

from vpccni_netconf.adapters.rtnl_classes import AddressMessage, NeighbourMessage, RouteMessage, RuleMessage
from vpccni_netconf.adapters.shapes import (
    CREATE,
    EXCL,
    INDEX,
    MAC,
    REPLACE,
    Attributes,
    Built,
    message,
    pack_address,
    pack_mac,
    shaped,
    shaped_once,
    stand_in,
    u32,
)
from vpccni_netconf.domain.names import family_of
from vpccni_netconf.domain.objects import Address, Neighbour, Route, Rule

_NEWADDR, _DELADDR = 20, 21
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEIGH, _DELNEIGH = 28, 29
_NEWRULE, _DELRULE = 32, 33
_SCOPE_LINK: Final = 253
_SCOPE_NOWHERE: Final = 255
_RT_BOOT: Final = 3
_UNICAST: Final = 1
_TO_TABLE: Final = 1
_NUD_PERMANENT: Final = 0x80
_NOPREFIXROUTE: Final = 0x200
_NODAD: Final = 0x02


def _af(family: int) -> int:
    return socket.AF_INET6 if family == 6 else socket.AF_INET


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
    values = tuple(pack_address(text) for text in (src, dst) if text)

    def build() -> Built:
        fields = {
            "family": _af(rule.family),
            "src_len": src_len,
            "dst_len": dst_len,
            "table": rule.table if rule.table < 256 else 0,
            "action": _TO_TABLE if add or rule.table else 0,
        }
        stand_ins = [stand_in(rule.family, which) for which, text in enumerate((src, dst)) if text]
        kind, flags = (_NEWRULE, CREATE) if add else (_DELRULE, 0)
        made = message(RuleMessage, kind, flags, fields, _rule_attributes(rule))
        return made, tuple(map(pack_address, stand_ins))

    if rule.iif:  # a name per pod: no shape of its own is kept for each
        return shaped_once(build, values)
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
        rule.ip_proto,
    )
    return shaped((*key, bool(src), bool(dst)), values, build)


def _rule_attributes(rule: Rule) -> Attributes:
    # The priority is always sent, 0 too: without the attribute an add gets one of the kernel's choice.
    attributes: Attributes = [("FRA_PRIORITY", rule.priority)]
    if rule.table:
        attributes.append(("FRA_TABLE", rule.table))
    if rule.src:
        attributes.append(("FRA_SRC", stand_in(rule.family, 0)))
    if rule.dst:
        attributes.append(("FRA_DST", stand_in(rule.family, 1)))
    if rule.fwmark:
        attributes += [("FRA_FWMARK", rule.fwmark), ("FRA_FWMASK", rule.fwmask)]
    if rule.iif:
        attributes.append(("FRA_IIFNAME", rule.iif))
    if rule.ip_proto:
        attributes.append(("FRA_IP_PROTO", rule.ip_proto))
    return attributes


def route_message(route: Route, index: int, *, add: bool) -> bytearray:
    """RTM_NEWROUTE (replace) or RTM_DELROUTE of a unicast route on the link with ``index``."""
    dst, length = _split(route.dst)
    family = route.family
    key = ("route", add, family, route.table, length, bool(route.gateway), bool(route.prefsrc), route.metric)
    texts = [
        text for text, given in ((dst, length), (route.gateway, route.gateway), (route.prefsrc, route.prefsrc)) if given
    ]
    values = (u32(index), *map(pack_address, texts))

    def build() -> Built:
        attributes: Attributes = [("RTA_TABLE", route.table), ("RTA_OIF", INDEX)]
        stand_ins = [u32(INDEX)]
        for which, (name, given) in enumerate(
            (("RTA_DST", length), ("RTA_GATEWAY", route.gateway), ("RTA_PREFSRC", route.prefsrc))
        ):
            if given:
                attributes.append((name, stand_in(family, which)))
                stand_ins.append(pack_address(stand_in(family, which)))
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
        kind, flags = (_NEWROUTE, CREATE | REPLACE) if add else (_DELROUTE, 0)
        return message(RouteMessage, kind, flags, fields, attributes), tuple(stand_ins)

    return shaped(key, values, build)


def address_message(item: Address, index: int, *, add: bool) -> bytearray:
    """RTM_NEWADDR (exclusive) or RTM_DELADDR."""
    address, length = _split(item.address)
    family = family_of(address)
    packed = pack_address(address)
    values = (u32(index), packed) if family == 6 else (u32(index), packed, packed)

    def build() -> Built:
        attributes: Attributes = [("IFA_ADDRESS", stand_in(family, 0))]
        stand_ins = [u32(INDEX), pack_address(stand_in(family, 0))]
        if family == 4:
            attributes.append(("IFA_LOCAL", stand_in(family, 1)))
            stand_ins.append(pack_address(stand_in(family, 1)))
        if add:
            # EC2 assigns every address once: nothing to detect, nothing to wait for.
            quiet = 0 if item.link_scope else _NOPREFIXROUTE
            attributes.append(("IFA_FLAGS", quiet | (_NODAD if family == 6 else 0)))
        scope = _SCOPE_LINK if item.link_scope else 0
        fields = {"family": _af(family), "prefixlen": length, "index": INDEX, "scope": scope}
        kind, flags = (_NEWADDR, CREATE | EXCL) if add else (_DELADDR, 0)
        return message(AddressMessage, kind, flags, fields, attributes), tuple(stand_ins)

    return shaped(("address", add, family, length, item.link_scope), values, build)


def neighbour_message(item: Neighbour, index: int, *, add: bool) -> bytearray:
    """RTM_NEWNEIGH (replace, permanent) or RTM_DELNEIGH."""
    family = family_of(item.address)
    values = (u32(index), pack_address(item.address), pack_mac(item.mac))

    def build() -> Built:
        attributes = [("NDA_DST", stand_in(family, 0)), ("NDA_LLADDR", MAC)]
        stand_ins = (u32(INDEX), pack_address(stand_in(family, 0)), pack_mac(MAC))
        fields = {"family": _af(family), "ifindex": INDEX, "state": _NUD_PERMANENT, "flags": 0, "ndm_type": 0}
        kind, flags = (_NEWNEIGH, CREATE | REPLACE) if add else (_DELNEIGH, 0)
        return message(NeighbourMessage, kind, flags, fields, attributes), stand_ins

    return shaped(("neighbour", add, family), values, build)
