"""rtnetlink in a given network namespace: many changes in one send, every acknowledgement checked.

pyroute2's message classes encode; the socket is a plain one, so that it can be opened inside a namespace by a passing
thread and used from a process that runs an event loop.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from vpccni_lab.linux.syscalls import in_netns

NLM_F_REQUEST: Final = 1
NLM_F_ACK: Final = 4
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLMSG_ERROR: Final = 2

RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR = 20
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWNEIGH = 28

RTN_UNICAST, RTN_BLACKHOLE = 1, 6
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTNH_F_ONLINK = 4
RTPROT_STATIC = 4
NUD_PERMANENT = 0x80
IFF_UP = 1
MAIN_TABLE = 254
IFA_F_NODAD = 2
SOL_NETLINK, NETLINK_EXT_ACK, NETLINK_CAP_ACK = 270, 11, 10
_HEADER = struct.Struct("=IHHII")


@dataclasses.dataclass(frozen=True)
class Change:
    """One rtnetlink request. ``tolerate``: errno values that mean it is already as wanted."""

    what: str
    kind: int
    flags: int
    message: Any
    tolerate: frozenset[int] = frozenset()


def family_of(address: str) -> int:
    """AF_INET6 for an address or CIDR with a colon, else AF_INET."""
    return int(socket.AF_INET6 if ":" in address else socket.AF_INET)


def link_add_veth(
    name: str, index: int, *, mtu: int, peer: str, peer_netns_fd: int, peer_mac: str | None = None
) -> Change:
    """A veth pair: ``name`` here and ``peer`` in the namespace behind ``peer_netns_fd``, both down. MTU in bytes.

    ``index``: this end's interface index. It must differ from the peer's: with equal ones Linux takes up to a second to
    notice that the link has a carrier (net/core/link_watch.c treats such a change as not urgent).
    """
    peer_message = ifinfmsg()
    peer_message["attrs"] = [("IFLA_IFNAME", peer), ("IFLA_MTU", mtu), ("IFLA_NET_NS_FD", peer_netns_fd)]
    if peer_mac:
        peer_message["attrs"].append(("IFLA_ADDRESS", peer_mac))
    data = {"attrs": [("VETH_INFO_PEER", peer_message)]}
    message = ifinfmsg()
    message["index"] = index
    message["attrs"] = [
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}),
    ]
    return Change(f"link add {name} peer {peer}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, message)


def link_add_vlan(name: str, index: int, parent: int, vlan_id: int, *, mtu: int) -> Change:
    """A VLAN device on the link ``parent``, down. EOPNOTSUPP: the kernel has none."""
    message = ifinfmsg()
    message["index"] = index
    message["attrs"] = [
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu),
        ("IFLA_LINK", parent),
        (
            "IFLA_LINKINFO",
            {"attrs": [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", {"attrs": [("IFLA_VLAN_ID", vlan_id)]})]},
        ),
    ]
    return Change(f"link add {name} type vlan id {vlan_id}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, message)


def link_up(index: int, mtu: int | None = None) -> Change:
    """Sets link ``index`` up, and its MTU when given."""
    message = ifinfmsg()
    message["index"] = index
    message["flags"] = IFF_UP
    message["change"] = IFF_UP
    message["attrs"] = [("IFLA_MTU", mtu)] if mtu else []
    return Change(f"link set {index} up", RTM_SETLINK, 0, message)


def link_del(index: int) -> Change:
    """Deletes link ``index``; one that is gone is fine."""
    message = ifinfmsg()
    message["index"] = index
    return Change(f"link del {index}", RTM_DELLINK, 0, message, frozenset({errno.ENODEV}))


def addr_add(index: int, cidr: str, *, never_source: bool = False) -> Change:
    """Adds the address ``cidr`` (with prefix length) to link ``index``; IPv6 without duplicate detection.

    ``never_source``: the kernel shall not choose it as the source of what is sent to others.
    """
    address, _, length = cidr.partition("/")
    message = ifaddrmsg()
    message["family"] = family_of(address)
    message["prefixlen"] = int(length)
    message["index"] = index
    # link-local scope for fe80, so that the kernel treats it as such
    message["scope"] = RT_SCOPE_LINK if address.startswith("fe80") else RT_SCOPE_UNIVERSE
    if message["family"] == socket.AF_INET6:
        message["flags"] = IFA_F_NODAD
        message["attrs"] = [("IFA_ADDRESS", address)]
        if never_source:  # deprecated: RFC 6724, rule 3
            forever = {"ifa_preferred": 0, "ifa_valid": 0xFFFFFFFF, "cstamp": 0, "tstamp": 0}
            message["attrs"].append(("IFA_CACHEINFO", forever))
    else:
        message["attrs"] = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
        if never_source:
            message["scope"] = RT_SCOPE_HOST
    return Change(
        f"addr add {cidr} dev {index}", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, message, frozenset({errno.EEXIST})
    )


def _route(dst: str, oif: int | None, via: str | None, kind: int) -> Any:
    network, _, length = dst.partition("/")
    message = rtmsg()
    message["family"] = family_of(dst)
    message["dst_len"] = int(length)
    message["table"] = MAIN_TABLE
    message["proto"] = RTPROT_STATIC
    message["type"] = kind
    message["scope"] = RT_SCOPE_LINK if oif is not None and via is None else RT_SCOPE_UNIVERSE
    message["attrs"] = []
    if int(length):
        message["attrs"].append(("RTA_DST", network))
    if oif is not None:
        message["attrs"].append(("RTA_OIF", oif))
    if via is not None:
        message["attrs"].append(("RTA_GATEWAY", via))
        if oif is not None:
            message["flags"] = RTNH_F_ONLINK
    return message


def route_replace(dst: str, oif: int | None = None, via: str | None = None) -> Change:
    """``route replace dst [via gateway onlink] [dev oif]`` in the main table."""
    return Change(
        f"route replace {dst} via {via} dev {oif}",
        RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_REPLACE,
        _route(dst, oif, via, RTN_UNICAST),
    )


def blackhole_replace(dst: str) -> Change:
    """Packets to ``dst`` are dropped without an answer, as EC2 does with addresses that nobody holds."""
    return Change(
        f"route replace blackhole {dst}",
        RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_REPLACE,
        _route(dst, None, None, RTN_BLACKHOLE),
    )


def route_del(dst: str, oif: int | None = None) -> Change:
    """Deletes the route to ``dst``; one that is gone is fine."""
    message = _route(dst, oif, None, RTN_UNICAST)
    message["scope"] = 255 if family_of(dst) == socket.AF_INET else 0  # any scope
    message["proto"] = 0
    message["type"] = 0 if oif is None else RTN_UNICAST
    return Change(f"route del {dst} dev {oif}", RTM_DELROUTE, 0, message, frozenset({errno.ESRCH, errno.ENODEV}))


def neighbour_permanent(index: int, address: str, mac: str) -> Change:
    """``neigh replace address lladdr mac dev index nud permanent``."""
    message = ndmsg()
    message["family"] = family_of(address)
    message["ifindex"] = index
    message["state"] = NUD_PERMANENT
    message["attrs"] = [("NDA_DST", address), ("NDA_LLADDR", mac)]
    return Change(f"neigh {address} {mac} dev {index}", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, message)


class KernelRefusedError(OSError):
    """The kernel answered a change with an errno; the message says which change."""


class RouteSocket:
    """A netlink socket that lives in one network namespace. Not thread safe. Close it, or use it as a context."""

    def __init__(self, netns: str | os.PathLike[str]) -> None:
        self.netns = os.fspath(netns)
        self._socket = in_netns(netns, self._open)
        self._sequence = 0

    @staticmethod
    def _open() -> socket.socket:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        sock.bind((0, 0))
        return sock

    def __enter__(self) -> RouteSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket; further use fails."""
        self._socket.close()

    def apply(self, changes: Iterable[Change], *, batch: int = 64) -> None:
        """Sends the changes in order. All are tried; the first refusal is raised afterwards as KernelRefusedError."""
        pending = list(changes)
        first: KernelRefusedError | None = None
        for start in range(0, len(pending), batch):
            refused = self._apply_batch(pending[start : start + batch])
            first = first or refused
        if first is not None:
            raise first

    def _apply_batch(self, changes: Sequence[Change]) -> KernelRefusedError | None:
        by_sequence: dict[int, Change] = {}
        payload = bytearray()
        for change in changes:
            self._sequence += 1
            by_sequence[self._sequence] = change
            header = change.message["header"]
            header["type"] = change.kind
            header["flags"] = NLM_F_REQUEST | NLM_F_ACK | change.flags
            header["sequence_number"] = self._sequence
            header["pid"] = 0
            change.message.reset()
            change.message.encode()
            payload += bytes(change.message.data)
        self._socket.send(payload)
        first: KernelRefusedError | None = None
        while by_sequence:
            for sequence, error in self._errors(self._socket.recv(1 << 16)):
                change_done = by_sequence.pop(sequence, None)
                if change_done is None or error == 0 or error in change_done.tolerate:
                    continue
                if first is None:
                    first = KernelRefusedError(error, f"{change_done.what}: {os.strerror(error)}")
        return first

    @staticmethod
    def _errors(data: bytes) -> Iterable[tuple[int, int]]:
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
            if kind == NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, offset + _HEADER.size)
                yield sequence, -code
            offset += (length + 3) & ~3

    def index(self, name: str) -> int:
        """Interface index of the link ``name`` in this namespace. Raises OSError (ENODEV) when there is none."""
        return in_netns(self.netns, lambda: socket.if_nametoindex(name))

    def links(self) -> dict[str, int]:
        """Name -> interface index of every link in this namespace."""
        return {name: index for index, name in in_netns(self.netns, socket.if_nameindex)}
