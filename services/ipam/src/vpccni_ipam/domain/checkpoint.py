"""The checkpoint's text: the original's schema ``vpc-cni-ipam/1`` with members of our own, which the original ignores.

The text of each entry is made once; a write joins what is there, so that its cost hardly grows with the number of pods.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.egress import Egress
from vpccni_ipam.domain.model import Assignment, Cooling, Moment, PodIdentity, PodKey, Wiring

SCHEMA: Final = "vpc-cni-ipam/1"
MOST_HELD_BACK_S: Final = 300.0
_OURS: Final = "vpccni"


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read back."""

    assignments: tuple[Assignment, ...] = ()
    cooling: tuple[Cooling, ...] = ()
    releasing: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Addresses, prefixes and ENIs that were given back to EC2 lately or were about to be, and until when they are held
    back (monotonic seconds)."""


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def encode_assignment(item: Assignment) -> bytes:
    metadata: dict[str, object] = {}
    if item.pod.namespace:
        metadata["k8sPodNamespace"] = item.pod.namespace
    if item.pod.name:
        metadata["k8sPodName"] = item.pod.name
    metadata["interfacesCount"] = item.wiring.interfaces
    return _compact(
        {
            "networkName": item.key.network_name,
            "containerID": item.key.container_id,
            "ifName": item.key.ifname,
            "ipv6" if ":" in item.address else "ipv4": item.address,
            "allocationTimestamp": item.assigned_unix_ns,
            "metadata": metadata,
            _OURS: {
                "uid": item.pod.uid,
                "veth": item.wiring.host_veth,
                "netns": item.wiring.netns,
                "mtu": item.wiring.mtu,
                "eni": item.eni_id,
                "device": item.device_number,
                "table": item.route_table,
            }
            | ({"index": item.wiring.index} if item.wiring.index else {})
            | ({"egress": dataclasses.asdict(item.wiring.egress)} if item.wiring.egress else {}),
        }
    )


class Ledger:
    """The entries of the checkpoint, kept beside the pool and joined on each write."""

    def __init__(self) -> None:
        self._assigned: dict[PodKey, bytes] = {}
        self._cooling: dict[str, bytes] = {}
        self._releasing = b""

    def put(self, item: Assignment) -> None:
        self._assigned[item.key] = encode_assignment(item)

    def drop(self, key: PodKey) -> None:
        self._assigned.pop(key, None)

    def cool(self, item: Cooling) -> None:
        self._cooling[item.address] = _compact(
            {"ip": item.address, "eni": item.eni_id, "releasedAt": int(item.released_unix * 1e9)}
        )

    def expired(self, addresses: list[str]) -> None:
        for address in addresses:
            self._cooling.pop(address, None)

    def releasing(self, until_unix: Mapping[str, float]) -> None:
        """What is held back since it is, or may be, given back to EC2, and until when (unix seconds); empty: nothing."""
        self._releasing = _compact(until_unix) if until_unix else b""

    def render(self) -> bytes:
        """One JSON object and a newline."""
        return b"".join(
            (
                b'{"version":"' + SCHEMA.encode() + b'","allocations":[',
                b",".join(self._assigned.values()),
                b'],"' + _OURS.encode() + b'":{"cooling":[',
                b",".join(self._cooling.values()),
                b'],"releasing":' + self._releasing if self._releasing else b"]",
                b"}}\n",
            )
        )


def decode(text: bytes, now: Moment, cooldown_s: float) -> Checkpoint:
    """Reads a checkpoint of ours or of the original. Raises ReasonError(STORE_CORRUPT) naming what is wrong.

    Cooldowns go on where they stood; the wall clock may have jumped, so what is left is at most the whole period.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ReasonError(Reason.STORE_CORRUPT, f"checkpoint is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("version") != SCHEMA:
        version = found.get("version") if isinstance(found, dict) else type(found).__name__
        raise ReasonError(Reason.STORE_CORRUPT, f"checkpoint version is {version!r}; known: {SCHEMA}")
    try:
        assignments = tuple(_assignment(item) for item in found.get("allocations") or ())
        ours = found.get(_OURS) or {}
        cooling = tuple(_cooling(item, now, cooldown_s) for item in ours.get("cooling") or ())
        releasing = {str(item): _held_until(until, now) for item, until in (ours.get("releasing") or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReasonError(
            Reason.STORE_CORRUPT, f"checkpoint entry is malformed: {type(error).__name__}: {error}"
        ) from None
    seen = collections.Counter(item.address for item in assignments)
    doubled = sorted(address for address, times in seen.items() if times > 1)
    if doubled or len({item.key for item in assignments}) != len(assignments):
        raise ReasonError(Reason.STORE_CORRUPT, f"checkpoint lists an address or pod interface twice: {doubled}")
    return Checkpoint(assignments, tuple(item for item in cooling if item.until > now.mono), releasing)


def _assignment(item: dict[str, Any]) -> Assignment:
    ours = item.get(_OURS) or {}
    metadata = item.get("metadata") or {}
    address = str(item.get("ipv4") or item.get("ipv6") or "")
    if not address:
        raise ValueError("neither ipv4 nor ipv6")
    return Assignment(
        key=PodKey(str(item["networkName"]), str(item["containerID"]), str(item["ifName"])),
        pod=PodIdentity(
            str(metadata.get("k8sPodNamespace", "")), str(metadata.get("k8sPodName", "")), str(ours.get("uid", ""))
        ),
        wiring=Wiring(
            str(ours.get("veth", "")),
            str(ours.get("netns", "")),
            int(ours.get("mtu", 9001)),
            int(ours.get("index", 0)),
            int(metadata.get("interfacesCount") or 1),
            Egress(**ours["egress"]) if ours.get("egress") else None,
        ),
        address=address,
        assigned_unix_ns=int(item.get("allocationTimestamp", 0)),
        eni_id=str(ours.get("eni", "")),
        device_number=int(ours.get("device", 0)),
        route_table=int(ours.get("table", 0)),
    )


def _held_until(until_unix: object, now: Moment) -> float:
    """The wall clock may have jumped: what is left is at most the longest time that anything is held back."""
    return now.mono + min(max(float(str(until_unix)) - now.unix, 0.0), MOST_HELD_BACK_S)


def _cooling(item: dict[str, Any], now: Moment, cooldown_s: float) -> Cooling:
    released = int(item["releasedAt"]) / 1e9
    left = min(max(released + cooldown_s - now.unix, 0.0), cooldown_s)
    return Cooling(str(item["ip"]), released, now.mono + left, str(item.get("eni", "")))
