"""ipam of one node in virtual time: pool, targets, growth and give-back are vpccni_ipam.domain's; this only keeps the time.

The pauses are those of grow.py, shrink.py and keeper.py. Wiring a pod takes no time here: an ADD waits for its address only.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_eni_manager.domain.ec2_errors import Ec2Error
from vpccni_eni_manager.domain.model import AddressMode, Assigned, Eni, Growth
from vpccni_ipam.domain.eni_numbers import route_table
from vpccni_ipam.domain.giveback import GiveBack, plan_give_back, plan_room
from vpccni_ipam.domain.growth import GrowthStep, Room, Slots, next_step, retry_pause_s, room_left
from vpccni_ipam.domain.model import EniFacts, EniState, InstanceLimits, Moment, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.stock import Supply
from vpccni_ipam.domain.targets import STAND_IN_MOST_S, Targets, in_effect, stand_in_s

from vpccni_lab.fleet.capacity import Capacity
from vpccni_lab.fleet.virtual import Process

_LAZY_S: Final = 0.03
_STEP_S: Final = 120.0
_QUIET_S: Final = 0.05
_GATHER_S: Final = 0.25
_SHRINK_PACE_S: Final = 30.0
_FINAL: Final = frozenset({Reason.ENI_LIMIT, Reason.SUBNET_FULL, Reason.SUBNET_NO_PREFIX, Reason.SUBNET_NONE_ELIGIBLE})
_SWEEP_S: Final = (3600.0, 300.0)
_LOOK_S: Final = 7200.0
_WIRING: Final = Wiring("eni")
_NOBODY: Final = PodIdentity()


@dataclasses.dataclass(frozen=True, slots=True)
class NodeConfig:
    """What is the same on every node of a fleet. ``cooldown_s`` seconds, 0 or more."""

    targets: Targets
    limits: InstanceLimits
    max_enis: int
    cooldown_s: float = 30.0


class Node:
    """``on_wait`` hears how long each ADD waited for its address, in seconds."""

    def __init__(self, capacity: Capacity, config: NodeConfig, on_wait: Callable[[float], None]) -> None:
        self._capacity = capacity
        self._sim = capacity.caller.sim
        self._rng = capacity.caller.rng
        self._config = config
        self._on_wait = on_wait
        self._slots = Slots(config.limits, config.max_enis)
        self.pool = Pool(config.cooldown_s, prefixes_first=config.targets.prefixes)
        self.ready = False
        self.gone = False
        self.rest = True  # False: no calls at rest
        self._processes: list[Process[None]] = []
        self._keeping: Process[None] | None = None
        self._waiting: collections.OrderedDict[PodKey, float] = collections.OrderedDict()
        self._busy = False
        self._again = False
        self._timer = float("inf")
        self._attempts = 0
        self._retry_at = self._rest_until = 0.0
        self._low_since: float | None = None
        self._last_demand = 0.0
        self._due: float | None = None
        self._prefixes_at = self._prefixes_by = float("inf")
        self._without_prefix = 0

    # -- what happens to the node -------------------------------------------------------------------------------------

    def start(self) -> Process[None]:
        """Comes up and keeps the pool until it is stopped."""
        while not self.ready and not self.gone:
            try:
                yield from self._capacity.start(self._sim.now + 30.0)
            except Ec2Error:
                yield 1.0
                continue
            for eni in self._capacity.enis.values():
                self._learn(eni, Assigned(eni.secondary_ips, eni.ipv4_prefixes))
            self.ready = True
            self._processes = [self._at_rest(*_SWEEP_S, self._sweep), self._at_rest(_LOOK_S, 60.0, self._look)]
            self._sim.start(self._processes[0], self._rng.uniform(0, _SWEEP_S[1]))
            self._sim.start(self._processes[1], _LOOK_S)
            self._wake(0.0)

    def stop(self) -> None:
        """The instance is gone, with its pods: what is under way ends wherever it is."""
        self.gone = True
        for process in (*self._processes, self._keeping):
            if process is not None:
                process.close()

    def add(self, pod: str) -> None:
        """A pod wants an address."""
        key = PodKey("aws-cni", pod, "eth0")
        self._last_demand = self._sim.now
        self._waiting[key] = self._sim.now
        self._serve()
        self._wake()

    def delete(self, pod: str) -> None:
        """A pod goes; one that still waits gives up."""
        key = PodKey("aws-cni", pod, "eth0")
        if self._waiting.pop(key, None) is None:
            self.pool.release(key, self._moment())
        self._wake()

    @property
    def instance_id(self) -> str:
        return self._capacity.instance.id

    # -- what it holds ------------------------------------------------------------------------------------------------

    def supply(self) -> Supply:
        return self.pool.supply(len(self._waiting))

    @property
    def waiting(self) -> list[float]:
        """When each waiting ADD came."""
        return list(self._waiting.values())

    # -- the keeper ---------------------------------------------------------------------------------------------------

    def _moment(self) -> Moment:
        return Moment(self._sim.now, self._sim.now)

    def _serve(self) -> None:
        if not self.ready:
            return
        now = self._moment()
        self.pool.expire(now)
        while self._waiting:
            key, since = next(iter(self._waiting.items()))
            if self.pool.assign(key, _NOBODY, _WIRING, now) is None:
                return
            del self._waiting[key]
            self._on_wait(now.mono - since)

    def _wake(self, delay: float = _LAZY_S) -> None:
        """Has the keeper look in ``delay`` seconds at the latest."""
        if self._busy:
            self._again = True
            return
        when = self._sim.now + delay
        if self.ready and when < self._timer:
            self._timer = when
            self._sim.at(when, self._look_now)

    def _look_now(self) -> None:
        if self._busy or self.gone or self._sim.now < self._timer:
            return
        self._timer = float("inf")
        self._busy = True
        self._keeping = self._keep()
        self._sim.start(self._keeping)

    def _keep(self) -> Process[None]:
        self._again = True
        while self._again and not self.gone:
            self._again = False
            self._serve()
            moved = (yield from self._make_room()) or (yield from self._grow()) or (yield from self._shrink())
            self._again = self._again or moved
        self._busy = False
        self._serve()
        due = [t for t in (self._next_grow(), self._due, self.pool.next_expiry()) if t is not None]
        due += [self._prefixes_by] if self.pool.singles_stand_in else []
        if due and not self.gone:
            self._wake(max(0.0, min(due) - self._sim.now) + 0.001)

    def _next_grow(self) -> float | None:
        if self._low_since is not None:
            return min(self._last_demand + _QUIET_S, self._low_since + _GATHER_S)
        return self._may_retry_at if self._attempts else None

    @property
    def _may_retry_at(self) -> float:
        return self._retry_at if self._waiting else max(self._retry_at, self._rest_until)

    @property
    def _targets(self) -> Targets:
        """Those in effect: single addresses stand in for prefixes while there are none."""
        return in_effect(self._config.targets, singles_stand_in=self.pool.singles_stand_in)

    def _room(self) -> Room:
        return room_left(self._slots, self.pool.enis.values(), 0)

    def _grow(self) -> Process[bool]:
        now = self._sim.now
        step = self._step()
        if now >= self._prefixes_by or (now >= self._prefixes_at and step is not None):
            self._prefixes_at = self._prefixes_by = float("inf")
            self.pool.singles_stand_in = False
            step = self._step()
        if step is None:
            self._attempts, self._low_since, self._rest_until = 0, None, 0.0
            return False
        if now < self._may_retry_at:
            return False
        if not step.whole_eni:
            self._low_since = now if self._low_since is None else self._low_since
            if now < min(self._last_demand + _QUIET_S, self._low_since + _GATHER_S):
                return False
        self._low_since = None
        growth = self._growth(step)
        try:
            eni, added = yield from self._capacity.grow(growth, now + _STEP_S)
        except ReasonError as error:
            if error.reason is Reason.SUBNET_NO_PREFIX and growth.mode is AddressMode.PREFIX_IPV4:
                self._no_prefix()
                return True
            self._failed(error)
            return False
        self._attempts, self._retry_at, self._rest_until = 0, 0.0, 0.0
        if growth.mode is AddressMode.PREFIX_IPV4:
            self._without_prefix = 0
        self._learn(eni, added)
        self._serve()
        return True

    def _step(self) -> GrowthStep | None:
        return next_step(self._targets, self.supply(), self._config.limits, self._room())

    def _growth(self, step: GrowthStep) -> Growth:
        return Growth(
            mode=AddressMode(self._targets.mode.value),
            want=step.want,
            whole_eni=step.whole_eni,
            max_enis=self._slots.max_enis,
            may_create_eni=step.may_create_eni,
        )

    def _no_prefix(self) -> None:
        self._prefixes_at = self._sim.now + stand_in_s(self._without_prefix)
        self._prefixes_by = self._sim.now + STAND_IN_MOST_S
        self._without_prefix += 1
        self.pool.singles_stand_in = True

    def _failed(self, error: ReasonError) -> None:
        final, now, share = error.reason in _FINAL, self._sim.now, self._rng.random()
        self._retry_at = now + retry_pause_s(self._attempts, share, final=final, demand=True)
        self._rest_until = now + retry_pause_s(self._attempts, share, final=final, demand=False)
        self._attempts += 1

    def _learn(self, eni: Eni, added: Assigned) -> None:
        if eni.eni_id not in self.pool.enis:
            facts = EniFacts(
                eni_id=eni.eni_id,
                device_number=eni.device_number,
                primary_ip=eni.primary_ip,
                is_primary=eni.is_primary,
                attached_unix_s=eni.attached_unix_s,
            )
            self.pool.add_eni(facts, route_table(eni.device_number, 0), EniState.USABLE, self._moment())
        self.pool.add_addresses(eni.eni_id, added.ips)
        for prefix in added.prefixes:
            self.pool.add_prefix(eni.eni_id, prefix)

    def _shrink(self) -> Process[bool]:
        now = self._sim.now
        plan = plan_give_back(self._targets, self.supply(), self._config.limits, self.pool.enis.values(), now)
        if not plan:
            self._due = None
            return False
        if self._due is None:
            self._due = now + _SHRINK_PACE_S
        if now < self._due:
            return False
        self._due = now + _SHRINK_PACE_S
        with contextlib.suppress(ReasonError):  # a real node asks EC2 what it still has; here the next look tries again
            yield from self._release(plan)
        return True

    def _make_room(self) -> Process[bool]:
        """Before growth: slots that free addresses of the other mode take up."""
        plan = plan_room(self._targets, self.supply(), self._config.limits, self.pool.enis.values())
        if plan:
            with contextlib.suppress(ReasonError):
                yield from self._release(plan)
        return bool(plan)

    def _release(self, plan: GiveBack) -> Process[None]:
        pool = self.pool
        for item in plan.addresses:
            ips = pool.remove_addresses(item.eni_id, item.ips)
            prefixes = tuple(cidr for cidr in item.prefixes if pool.remove_prefix(item.eni_id, cidr))
            try:
                yield from self._capacity.release(item.eni_id, ips, prefixes, self._sim.now + _STEP_S)
            except ReasonError:
                self._learn(self._capacity.enis[item.eni_id], Assigned(ips, prefixes))
                raise
        for eni_id in plan.eni_ids:
            pool.set_state(eni_id, EniState.RELEASING)
            try:
                yield from self._capacity.remove(eni_id)
            except ReasonError:
                pool.set_state(eni_id, EniState.USABLE)
                raise
            pool.remove_eni(eni_id)

    # -- at rest ------------------------------------------------------------------------------------------------------

    def _at_rest(self, period: float, jitter: float, act: Callable[[], Process[None]]) -> Process[None]:
        while not self.gone:
            if self.rest:
                with contextlib.suppress(Ec2Error):  # the next one comes
                    yield from act()
            yield period + self._rng.uniform(-jitter, jitter) / 2

    def _sweep(self) -> Process[None]:
        yield from self._capacity.sweep(self._sim.now + _STEP_S)

    def _look(self) -> Process[None]:
        yield from self._capacity.look_again(self._sim.now + 30.0)
