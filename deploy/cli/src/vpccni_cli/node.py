"""ipam over its socket: what it holds, and CHECK of one pod. Reads only."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.sockets import IPAM_SOCKET, REASON_TRAILER
from vpccni_api.version import VERSION

_COUNTS: Final = ("total", "assigned", "cooling", "free", "quarantined", "deficit")


class Node:
    """A channel to the node's ipam. ``timeout``: seconds for each call."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        import grpc
        from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc

        self._pb = ipam_pb2
        self._rpc_error = grpc.RpcError
        self._unavailable = grpc.StatusCode.UNAVAILABLE
        self._late = grpc.StatusCode.DEADLINE_EXCEEDED
        self._path, self._timeout = socket_path, timeout
        self._channel = grpc.insecure_channel(
            f"unix:{socket_path}", options=(("grpc.max_receive_message_length", 16 * 1024 * 1024),)
        )
        self._stub = ipam_pb2_grpc.IpamStub(self._channel)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def inspect(self) -> dict[str, Any]:
        """InspectResponse as plain values, with the proto's field names. Raises ReasonError."""
        from google.protobuf.json_format import MessageToDict

        reply = self._call(self._stub.Inspect, self._pb.InspectRequest())
        found: dict[str, Any] = MessageToDict(
            reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        found.update({name: int(getattr(reply, name)) for name in _COUNTS})  # the JSON mapping makes text of int64
        for eni in found["enis"]:
            for cidr in eni["cidrs"]:
                cidr["size"] = int(cidr["size"])
        return found

    def check(self, line: dict[str, Any]) -> ReasonError | None:
        """CHECK of an assigned address of ``inspect``: None, or what is wrong. ipam compares its record with the kernel."""
        request = self._pb.CheckPodRequest(
            key=self._pb.PodInterface(**line["key"]), pod=self._pb.PodIdentity(**line["pod"]), plugin_version=VERSION
        )
        try:
            self._call(self._stub.CheckPod, request)
        except ReasonError as error:
            return error
        return None

    def _call(self, method: Any, request: Any) -> Any:
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
            return ReasonError(Reason.IPAM_UNREACHABLE, f"{self._path}: {message}")
        if error.code() is self._late:
            return ReasonError(Reason.DEADLINE_EXCEEDED, f"{self._path}: no answer within {self._timeout:g} s")
        return ReasonError(Reason.INTERNAL, f"{self._path}: {error.code().name}: {message}")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of every subcommand that asks ipam."""
    default = os.environ.get("VPCCNI_IPAM_SOCKET") or IPAM_SOCKET
    parser.add_argument("--socket", default=default, help=f"ipam's socket (default: {default})")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for each call (default: 5)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="what to print")


def addresses(found: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Every (ENI, CIDR, address) of what ``inspect`` said."""
    return [(e, c, a) for e in found["enis"] for c in e["cidrs"] for a in c["addresses"]]


def assigned(found: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    return [item for item in addresses(found) if item[2].get("key", {}).get("container_id")]
