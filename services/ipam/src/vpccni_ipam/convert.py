"""Messages of the plugin's contract <-> values. Refuses what is malformed, naming field, value and what is allowed."""

from __future__ import annotations

import re
from typing import Final

from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.eni_numbers import MTU_RANGE
from vpccni_ipam.domain.model import PodIdentity, PodKey
from vpccni_ipam.domain.result import CniResult, ResultInterface, ResultIp
from vpccni_ipam.ports import PodCall

_CONTAINER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*\Z")
_IFNAME_BAD: Final = re.compile(r"[/:\s]")
_IFNAME_MAX: Final = 15
_VETH_PREFIX_MAX: Final = 4
_RESERVED_PREFIXES: Final = ("eth", "lo", "vlan")
_DEFAULT_MTU: Final = 9001


def _invalid(field: str, value: object, allowed: str) -> ReasonError:
    return ReasonError(Reason.REQUEST_INVALID, f"{field} is {value!r}; allowed: {allowed}")


def to_key(message: pb.PodInterface) -> PodKey:
    if not _CONTAINER_ID.match(message.container_id):
        raise _invalid("container_id", message.container_id, "letters, digits, '_', '.', '-', not empty")
    name = message.ifname
    if not name or len(name) > _IFNAME_MAX or name in (".", "..") or _IFNAME_BAD.search(name):
        raise _invalid("ifname", name, f"1 to {_IFNAME_MAX} characters without '/', ':' and blanks")
    if not message.network_name:
        raise _invalid("network_name", "", "not empty")
    return PodKey(message.network_name, message.container_id, name)


def to_identity(message: pb.PodIdentity) -> PodIdentity:
    return PodIdentity(message.namespace, message.name, message.uid)


def to_veth_prefix(given: str, default: str) -> str:
    prefix = given or default
    if len(prefix) > _VETH_PREFIX_MAX or prefix in _RESERVED_PREFIXES:
        raise _invalid("veth_prefix", prefix, f"at most {_VETH_PREFIX_MAX} characters, not eth, lo or vlan")
    return prefix


def to_mtu(given: int) -> int:
    low, high = MTU_RANGE
    mtu = given or _DEFAULT_MTU
    if not low <= mtu <= high:
        raise _invalid("mtu", mtu, f"{low} to {high}")
    return mtu


def to_result(message: pb.CniResult) -> CniResult:
    return CniResult(
        tuple(ResultInterface(i.name, i.mac, i.sandbox) for i in message.interfaces),
        tuple(ResultIp(i.address, i.interface, i.gateway) for i in message.ips),
    )


def from_result(result: CniResult) -> pb.CniResult:
    return pb.CniResult(
        interfaces=[pb.ResultInterface(name=i.name, mac=i.mac, sandbox=i.sandbox) for i in result.interfaces],
        ips=[pb.ResultIp(address=i.address, gateway=i.gateway, interface=i.interface) for i in result.ips],
    )


def to_pod_call(request: pb.DelPodRequest | pb.CheckPodRequest, veth_prefix: str) -> PodCall:
    kept = to_result(request.prev_result) if request.HasField("prev_result") else None
    return PodCall(
        to_key(request.key),
        to_identity(request.pod),
        request.netns,
        to_veth_prefix(request.conf.veth_prefix, veth_prefix),
        kept,
    )
