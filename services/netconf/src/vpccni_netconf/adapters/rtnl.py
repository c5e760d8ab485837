"""A routing netlink socket with hand-made batches: many messages in one send, their answers read once.

The kernel carries a batch out in order within the send call and goes on after a message that it refuses; only the last one
asks for an acknowledgement, errors of the others come before it.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.adapters import decode
from vpccni_netconf.adapters.shapes import NLM_F_ACK, NLM_F_REQUEST
from vpccni_netconf.kernel_time import in_kernel

_SOL_NETLINK: Final = 270
_EXT_ACK: Final = 11
_CAP_ACK: Final = 10
_STRICT: Final = 12
_RECEIVE_BYTES: Final = 256 * 1024
_BATCH_MESSAGES: Final = 100
_BUFFER_BYTES: Final = 1024 * 1024
_SO_RCVBUFFORCE: Final = 33
_ANSWER_TIMEOUT_S: Final = 10
_DUMP: Final = 0x300
_DUMP_TRIES: Final = 5
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GLINK: Final = 0x0A
_AF_NETLINK: Final = socket.AF_NETLINK

Failure = tuple[int, int, str]
"""Index within the batch, errno, the kernel's words."""


class RtnlSocket:
    """Bound to the network namespace of the thread that makes it, for good; may then be used from any one thread at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(_AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        for option in (_EXT_ACK, _CAP_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        # Room for an error per message of a batch; and an answer that never comes must not hold the thread for good.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_TIMEOUT_S, 0))
        self._socket.bind((0, 0))
        self._sequence = 0

    @property
    def port(self) -> int:
        """Netlink port: the kernel's notifications name with it whose request they follow."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        self._socket.close()

    def _send(self, sent: bytes) -> None:
        try:
            with in_kernel:
                self._socket.send(sent)
        except OSError as error:
            raise ReasonError(Reason.KERNEL_REFUSED, f"netlink send: {error.strerror}") from error

    def _receive(self) -> memoryview:
        try:
            with in_kernel:
                received = self._socket.recv(_RECEIVE_BYTES)
        except OSError as error:
            raise ReasonError(Reason.KERNEL_REFUSED, f"netlink receive: {error.strerror}") from error
        return memoryview(received)

    def settle_carrier(self, name: str) -> None:
        """Makes the kernel act now on a carrier change that it would get to later (up to a second): until then the link's
        queue drops what is sent. Asking for the link state by ethtool does so on every kernel (``linkwatch_sync_dev``).

        A link that is gone meanwhile is nobody's loss here: what needs it fails with a reason of its own.
        """
        answer = array.array("I", (_ETHTOOL_GLINK, 0))
        request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
        with contextlib.suppress(OSError), in_kernel:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, request)

    def batch(self, made: Sequence[bytearray]) -> list[Failure]:
        """Sends all; what was refused. Never raises for a refusal."""
        failures: list[Failure] = []
        for start in range(0, len(made), _BATCH_MESSAGES):
            part = made[start : start + _BATCH_MESSAGES]
            failures += [(start + at, number, text) for at, number, text in self._batch(part)]
        return failures

    def _batch(self, made: Sequence[bytearray]) -> Iterator[Failure]:
        first = self._sequence + 1
        for request in made:
            self._sequence += 1
            struct.pack_into("=I", request, 8, self._sequence)
        last = self._sequence
        made[-1][6] |= NLM_F_ACK
        self._send(b"".join(made))
        while True:
            for message in decode.messages(self._receive()):
                if message.kind != decode.NLMSG_ERROR or not first <= message.sequence <= last:
                    continue
                if message.errno:
                    yield message.sequence - first, message.errno, message.error_text
                if message.sequence == last:
                    return

    def dump(self, kind: int, body: bytes) -> list[memoryview]:
        """Bodies of all answers to a dump request. A dump that changed under the kernel's hands is taken again.

        Raises KERNEL_REFUSED when the kernel will not dump at all.
        """
        for _ in range(_DUMP_TRIES):
            found = self._dump(kind, body)
            if found is not None:
                return found
        raise ReasonError(Reason.KERNEL_REFUSED, f"netlink dump {kind} was interrupted {_DUMP_TRIES} times")

    def _dump(self, kind: int, body: bytes) -> list[memoryview] | None:
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | _DUMP, self._sequence, 0)
        self._send(header + body)
        found: list[memoryview] = []
        torn = False
        while True:
            for message in decode.messages(self._receive()):
                if message.sequence != self._sequence:
                    continue
                torn = torn or bool(message.flags & decode.NLM_F_DUMP_INTR)
                if message.kind == decode.NLMSG_DONE:
                    return None if torn else found
                if message.kind == decode.NLMSG_ERROR:
                    if message.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                        return []  # no such table, or no such family in this kernel
                    raise ReasonError(
                        Reason.KERNEL_REFUSED,
                        f"netlink dump {kind}: {message.error_text} ({errno.errorcode.get(message.errno, message.errno)})",
                    )
                found.append(message.body)
