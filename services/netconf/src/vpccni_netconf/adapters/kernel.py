"""The kernel behind ``ports.Kernel``: rtnetlink batches and sysctl files. To be used from one thread, the kernel thread."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.adapters import decode, encode, encode_links, errno_map, sysctl
from vpccni_netconf.adapters.netns import HostNamespace
from vpccni_netconf.adapters.pod_events import open_socket
from vpccni_netconf.adapters.rtnl import RtnlSocket
from vpccni_netconf.domain.objects import (
    Address,
    Link,
    LinkFacts,
    Neighbour,
    Object,
    Observed,
    Route,
    Rule,
    Sysctl,
    VlanLink,
)
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink, Ensure, Op, PurgeRules, Remove
from vpccni_netconf.ports import Namespace, Outcome, Query

_SKIP_STATS: Final = struct.pack("=HHI", 8, 29, 1 << 3)
_PURGE_ROUNDS: Final = 50


class LinuxNamespace:
    """One namespace, through a socket that was made in it."""

    def __init__(
        self, rtnl: RtnlSocket, host_fd: int, enter: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._rtnl = rtnl
        self._host_fd = host_fd
        self._enter = enter
        self._known: dict[str, int] = {}

    def link_index(self, name: str) -> int:
        index = self._known.get(name, 0)
        if not index:
            self._links()
        return self._known.get(name, 0)

    def listen(self) -> socket.socket:
        try:
            with self._enter():
                return open_socket()
        except OSError as error:
            raise ReasonError(Reason.KERNEL_REFUSED, f"netlink socket in a pod: {error.strerror}") from error

    def settle_carrier(self, name: str) -> None:
        self._rtnl.settle_carrier(name)

    def observe(self, query: Query) -> Observed:
        links = self._links() if query.links else ()
        names = {link.index: link.name for link in links}
        rules: list[Rule] = []
        routes: list[Route] = []
        addresses: list[Address] = []
        neighbours: list[Neighbour] = []
        for family in query.families:
            af = socket.AF_INET6 if family == 6 else socket.AF_INET
            if query.rules:
                rules += filter(None, map(decode.rule, self._rtnl.dump(34, struct.pack("=B11x", af))))
            for table in query.tables:
                request = struct.pack("=B11xHHI", af, 8, 15, table)
                routes += filter(None, (decode.route(body, names) for body in self._rtnl.dump(26, request)))
            if query.addresses:
                bodies = self._rtnl.dump(22, struct.pack("=B7x", af))
                addresses += filter(None, (decode.address(body, names) for body in bodies))
            if query.neighbours:
                bodies = self._rtnl.dump(30, struct.pack("=B11x", af))
                neighbours += filter(None, (decode.neighbour(body, names) for body in bodies))
        with self._enter() if query.sysctls else contextlib.nullcontext():
            sysctls = tuple(Sysctl(path, sysctl.read(path)) for path in query.sysctls)
        return Observed(links, tuple(rules), tuple(routes), tuple(addresses), tuple(neighbours), sysctls)

    def _links(self) -> tuple[LinkFacts, ...]:
        bodies = self._rtnl.dump(18, struct.pack("=16x") + _SKIP_STATS)
        links = tuple(map(decode.link_facts, bodies))
        self._known = {link.name: link.index for link in links}
        return links

    def apply(self, ops: Sequence[Op]) -> int:
        outcome = self.attempt(ops)
        if outcome.failures:
            raise outcome.failures[0][1]
        return outcome.changes

    def attempt(self, ops: Sequence[Op]) -> Outcome:
        changes = 0
        failures: list[tuple[Op, ReasonError]] = []
        batch: list[Op] = []
        for op in ops:
            if isinstance(op, Ensure) and isinstance(op.target, Sysctl):
                changes += self._flush(batch, failures)
                try:
                    with self._enter():
                        changes += sysctl.ensure(op.target)
                except ReasonError as error:
                    failures.append((op, error))
                continue
            if isinstance(op, Ensure) and isinstance(op.target, Rule) and any(isinstance(b, PurgeRules) for b in batch):
                changes += self._flush(batch, failures)  # a purge may go on after its batch: what is added comes later
            batch.append(op)
            if isinstance(op, Ensure) and isinstance(op.target, VlanLink):
                changes += self._flush(batch, failures)  # what follows needs its index
        changes += self._flush(batch, failures)
        return Outcome(changes, tuple(failures))

    def _flush(self, batch: list[Op], failures: list[tuple[Op, ReasonError]]) -> int:
        """Sends what has gathered and empties it."""
        sent, encoded = self._encoded(batch, failures)
        batch.clear()
        if not sent:
            return 0
        refused = {at: (number, text) for at, number, text in self._rtnl.batch(encoded)}
        changes = len(sent) - len(refused)
        for at, (number, text) in refused.items():
            op = sent[at]
            if isinstance(op, CreatePodLink) and number in (errno.EEXIST, errno.EBUSY) and op.index:
                # The index may be taken in the pod (tunnel modules make links of their own): let the kernel choose. A name
                # that is taken is refused again.
                changes += self._flush([dataclasses.replace(op, index=0)], failures)
            elif not errno_map.tolerated(op, number):
                failures.append((op, errno_map.refused(op, number, text)))
        more = []
        for at, op in enumerate(sent):
            if at in refused:
                continue
            if isinstance(op, CreatePodLink) and op.index:
                self._known[op.ifname] = op.index
            elif isinstance(op, PurgeRules) and at and sent[at - 1] is op:
                more.append(op)
        return changes + self._purge(more)

    def _encoded(self, batch: Sequence[Op], failures: list[tuple[Op, ReasonError]]) -> tuple[list[Op], list[bytearray]]:
        """What is to be sent, op by message. A purge goes out twice: its second answer says whether there are more."""
        sent: list[Op] = []
        encoded: list[bytearray] = []
        for op in batch:
            message = self._encode(op)
            if message is None:
                failures.append((op, errno_map.refused(op, errno.ENODEV, "")))
                continue
            sent.append(op)
            encoded.append(message)
            if isinstance(op, PurgeRules):
                sent.append(op)
                encoded.append(bytearray(message))
        return sent, encoded

    def _purge(self, left: list[PurgeRules]) -> int:
        """Older releases left one rule per VPC CIDR: goes on until the kernel says that there is no more."""
        changes = 0
        for _ in range(_PURGE_ROUNDS):
            if not left:
                break
            refused = {at for at, _, _ in self._rtnl.batch([encode.rule_message(op.match, add=False) for op in left])}
            left = [op for at, op in enumerate(left) if at not in refused]
            changes += len(left)
        return changes

    def _encode(self, op: Op) -> bytearray | None:
        """None when the link that the op is about is not there."""
        match op:
            case Ensure(Rule() as target) | Remove(Rule() as target):
                return encode.rule_message(target, add=isinstance(op, Ensure))
            case PurgeRules(match):
                return encode.rule_message(match, add=False)
            case CreatePodLink():
                return encode_links.pod_link_message(op, self._host_fd)
            case DeleteLink():
                return encode_links.delete_link_message(op)
            case Ensure(target) | Remove(target):
                return self._encode_on_link(target, add=isinstance(op, Ensure))

    def _encode_on_link(self, target: Object, *, add: bool) -> bytearray | None:
        match target:
            case VlanLink(parent=dev) | Link(name=dev) | Route(dev=dev) | Address(dev=dev) | Neighbour(dev=dev):
                index = self._index(dev)
            case _:
                raise AssertionError(f"{target} is not on a link")
        if not index:
            return None
        match target:
            case VlanLink():
                return encode_links.vlan_message(target, index)
            case Link():
                return encode_links.link_message(target, index)
            case Route():
                return encode.route_message(target, index, add=add)
            case Address():
                return encode.address_message(target, index, add=add)
            case Neighbour():
                return encode.neighbour_message(target, index, add=add)

    def _index(self, name: str) -> int:
        return self._known.get(name, 0) or self.link_index(name)


class HostLinuxNamespace(LinuxNamespace):
    """The node's namespace: the thread is in it, so names are asked of the kernel each time, never remembered."""

    def link_index(self, name: str) -> int:
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return 0

    def _index(self, name: str) -> int:
        return self.link_index(name)


class LinuxKernel:
    """See ``ports.Kernel``."""

    def __init__(self) -> None:
        self._namespace = HostNamespace()
        self._rtnl = RtnlSocket()
        self._host = HostLinuxNamespace(self._rtnl, self._namespace.fd, contextlib.nullcontext)

    @property
    def host(self) -> Namespace:
        return self._host

    @property
    def port(self) -> int:
        """Netlink port of the host's socket."""
        return self._rtnl.port

    def close(self) -> None:
        self._rtnl.close()
        self._namespace.close()

    @contextlib.contextmanager
    def pod(self, path: str) -> Iterator[Namespace]:
        fd = self._namespace.open_pod(path)
        try:
            with self._namespace.inside(fd):
                rtnl = RtnlSocket()
            try:
                yield LinuxNamespace(rtnl, self._namespace.fd, lambda: self._namespace.inside(fd))
            finally:
                rtnl.close()
        finally:
            os.close(fd)
