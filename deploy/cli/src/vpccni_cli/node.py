"""ipam: what it holds, and CHECK of one pod. Reads only."""

from __future__ import annotations

from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.version import VERSION

from vpccni_cli.service import Service, configure, plain

__all__ = ["Node", "addresses", "assigned", "configure"]

_COUNTS: Final = ("total", "assigned", "cooling", "free", "quarantined", "deficit")


class Node(Service):
    """The node's ipam."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        from vpccni_api.ipam.v1 import ipam_pb2, ipam_pb2_grpc

        super().__init__(socket_path, timeout, Reason.IPAM_UNREACHABLE)
        self._pb, self._stub = ipam_pb2, ipam_pb2_grpc.IpamStub(self.channel)

    def inspect(self) -> dict[str, Any]:
        """InspectResponse as plain values, with the proto's field names. Raises ReasonError."""
        reply = self.call(self._stub.Inspect, self._pb.InspectRequest())
        found = plain(reply)
        found.update({name: int(getattr(reply, name)) for name in _COUNTS})  # the JSON mapping makes text of int64
        for card in found["cards"]:
            card.update({name: int(card[name]) for name in _COUNTS})
        for eni in found["enis"]:
            for cidr in eni["cidrs"]:
                cidr["size"] = int(cidr["size"])
        found["drift"] = {kind: int(count) for kind, count in found["drift"].items()}
        return found

    def check(self, line: dict[str, Any]) -> ReasonError | None:
        """CHECK of an assigned address of ``inspect``: None, or what is wrong. ipam compares its record with the kernel."""
        request = self._pb.CheckPodRequest(
            key=self._pb.PodInterface(**line["key"]), pod=self._pb.PodIdentity(**line["pod"]), plugin_version=VERSION
        )
        try:
            self.call(self._stub.CheckPod, request)
        except ReasonError as error:
            return error
        return None


def addresses(found: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Every (ENI, CIDR, address) of what ``inspect`` said."""
    return [(e, c, a) for e in found["enis"] for c in e["cidrs"] for a in c["addresses"]]


def assigned(found: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    return [item for item in addresses(found) if item[2].get("key", {}).get("container_id")]
