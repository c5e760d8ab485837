"""A service over its socket: one call, one answer as plain values, every failure a ReasonError. Reads only."""

from __future__ import annotations

import argparse
import os
import socket
from typing import Any, Self

from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.sockets import ENI_MANAGER_SOCKET, IPAM_SOCKET, NETCONF_SOCKET, REASON_TRAILER

_MESSAGE_MAX = 16 * 1024 * 1024


class Service:
    """A channel. ``timeout``: seconds for each call. ``unreachable``: the reason when nobody answers on the socket."""

    def __init__(self, socket_path: str, timeout: float, unreachable: Reason) -> None:
        import grpc

        self._rpc_error = grpc.RpcError
        self._unavailable = grpc.StatusCode.UNAVAILABLE
        self._late = grpc.StatusCode.DEADLINE_EXCEEDED
        self._unimplemented = grpc.StatusCode.UNIMPLEMENTED
        self._path, self._timeout, self._unreachable = socket_path, timeout, unreachable
        self.channel = grpc.insecure_channel(
            f"unix:{socket_path}", options=(("grpc.max_receive_message_length", _MESSAGE_MAX),)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(self, method: Any, request: Any) -> Any:
        """The reply message. Raises ReasonError."""
        try:
            return method(request, timeout=self._timeout)
        except self._rpc_error as error:
            raise self._reason(error) from None

    def _reason(self, error: Any) -> ReasonError:
        trailers = dict(error.trailing_metadata() or ())
        name, message = str(trailers.get(REASON_TRAILER, "")), str(error.details() or error.code().name)
        if name in Reason.__members__:
            return ReasonError(Reason(name), message)
        if error.code() is self._unavailable:
            return ReasonError(self._unreachable, f"{self._path}: {message}")
        if error.code() is self._late:
            return ReasonError(Reason.DEADLINE_EXCEEDED, f"{self._path}: no answer within {self._timeout:g} s")
        if error.code() is self._unimplemented:
            return ReasonError(Reason.VERSION_SKEW, f"{self._path}: the service is older than this command")
        return ReasonError(Reason.INTERNAL, f"{self._path}: {error.code().name}: {message}")


def plain(reply: Any) -> dict[str, Any]:
    """A message as plain values: the proto's field names, numbers as numbers (the JSON mapping makes text of 64 bits)."""
    from google.protobuf.json_format import MessageToDict

    found: dict[str, Any] = MessageToDict(
        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


class EniManager(Service):
    """eni-manager: what it knows of EC2, and what the role may do."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        from vpccni_api.eni.v1 import eni_pb2, eni_pb2_grpc

        super().__init__(socket_path, timeout, Reason.ENI_MANAGER_UNREACHABLE)
        self._pb, self._stub = eni_pb2, eni_pb2_grpc.EniManagerStub(self.channel)

    def describe(self) -> dict[str, Any]:
        """Who the node is and what its instance type holds; asks IMDS."""
        return plain(self.call(self._stub.Describe, self._pb.DescribeRequest()))

    def inspect(self) -> dict[str, Any]:
        """Budget and count of EC2 calls, subnets, dependencies, settings."""
        found = plain(self.call(self._stub.Inspect, self._pb.InspectRequest()))
        for api in found["apis"]:
            api.update({name: int(api[name]) for name in ("calls", "errors", "throttled")})
        return _with_numbers(found)

    def inventory(self) -> dict[str, Any]:
        """ENIs as instance metadata and our own calls have them."""
        return plain(self.call(self._stub.Inventory, self._pb.InventoryRequest(source=self._pb.IMDS)))

    def check_access(self) -> dict[str, Any]:
        """By some 15 calls to EC2 that change nothing."""
        return _with_numbers(plain(self.call(self._stub.CheckAccess, self._pb.CheckAccessRequest())))


class Netconf(Service):
    """netconf: what it looks after, and the host's packet filter."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        from vpccni_api.netconf.v1 import netconf_pb2, netconf_pb2_grpc

        super().__init__(socket_path, timeout, Reason.NETCONF_UNREACHABLE)
        self._pb, self._stub = netconf_pb2, netconf_pb2_grpc.NetconfStub(self.channel)

    def inspect(self) -> dict[str, Any]:
        """Packet filter in use and what does not fit it, counts, dependencies, settings."""
        return plain(self.call(self._stub.Inspect, self._pb.InspectRequest()))


def _with_numbers(found: dict[str, Any]) -> dict[str, Any]:
    for subnet in found["subnets"]:
        subnet["free"] = int(subnet["free"])
    return found


def socket_of(service: str) -> str:
    """ipam, netconf or eni-manager: the service's own variable, or where the chart puts its socket."""
    default = {"ipam": IPAM_SOCKET, "netconf": NETCONF_SOCKET, "eni-manager": ENI_MANAGER_SOCKET}[service]
    return os.environ.get(f"VPCCNI_{service.replace('-', '_').upper()}_SOCKET") or default


def node_name() -> str:
    """Of the node that this runs on, without asking a service."""
    return os.environ.get("MY_NODE_NAME") or socket.gethostname()


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of every subcommand that asks ipam."""
    parser.add_argument(
        "--socket", default=socket_of("ipam"), help=f"ipam's socket (default: {socket_of('ipam').replace('%', '%%')})"
    )
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for each call (default: 5)")
    output_option(parser)


def configure_leaves(parser: argparse.ArgumentParser) -> None:
    """Options of a subcommand that asks netconf and eni-manager too."""
    for name in ("eni-manager", "netconf"):
        where = socket_of(name)
        parser.add_argument(f"--{name}-socket", default=where, help=f"{name}'s socket (default: {where})")


def output_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="what to print")
