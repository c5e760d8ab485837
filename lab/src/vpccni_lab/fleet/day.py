"""A day of a fleet: when nodes and pods come and go, and when EC2 throttles (docs/fleet.md has the timetable)."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import random
from collections.abc import Callable, Mapping
from typing import Final

from vpccni_eni_manager.domain import bucket
from vpccni_eni_manager.domain.bucket import ApiClass, Bucket

from vpccni_lab.ec2.faults import ACCOUNT_LIMITS, Kind
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Subnet
from vpccni_lab.ec2.timing import Timings
from vpccni_lab.fleet.capacity import Capacity
from vpccni_lab.fleet.cloud import Caller
from vpccni_lab.fleet.config import limits_of, node_config
from vpccni_lab.fleet.node import Node
from vpccni_lab.fleet.virtual import Process, Simulation

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
SAMPLE_S: Final = 900.0
ADD_BOUND_S: Final = 50.0
"""VPCCNI_ADD_WAIT: an ADD that waited that long has failed, and kubelet has it made again."""
STORM: Final = 7 * HOUR
ROLLING: Final = 10 * HOUR
THROTTLED: Final = (14 * HOUR, 15 * HOUR)
PEAK_OVER: Final = 16 * HOUR
NIGHT: Final = 20 * HOUR
REST: Final = (1.5 * HOUR, 5.5 * HOUR)
_JOB_S: Final = 120.0
_ROLL_BATCH_S: Final = 60.0
_CLUSTER_TAGS: Final = {"kubernetes.io/role/cni": "1"}


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """``nodes`` at the busiest, ``staying`` of them through the night (a share); pods per node; jobs per node and hour.

    EC2's account limits are the default ones of EC2 for 1,000 nodes, and in proportion for fewer. ``throttled_to``: the
    share of them that is left in the throttled hour.
    """

    nodes: int = 1000
    staying: float = 0.4
    instance_type: str = "m5.large"
    night_pods: int = 6
    day_pods: int = 18
    peak_pods: int = 21
    jobs_per_hour: float = 1.0
    throttled_to: float = 0.1
    seed: int = 1


@dataclasses.dataclass(slots=True)
class Sample:
    """The fleet at ``time``; ``calls`` and ``throttles`` since the sample before."""

    time: float
    nodes: int
    pods: int
    held: int
    calls: int
    throttles: int


class Fleet:
    """One run. ``waits``: (when the address came, how long the ADD had waited), in seconds. ``stray``: ENIs that some node made
    and has not attached (yet). ``unserved``: ADDs that wait for longer than their bound at the end."""

    def __init__(
        self, environ: Mapping[str, str], shape: Shape, fresh: Callable[[ApiClass], Bucket] = bucket.fresh
    ) -> None:
        self.shape = shape
        self.sim = Simulation()
        self.ec2 = Ec2(clock=self.sim.clock, seed=shape.seed)
        self._limit_ids: list[str] = []
        self.ec2.timings = Timings(attach=2.0, detach=3.0)
        self.calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.rest_calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.waits: list[tuple[float, float]] = []
        self.samples: list[Sample] = []
        self.unserved = 0
        self.stray: dict[str, None] = {}
        self._fresh = fresh
        self._rng = random.Random(shape.seed)
        self._limits = limits_of(shape.instance_type)
        self._config = node_config(environ, self._limits)
        self._nodes: dict[int, Node] = {}
        self._names = itertools.count()
        self._subnets = self._build()
        self._lives: list[Process[None]] = []
        self._schedule()

    def _build(self) -> list[Subnet]:
        """Three zones, in each a subnet of the nodes and a bigger one tagged for pods."""
        vpc = self.ec2.create_vpc(["10.0.0.0/16", "10.1.0.0/16"])
        zones = ("us-west-2a", "us-west-2b", "us-west-2c")
        for number, zone in enumerate(zones):
            self.ec2.create_subnet(vpc.id, f"10.1.{64 * number}.0/18", zone, tags=_CLUSTER_TAGS)
        self._limit(1.0)
        return [self.ec2.create_subnet(vpc.id, f"10.0.{64 * number}.0/18", zone) for number, zone in enumerate(zones)]

    def _limit(self, share: float) -> None:
        """Sets EC2's account limits to this share of the usual."""
        for fault_id in self._limit_ids:
            self.ec2.faults.remove(fault_id)
        share *= self.shape.nodes / 1000
        assert all(fault.kind is Kind.THROTTLE for fault in ACCOUNT_LIMITS)
        self._limit_ids = [
            self.ec2.faults.add(
                dataclasses.replace(fault, rate=fault.rate * share, burst=max(5.0, fault.burst * share))
            )
            for fault in ACCOUNT_LIMITS
        ]

    # -- the day ------------------------------------------------------------------------------------------------------

    def run(self, until: float = DAY) -> None:
        """From midnight, or from where it is, to ``until``."""
        self.sim.run(until)
        waiting = [since for node in self._nodes.values() for since in node.waiting]
        self.unserved = sum(until - since > ADD_BOUND_S for since in waiting)

    def _schedule(self) -> None:
        sim, shape = self.sim, self.shape
        staying = round(shape.nodes * shape.staying)
        self._lives = [self._life(number, stays=number < staying) for number in range(shape.nodes)]
        for life in self._lives:
            sim.start(life)
        sim.start(self._sampling())
        sim.at(REST[0], lambda: self.rest_calls.subtract(self.calls))
        sim.at(REST[1], lambda: self.rest_calls.update(self.calls))
        sim.at(THROTTLED[0], lambda: self._limit(shape.throttled_to))
        sim.at(THROTTLED[1], lambda: self._limit(1.0))

    def _life(self, number: int, *, stays: bool) -> Process[None]:
        """A node's day."""
        shape, at = self.shape, self._at
        yield from at(0.0 if stays else STORM, 600.0 if stays else 120.0)
        node = self._launch(number)
        pods: list[str] = []
        yield from self._scale(node, pods, shape.night_pods if stays else shape.day_pods, 20.0)
        if stays:
            yield from at(STORM, 600.0)
            yield from self._scale(node, pods, shape.day_pods, 30.0)
        self.sim.start(self._jobs(node))
        yield from at(ROLLING, 900.0)
        yield from self._roll(node, pods)
        yield from at(THROTTLED[0] + 600.0, 1200.0)
        yield from self._scale(node, pods, shape.peak_pods, 60.0)
        yield from at(PEAK_OVER, 600.0)
        yield from self._scale(node, pods, shape.day_pods, 60.0)
        yield from at(NIGHT, 1800.0)
        if stays:
            yield from self._scale(node, pods, shape.night_pods, 60.0)
            return
        self.sim.at(self.sim.now, lambda: self.kill(number))

    def kill(self, number: int) -> None:
        """The instance is terminated, whatever its node is doing."""
        self._lives[number].close()
        node = self._nodes.pop(number)
        node.stop()
        self.ec2.terminate_instance(node.instance_id)

    def _at(self, when: float, spread: float) -> Process[None]:
        yield max(0.0, when + self._rng.uniform(0.0, spread) - self.sim.now)

    def _launch(self, number: int) -> Node:
        subnet = self._subnets[number % len(self._subnets)]
        instance = self.ec2.run_instance(self.shape.instance_type, subnet.id, name=f"node-{number}")
        caller = Caller(self.sim, self.ec2, instance.name, self._rng, self.calls, self._fresh)
        node = Node(Capacity(caller, instance, self._limits, self.stray), self._config, self._waited)
        self._nodes[number] = node
        self.sim.start(node.start())
        return node

    def _waited(self, seconds: float) -> None:
        self.waits.append((self.sim.now, seconds))

    def _scale(self, node: Node, pods: list[str], to: int, over: float) -> Process[None]:
        """To so many pods within ``over`` seconds."""
        steps = abs(to - len(pods))
        for _ in range(steps):
            if len(pods) < to:
                pods.append(self._name())
                node.add(pods[-1])
            else:
                node.delete(pods.pop(0))
            yield self._rng.uniform(0.0, 2 * over / steps)

    def _roll(self, node: Node, pods: list[str]) -> Process[None]:
        """Every pod replaced, a quarter at a time: the new ones first."""
        batch = max(1, len(pods) // 4)
        for _ in range(0, len(pods), batch):
            old, new = pods[:batch], [self._name() for _ in range(min(batch, len(pods)))]
            for name in new:
                node.add(name)
            pods[:] = [*pods[batch:], *new]
            yield self._rng.uniform(10.0, 20.0)
            for name in old:
                node.delete(name)
            yield _ROLL_BATCH_S

    def _jobs(self, node: Node) -> Process[None]:
        """Short pods by day."""
        while self.sim.now < NIGHT and self.shape.jobs_per_hour:
            yield self._rng.expovariate(self.shape.jobs_per_hour / HOUR)
            if node.gone:
                return
            name = self._name()
            node.add(name)
            yield _JOB_S
            node.delete(name)

    def _name(self) -> str:
        return f"pod-{next(self._names)}"

    # -- figures ------------------------------------------------------------------------------------------------------

    def _sampling(self) -> Process[None]:
        calls = throttles = 0
        while True:
            supplies = [node.supply() for node in self._nodes.values()]
            now_calls = sum(self.calls.values())
            now_throttles = sum(n for (_, code), n in self.calls.items() if code == "RequestLimitExceeded")
            self.samples.append(
                Sample(
                    self.sim.now,
                    len(supplies),
                    sum(s.assigned for s in supplies),
                    sum(s.total for s in supplies),
                    now_calls - calls,
                    now_throttles - throttles,
                )
            )
            calls, throttles = now_calls, now_throttles
            yield SAMPLE_S

    def nodes(self) -> dict[int, Node]:
        """Those that run now, by number."""
        return dict(self._nodes)
