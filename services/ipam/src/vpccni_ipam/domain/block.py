"""The free addresses of one prefix, or of all secondary IPs of one ENI, in the order in which they are given out."""

from __future__ import annotations

import collections
import ipaddress
from typing import Final

# A /80 has 2^48 addresses: walk through this many before one is used again, so that memory stays bounded.
FRESH_MAX: Final = 4096
NOWHERE: Final = 1 << 62
"""Order entry of what gives no address."""


class Block:
    """Addresses that are picked from together; free ones leave in the order in which they became free.

    A prefix materialises its addresses lazily, lowest first (network and broadcast address included, as the original
    does). ``used`` counts assigned, ``cooling`` released addresses that cool down. ``late``: see PoolEni.
    """

    __slots__ = ("_base", "_offset", "_size", "_taken", "_v6", "cidr", "cooling", "eni_id", "entry", "free", "late", "members", "rank", "used")  # fmt: skip

    def __init__(self, eni_id: str, rank: int, cidr: str = "") -> None:
        self.eni_id = eni_id
        self.rank = rank
        self.cidr = cidr
        self.used = 0
        self.cooling = 0
        self.free: collections.OrderedDict[str, None] = collections.OrderedDict()
        self.members: set[str] = set()
        self.entry = NOWHERE
        self.late = False
        self._taken: set[int] = set()
        self._base = self._offset = self._size = 0
        self._v6 = False
        if cidr:
            network = ipaddress.ip_network(cidr)
            self._base = int(network.network_address)
            self._size = network.num_addresses
            self._v6 = network.version == 6

    @property
    def is_prefix(self) -> bool:
        return self._size > 0

    @property
    def size(self) -> int:
        """All addresses of the block."""
        return self._size or len(self.members)

    @property
    def free_count(self) -> int:
        return len(self.free) + self._size - self._offset - len(self._taken)

    def cidr_of(self, address: str) -> str:
        return self.cidr or f"{address}/32"

    def holds(self, address: str) -> bool:
        if not self._size:
            return address in self.members
        return 0 <= self._index(address) < self._size

    def take(self) -> str:
        """The address that has been free for longest. The caller checks ``free_count`` first."""
        if self._offset < self._size and (self._offset < FRESH_MAX or not self.free):
            while self._offset in self._taken:
                self._taken.discard(self._offset)
                self._offset += 1
            if self._offset < self._size:
                number = self._base + self._offset
                self._offset += 1
                return str(ipaddress.IPv6Address(number) if self._v6 else ipaddress.IPv4Address(number))
        return self.free.popitem(last=False)[0]

    def give_back(self, address: str) -> None:
        self.free[address] = None

    def mark_taken(self, address: str) -> None:
        """An address that is in use already when the block becomes known (restored)."""
        if self._size:
            index = self._index(address)
            if index >= self._offset:
                self._taken.add(index)
            else:
                self.free.pop(address, None)
        else:
            self.members.add(address)
            self.free.pop(address, None)

    def _index(self, address: str) -> int:
        found = ipaddress.ip_address(address)
        return int(found) - self._base if (found.version == 6) == self._v6 else -1
