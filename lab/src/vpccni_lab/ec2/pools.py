"""Address accounting of one subnet: which addresses and prefixes are free, and EC2's rules of choosing them.

The first four addresses and the last one of a subnet are EC2's own. Prefixes are aligned: a /28 on 16 addresses, a /80
on 2**48. CIDR reservations: nothing is chosen automatically from one of kind "explicit"; one of kind "prefix" is where
automatic prefixes come from first, and single addresses are not chosen from it.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeVar

T = TypeVar("T")
_FULL: Final = 0xFFFF
_RANDOM_TRIES: Final = 16


class PoolError(Exception):
    """Base of what a pool refuses."""


class PoolFullError(PoolError):
    """Fewer free addresses than asked for."""


class NoBlockError(PoolError):
    """Enough free addresses, but no aligned block of them (fragmentation)."""


class AddressTakenError(PoolError):
    """The address, or part of the prefix, is in use."""


class AddressRefusedError(PoolError):
    """Outside the subnet, one of EC2's own, or not aligned."""


class Reservations:
    """Ranges of a subnet set aside, as inclusive integer bounds."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, str]] = []

    def add(self, network: IPv4Network | IPv6Network, kind: str) -> None:
        low, high = int(network.network_address), int(network.broadcast_address)
        if any(low <= other_high and other_low <= high for other_low, other_high, _ in self._ranges):
            raise AddressTakenError(f"{network} overlaps another reservation")
        self._ranges.append((low, high, kind))

    def kind_at(self, low: int, high: int) -> str:
        """Kind of the reservation that [low, high] touches, "" if none."""
        for other_low, other_high, kind in self._ranges:
            if low <= other_high and other_low <= high:
                return kind
        return ""

    def of_kind(self, kind: str) -> list[tuple[int, int]]:
        return [(low, high) for low, high, other in self._ranges if other == kind]


def _all_or_nothing(count: int, take: Callable[[], T], give_back: Callable[[T], None]) -> list[T]:
    taken: list[T] = []
    try:
        for _ in range(count):
            taken.append(take())  # noqa: PERF401 (what was taken before an error is given back)
    except PoolError:
        for item in taken:
            give_back(item)
        raise
    return taken


class Ipv4Pool:
    """``rng`` None: lowest free address first; else a random free one, as EC2 does."""

    def __init__(self, network: IPv4Network, rng: random.Random | None = None) -> None:
        self.network = network
        self.reservations = Reservations()
        self._rng = rng
        self._base = int(network.network_address)
        self._size = network.num_addresses
        self._first_block = self._base >> 4
        self._blocks = self._size >> 4
        self._used: dict[int, int] = {}  # block number -> bit mask of used addresses
        self._prefixes: set[int] = set()  # block numbers held as prefixes
        self.free = self._size
        for offset in (0, 1, 2, 3, self._size - 1):
            self._mark(self._base + offset)
        self._own = {self._base + offset for offset in (0, 1, 2, 3, self._size - 1)}

    def _mark(self, address: int) -> None:
        self._used[address >> 4] = self._used.get(address >> 4, 0) | 1 << (address & 15)
        self.free -= 1

    def is_used(self, address: int) -> bool:
        return bool(self._used.get(address >> 4, 0) >> (address & 15) & 1)

    def _auto_free(self, address: int) -> bool:
        return not self.is_used(address) and not self.reservations.kind_at(address, address)

    def _scan_start(self, span: int) -> int:
        return self._rng.randrange(span) if self._rng else 0

    def _choose(self) -> int:
        if self._rng:
            for _ in range(_RANDOM_TRIES):
                address = self._base + self._rng.randrange(self._size)
                if self._auto_free(address):
                    return address
        start = self._scan_start(self._blocks)
        for step in range(self._blocks):
            block = self._first_block + (start + step) % self._blocks
            if self._used.get(block, 0) == _FULL:
                continue
            for address in range(block << 4, (block + 1) << 4):
                if self._auto_free(address):
                    return address
        raise PoolFullError(str(self.network))

    def take_any(self, count: int) -> list[int]:
        """``count`` free addresses, or none at all. Raises PoolFullError."""
        if count > self.free:
            raise PoolFullError(f"{self.network}: {count} asked for, {self.free} free")
        return _all_or_nothing(count, self._take_one, self.release)

    def _take_one(self) -> int:
        address = self._choose()
        self._mark(address)
        return address

    def take(self, address: int) -> int:
        """This address. Raises AddressRefusedError, AddressTakenError."""
        if not self._base <= address < self._base + self._size or address in self._own:
            raise AddressRefusedError(str(address))
        if self.is_used(address):
            raise AddressTakenError(str(address))
        self._mark(address)
        return address

    def release(self, address: int) -> None:
        """Give back one address that was taken."""
        if not self.is_used(address) or address in self._own or (address >> 4) in self._prefixes:
            raise ValueError(f"{address} is not a taken address of {self.network}")
        self._used[address >> 4] &= ~(1 << (address & 15))
        self.free += 1

    def take_any_prefixes(self, count: int) -> list[int]:
        """First addresses of ``count`` free /28 blocks, or none at all. Raises PoolFullError, NoBlockError."""
        if count * 16 > self.free:
            raise PoolFullError(f"{self.network}: {count} prefixes asked for, {self.free} addresses free")
        return _all_or_nothing(count, self._take_any_prefix, self.release_prefix)

    def _take_any_prefix(self) -> int:
        for low, high in self.reservations.of_kind("prefix"):
            block = self._free_block((low + 15) >> 4, (high + 1) >> 4, "prefix")
            if block is not None:
                return self.take_prefix(block << 4)
        block = self._free_block(self._first_block, self._first_block + self._blocks, "")
        if block is None:
            raise NoBlockError(str(self.network))
        return self.take_prefix(block << 4)

    def _free_block(self, first: int, end: int, kind: str) -> int | None:
        span = end - first
        if span <= 0:
            return None
        start = self._scan_start(span)
        for step in range(span):
            block = first + (start + step) % span
            if not self._used.get(block) and self.reservations.kind_at(block << 4, (block << 4) + 15) == kind:
                return block
        return None

    def take_prefix(self, base: int) -> int:
        """The /28 that starts at ``base``. Raises AddressRefusedError, AddressTakenError."""
        if base & 15 or not self._base <= base < self._base + self._size:
            raise AddressRefusedError(str(base))
        if any(base <= own <= base + 15 for own in self._own):
            raise AddressRefusedError(str(base))
        if self._used.get(base >> 4):
            raise AddressTakenError(str(base))
        self._used[base >> 4] = _FULL
        self._prefixes.add(base >> 4)
        self.free -= 16
        return base

    def release_prefix(self, base: int) -> None:
        self._prefixes.remove(base >> 4)
        self._used[base >> 4] = 0
        self.free += 16


class Ipv6Pool:
    """IPv6 addresses and /80 prefixes of a subnet. Choice is random with ``rng``, else ascending."""

    def __init__(self, network: IPv6Network, rng: random.Random | None = None) -> None:
        self.network = network
        self.reservations = Reservations()
        self._rng = rng
        self._base = int(network.network_address)
        self._last = int(network.broadcast_address)
        self._own = {self._base + offset for offset in range(4)} | {self._last}
        self._used: set[int] = set()
        self._per_block: collections.Counter[int] = collections.Counter(address >> 48 for address in self._own)
        self._prefixes: set[int] = set()  # numbers of /80 blocks
        self._next = 4

    def is_used(self, address: int) -> bool:
        return address in self._used or address in self._own or (address >> 48) in self._prefixes

    def _choose(self) -> int:
        span = self._last - self._base + 1
        while True:
            if self._rng:
                address = self._base + self._rng.randrange(span)
            else:
                address, self._next = self._base + self._next, self._next + 1
            if not self.is_used(address) and not self.reservations.kind_at(address, address):
                return address

    def take_any(self, count: int) -> list[int]:
        return [self.take(self._choose()) for _ in range(count)]

    def take(self, address: int) -> int:
        """Raises AddressRefusedError, AddressTakenError."""
        if not self._base <= address <= self._last or address in self._own:
            raise AddressRefusedError(str(address))
        if self.is_used(address):
            raise AddressTakenError(str(address))
        self._used.add(address)
        self._per_block[address >> 48] += 1
        return address

    def release(self, address: int) -> None:
        self._used.remove(address)
        self._per_block[address >> 48] -= 1

    def take_any_prefixes(self, count: int) -> list[int]:
        """First addresses of ``count`` free /80 blocks, or none at all. Raises NoBlockError."""
        return _all_or_nothing(count, self._take_any_prefix, self.release_prefix)

    def _take_any_prefix(self) -> int:
        for low, high in self.reservations.of_kind("prefix"):
            block = self._free_block(range((low + (1 << 48) - 1) >> 48, (high + 1) >> 48), "prefix")
            if block is not None:
                return self.take_prefix(block << 48)
        block = self._free_block(range(self._base >> 48, (self._last >> 48) + 1), "")
        if block is None:
            raise NoBlockError(str(self.network))
        return self.take_prefix(block << 48)

    def _free_block(self, blocks: range, kind: str) -> int | None:
        if not blocks:
            return None
        start = self._rng.randrange(len(blocks)) if self._rng else 0
        for step in range(len(blocks)):
            block = blocks[(start + step) % len(blocks)]
            if (
                self._block_free(block)
                and self.reservations.kind_at(block << 48, (block << 48) + (1 << 48) - 1) == kind
            ):
                return block
        return None

    def _block_free(self, block: int) -> bool:
        return block not in self._prefixes and not self._per_block[block]

    def take_prefix(self, base: int) -> int:
        """The /80 that starts at ``base``. Raises AddressRefusedError, AddressTakenError."""
        if base & ((1 << 48) - 1) or not self._base <= base <= self._last:
            raise AddressRefusedError(str(base))
        if any(own >> 48 == base >> 48 for own in self._own):
            raise AddressRefusedError(str(base))
        if not self._block_free(base >> 48):
            raise AddressTakenError(str(base))
        self._prefixes.add(base >> 48)
        return base

    def release_prefix(self, base: int) -> None:
        self._prefixes.remove(base >> 48)


def take_each(values: Iterable[int], take: Callable[[int], int], give_back: Callable[[int], None]) -> list[int]:
    """Take all of these or none; the pool's error is raised for the first that is refused."""
    pending = iter(values)
    taken: list[int] = []
    try:
        for value in pending:
            taken.append(take(value))  # noqa: PERF401 (what was taken before an error is given back)
    except PoolError:
        for value in taken:
            give_back(value)
        raise
    return taken
