"""What the use cases need of the kernel. Everything here blocks and is called on the kernel thread."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Mapping, Sequence
from typing import Protocol

from vpccni_api.reasons import ReasonError

from vpccni_netconf.domain.backend import Backend, HostFilter
from vpccni_netconf.domain.drift import Change
from vpccni_netconf.domain.objects import Observed
from vpccni_netconf.domain.ops import Op


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """What to look at. ``families``: of rules, routes and addresses; ``tables``: of routes; ``sysctls``: paths. Without
    ``links`` there can be no routes, addresses and neighbours, as these name their link."""

    families: tuple[int, ...] = (4,)
    links: bool = True
    rules: bool = False
    tables: tuple[int, ...] = ()
    addresses: bool = False
    neighbours: bool = False
    sysctls: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """``changes``: ops that changed something. ``failures``: those that were refused, in order."""

    changes: int
    failures: tuple[tuple[Op, ReasonError], ...] = ()


class Namespace(Protocol):
    """One network namespace."""

    def observe(self, query: Query) -> Observed:
        """Raises KERNEL_REFUSED."""

    def attempt(self, ops: Sequence[Op]) -> Outcome:
        """Carries all out in order; goes on after one that is refused."""

    def apply(self, ops: Sequence[Op]) -> int:
        """As ``attempt``; then raises the first failure. The number of changes."""

    def link_index(self, name: str) -> int:
        """0 when there is no such link."""

    def listen(self) -> socket.socket:
        """For ``PodEvents``. Raises KERNEL_REFUSED."""

    def settle_carrier(self, name: str) -> None:
        """Returns when the link passes packets if its other end is up; a link that is not there is passed over."""


class Kernel(Protocol):
    """The node's own namespace, and those of pods by path."""

    @property
    def host(self) -> Namespace: ...

    def pod(self, path: str) -> contextlib.AbstractContextManager[Namespace]:
        """Opens a pod's namespace. Raises NETNS_GONE, NETNS_INVALID."""


class Background(Protocol):
    """Slow leftovers of a teardown, done after the caller has its answer."""

    def delete_link(self, index: int, name: str) -> None: ...

    def is_leaving(self, index: int) -> bool:
        """True from ``delete_link`` until the link is gone."""

    def flush_connections(self, address: str) -> None: ...


class PacketFilter(Protocol):
    """iptables and nftables of the host. Blocks; raises PACKET_FILTER_FAILED with the tool's output."""

    def survey(self) -> HostFilter: ...

    def fingerprint(self) -> tuple[int, ...]:
        """Cheap; differs when rules were added, removed or replaced (of legacy tables: when their number or size changed)."""

    def listing(self, backend: Backend, family: int) -> str:
        """As `iptables-save`."""

    def restore(self, backend: Backend, family: int, text: str) -> None:
        """As `iptables-restore --noflush`: one transaction per table."""

    def nft_table(self) -> str: ...

    def nft(self, text: str) -> None:
        """As `nft -f`: one transaction."""


class PodEvents(Protocol):
    """What happens inside the namespaces of pods (named by their host links) that are listened to."""

    def fileno(self) -> int:
        """Readable when something has come in."""

    def listened_to(self) -> frozenset[str]: ...

    def listen_to(self, pod: str, opened: socket.socket) -> None:
        """``opened``: by ``Namespace.listen`` of the pod's namespace."""

    def leave(self, pod: str) -> None:
        """Not listened to: nothing happens."""

    def drain(self) -> dict[str, list[Change] | None]:
        """All that has come in, by pod; None: some was lost. Never blocks."""


class NetnsNames(Protocol):
    """Names (paths) of network namespaces that may go."""

    def fileno(self) -> int:
        """Readable when some name went."""

    def watch(self, path: str) -> bool:
        """False where it cannot be told when the name goes, or it has gone already."""

    def gone(self) -> frozenset[str]:
        """Names that went since the last call, others' too. Never blocks."""


class SysctlValues(Protocol):
    """The node's sysctls, looked at often. Does not block."""

    def strayed(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        """Paths of those (path -> value) that are there and hold something else."""


class Events(Protocol):
    """What others do to the node's network namespace."""

    def fileno(self) -> int:
        """Readable when something has come in."""

    def listen_to(self, family: int) -> None:
        """Rules, routes and addresses of 4 or 6; 4 is listened to from the start."""

    def drain(self) -> tuple[list[Change], bool]:
        """All that has come in, and whether some was lost. Never blocks."""
