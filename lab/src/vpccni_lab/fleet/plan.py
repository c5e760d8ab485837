"""What a setting costs on one node, from the first pod to the last: the simulated node, alone with an EC2 that has room."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Mapping
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.timing import Timings
from vpccni_lab.fleet.capacity import Capacity
from vpccni_lab.fleet.cloud import Caller
from vpccni_lab.fleet.config import limits_of, node_config
from vpccni_lab.fleet.node import Node
from vpccni_lab.fleet.virtual import Simulation

# Long enough for every give-back: an ENI's least age, the cooldown, and one step per 30 s. Seconds.
_SETTLE_S: Final = 300.0
_DAY_S: Final = 86400.0
_MOST_PODS: Final = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What the node holds when ``pods`` pods run and nothing moves. ``addresses``: for pods; ``calls``: to get here from one pod
    less; ``wait_s``: what the last pod waited for its address."""

    pods: int
    enis: int
    addresses: int
    prefixes: int
    calls: int
    wait_s: float

    @property
    def idle(self) -> int:
        return self.addresses - self.pods


@dataclasses.dataclass(frozen=True, slots=True)
class Burst:
    """Many pods at once: EC2 calls by action, and the waits of the ADDs (sorted, seconds)."""

    begin: int
    end: int
    calls: Mapping[str, int]
    waits: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """0 without any ADD."""
        return self.waits[round((len(self.waits) - 1) * share)] if self.waits else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """``steps``: pods one by one from ``low`` to ``high``; ``up``: all of those at once; ``down``: back again at once.

    ``start_calls``: of a node that starts and settles without pods. ``most``: pods that got an address, at most ``high``.
    ``calls_at_rest``: per node-hour.
    """

    steps: tuple[Held, ...]
    up: Burst
    down: Burst
    start_calls: int
    calls_at_rest: float
    most: int


class _Alone:
    """One node in a VPC of its own."""

    def __init__(self, environ: Mapping[str, str], type_name: str) -> None:
        limits = limits_of(type_name)
        self.config = node_config(environ, limits)
        self.sim = Simulation()
        self.ec2 = Ec2(clock=self.sim.clock, address_choice="sequential")
        self.ec2.timings = Timings(attach=2.0, detach=3.0)
        vpc = self.ec2.create_vpc(["10.0.0.0/16"])
        subnet = self.ec2.create_subnet(vpc.id, "10.0.0.0/16", "us-west-2a")
        instance = self.ec2.run_instance(type_name, subnet.id, name="node")
        self.calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.waits: list[float] = []
        caller = Caller(self.sim, self.ec2, instance.name, random.Random(1), self.calls)
        self.capacity = Capacity(caller, instance, limits, {})
        self.node = Node(self.capacity, self.config, self.waits.append)
        self.pods = 0
        self.sim.start(self.node.start())
        self.settle()

    def settle(self) -> None:
        self.sim.run(self.sim.now + _SETTLE_S)

    def add(self) -> None:
        self.pods += 1
        self.node.add(f"pod-{self.pods}")

    def remove(self) -> None:
        self.node.delete(f"pod-{self.pods}")
        self.pods -= 1

    def held(self, calls: int) -> Held:
        enis = self.ec2.enis_of(self.capacity.instance.id)
        prefixes = sum(len(eni.prefixes) for eni in enis)
        addresses = sum(len(eni.secondary_ips) for eni in enis) + 16 * prefixes
        return Held(self.pods, len(enis), addresses, prefixes, calls, self.waits[-1] if self.waits else 0.0)

    def counted(self) -> dict[str, int]:
        """Calls by action since the last time, without those at rest."""
        found: collections.Counter[str] = collections.Counter()
        for (action, _), number in self.calls.items():
            found[action] += number
        self.calls.clear()
        return dict(sorted(found.items()))


def settled(environ: Mapping[str, str], type_name: str, pods: int) -> Held:
    """What the node holds with so many pods. Raises ReasonError(CONFIG_INVALID)."""
    one = _Alone(environ, type_name)
    for _ in range(pods):
        one.add()
        one.settle()
    return one.held(0)


def make_plan(environ: Mapping[str, str], type_name: str, low: int, high: int) -> Plan:
    """``low`` to ``high`` pods, 0 <= low <= high <= 1000. Raises ReasonError(CONFIG_INVALID)."""
    if not 0 <= low <= high <= _MOST_PODS:
        raise ReasonError(Reason.CONFIG_INVALID, f"pods {low}..{high}: 0 to {_MOST_PODS}, the lower number first")
    one = _Alone(environ, type_name)
    one.node.rest = False
    start_calls = sum(one.counted().values())
    steps = [one.held(0)] if low == 0 else []
    while one.pods < high:
        one.add()
        one.settle()
        if one.node.waiting:
            one.remove()
            break
        calls = sum(one.counted().values())
        if one.pods >= low:
            steps.append(one.held(calls))
    most = one.pods
    up, down = _bursts(environ, type_name, min(low, most), most)
    return Plan(tuple(steps), up, down, start_calls, _at_rest(environ, type_name), most)


def _bursts(environ: Mapping[str, str], type_name: str, low: int, high: int) -> tuple[Burst, Burst]:
    one = _Alone(environ, type_name)
    one.node.rest = False
    for _ in range(low):
        one.add()
    one.settle()
    one.counted()
    one.waits.clear()
    for _ in range(high - low):
        one.add()
    one.settle()
    up = Burst(low, high, one.counted(), tuple(sorted(one.waits)))
    for _ in range(high - low):
        one.remove()
    for _ in range(4):
        one.settle()
    return up, Burst(high, low, one.counted(), ())


def _at_rest(environ: Mapping[str, str], type_name: str) -> float:
    one = _Alone(environ, type_name)
    one.counted()
    one.sim.run(one.sim.now + _DAY_S)
    return sum(one.counted().values()) / (_DAY_S / 3600.0)
