"""Has anybody changed the packet filter? Asked of the kernel for microseconds, where a listing takes milliseconds to seconds."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from typing import Final

from vpccni_netconf.adapters import decode
from vpccni_netconf.adapters.shapes import NLM_F_REQUEST

_NETLINK_NETFILTER: Final = 12
_GET_GENERATION: Final = (10 << 8) | 16
_GENERATION_ID: Final = 1
_IPT_GET_INFO: Final = 64
_INFO_BYTES: Final = 84
_TIMEOUT_S: Final = 5

_libc = ctypes.CDLL(None, use_errno=True)


class FilterFingerprint:
    """nftables counts its transactions; a legacy table tells how many rules it has and their size."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIMEOUT_S, 0))
        self._inet = {4: socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)}
        with contextlib.suppress(OSError):  # no IPv6 in this kernel
            # Only a raw socket asks the packet filter about an option of this level.
            self._inet[6] = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)

    def close(self) -> None:
        self._netlink.close()
        for opened in self._inet.values():
            opened.close()

    def read(self) -> tuple[int, ...]:
        """Zeroes for what this kernel does not have."""
        found = [self._generation()]
        for family in self._inet:
            for table in _legacy_tables(family):
                found += self._legacy(family, table)
        return tuple(found)

    def _legacy(self, family: int, table: str) -> tuple[int, ...]:
        # struct ipt_getinfo: name, valid hooks, 5 hook entries, 5 underflows, number of entries, size
        info = ctypes.create_string_buffer(table.encode(), _INFO_BYTES)
        size = ctypes.c_uint32(_INFO_BYTES)
        level = socket.IPPROTO_IPV6 if family == 6 else socket.SOL_IP
        if _libc.getsockopt(self._inet[family].fileno(), level, _IPT_GET_INFO, info, ctypes.byref(size)):
            return ()
        return struct.unpack_from("=II", info, _INFO_BYTES - 8)

    def _generation(self) -> int:
        body = struct.pack("=BBH", 0, 0, 0)
        try:
            self._netlink.send(struct.pack("=IHHII", 16 + len(body), _GET_GENERATION, NLM_F_REQUEST, 1, 0) + body)
            for message in decode.messages(memoryview(self._netlink.recv(4096))):
                value = decode.attributes(message.body, 4).get(_GENERATION_ID)
                if message.kind != decode.NLMSG_ERROR and value is not None:
                    return int(struct.unpack(">I", value)[0])
        except OSError:
            return 0
        return 0


def _legacy_tables(family: int) -> list[str]:
    """Those that exist: asking for one that does not would make the kernel create it."""
    name = "ip6_tables_names" if family == 6 else "ip_tables_names"
    try:
        with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []
