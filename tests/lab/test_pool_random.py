"""A long seeded run of random steps on a node: ADD, DEL, restarts of either process, EC2 and IMDS faults, changed modes.

After every batch: no address is held twice, every pod's address is its ENI's in EC2, and EC2 was never asked to take away an
address that a pod holds. At the end every pod goes, and EC2 holds what the targets say: nothing has leaked.

VPCCNI_RANDOM_STEPS (default 2,000: a minute; the full run is 10,000: four) and VPCCNI_RANDOM_SEED repeat or lengthen it.
"""

from __future__ import annotations

import asyncio
import collections
import ipaddress
import os
import random
import time

import pytest
from pool_node import Held, PoolNode, harness, run
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab.ec2 import events

pytestmark = [pytest.mark.wire, pytest.mark.slow]
STEPS = int(os.environ.get("VPCCNI_RANDOM_STEPS", "2000"))
SEED = int(os.environ.get("VPCCNI_RANDOM_SEED", "0"))
PODS = 24
FAULTS = (
    {"kind": "throttle", "one_in": 3},
    {"kind": "error", "code": "InternalError", "status": 500, "count": 3},
    {"kind": "reset", "executes": True, "actions": ["Assign*", "Unassign*", "CreateNetworkInterface"], "count": 2},
    {"kind": "delay", "seconds": 0.3, "count": 4},
    {"kind": "subnet-full"},
    {"kind": "no-prefix"},
    {"kind": "describe-stale", "seconds": 2.0},
    {"kind": "imds-stale", "seconds": 5.0},
    {"kind": "imds-error", "status": 503, "count": 5},
    {"kind": "attach-delay", "seconds": 0.5},
)
# What an ADD may fail with while faults are set; anything else is a bug.
FAIR = {
    Reason.SUBNET_FULL,
    Reason.SUBNET_NO_PREFIX,
    Reason.SUBNET_NONE_ELIGIBLE,
    Reason.EC2_THROTTLED,
    Reason.EC2_REFUSED,
    Reason.EC2_UNREACHABLE,
    Reason.ENI_LIMIT,
    Reason.ENI_ATTACH_FAILED,
    Reason.ENI_MANAGER_UNREACHABLE,
    Reason.IMDS_UNREACHABLE,
    Reason.POOL_WARMING,
    Reason.ALL_COOLING,
    Reason.IPAM_UNREACHABLE,
    Reason.DEADLINE_EXCEEDED,
    Reason.NOT_READY,
    Reason.ADDRESS_QUARANTINED,
}


class Run:
    """``held``: pod -> address, as answered. ``unsure``: pods whose last call got no answer."""

    def __init__(self, node: PoolNode, seed: int) -> None:
        self.node = node
        self.random = random.Random(seed)
        self.held: dict[str, str] = {}
        self.unsure: set[str] = set()
        self.done: collections.Counter[str] = collections.Counter()
        self.robbed: list[str] = []
        self.history: collections.deque[str] = collections.deque(maxlen=4000)
        self.mode = False
        node.aws.ec2.subscribe(self._seen)

    def _seen(self, event: events.Event) -> None:
        """EC2 changed: an address that a pod has must not have gone."""
        self.done[type(event).__name__] += 1
        self.note(f"EC2 {event}")
        there = {a for eni in self.node.attached() for a in eni.secondary_ips}
        cidrs = [ipaddress.ip_network(c) for eni in self.node.attached() for c in eni.prefixes]
        for pod, address in self.held.items():
            if address not in there and not any(ipaddress.ip_address(address) in cidr for cidr in cidrs):
                self.robbed.append(f"{pod} {address} after {event}")

    def note(self, what: str) -> None:
        self.history.append(f"{time.time():.3f} {what}")

    def about(self, address: str) -> str:
        """What happened to an address, and the restarts and faults in between."""
        return "\n".join(line for line in self.history if f"'{address}'" in line or " EC2 " not in line)

    async def add(self, pod: str) -> None:
        try:
            address = await self.node.address(pod, timeout=4)
        except ReasonError as error:
            assert error.reason in FAIR, error
            self.done[f"ADD {error.reason}"] += 1
            self.unsure.add(pod)
            return
        assert self.held.get(pod, address) == address, "a repeated ADD gives the same address"
        others = {held for name, held in self.held.items() if name != pod}
        assert address not in others, f"{address} is given twice"
        self.unsure.discard(pod)
        self.held[pod] = address
        self.done["ADD"] += 1
        self.note(f"ADD {pod} '{address}'")

    async def delete(self, pod: str) -> None:
        # From here on the address may go at any time.
        self.note(f"DEL {pod} '{self.held.pop(pod, None)}'")
        try:
            await self.node.delete(pod, timeout=4)
        except ReasonError as error:
            assert error.reason in (Reason.IPAM_UNREACHABLE, Reason.DEADLINE_EXCEEDED), error
            self.unsure.add(pod)
            return
        self.unsure.discard(pod)
        self.done["DEL"] += 1

    async def step(self) -> int:
        """One random step, or a burst of them. Returns how many."""
        kind = self.random.random()
        if kind < 0.86:
            pods = self.random.sample(range(PODS), self.random.choice((1, 1, 1, 2, 5, 14)))
            await asyncio.gather(*(self._either(f"p{n}") for n in pods))
            return len(pods)
        if kind < 0.93:
            await self._fault()
        elif kind < 0.965:
            await self._crash_ipam()
        elif kind < 0.98:
            await self.node.eni.kill()
            await self.node.eni.start()
            self.done["eni-manager killed"] += 1
            self.note("eni-manager killed")
        else:
            await asyncio.sleep(self.random.uniform(0.5, 1.5))
        return 1

    async def _either(self, pod: str) -> None:
        await (self.delete(pod) if pod in self.held and self.random.random() < 0.6 else self.add(pod))

    async def _fault(self) -> None:
        faults = self.node.aws.ec2.faults
        faults.clear()
        if self.random.random() < 0.7:
            fault = self.random.choice(FAULTS)
            faults.add(fault)
            self.note(f"fault {fault}")
            self.done[f"fault {fault['kind']}"] += 1

    async def _crash_ipam(self) -> None:
        """kill -9 while calls are under way, perhaps in another mode afterwards."""
        calls = [asyncio.create_task(self.add(f"p{n}")) for n in self.random.sample(range(PODS), 3)]
        await asyncio.sleep(self.random.uniform(0, 0.02))
        await self.node.kill()
        self.note("ipam killed")
        await asyncio.gather(*calls)
        if self.random.random() < 0.3:
            self.mode = not self.mode
            self.node.environ["ENABLE_PREFIX_DELEGATION"] = str(self.mode).lower()
        self.node.aws.ec2.faults.clear()
        await self.node.start()
        self.done["ipam killed"] += 1

    def check(self) -> None:
        if self.robbed:
            address = self.robbed[0].split()[1]
            pytest.fail(f"{self.robbed}\n{self.about(address)}\n{self.node.log()[-20000:]}")
        recorded = {k.removeprefix("c-"): a for k, a in self.node.stored().items()}
        known = {pod: address for pod, address in recorded.items() if pod not in self.unsure}
        assert known == {pod: address for pod, address in self.held.items() if pod not in self.unsure}
        assert len(set(recorded.values())) == len(recorded)
        wired = [pod.address for pod in self.node.netconf.pods.values()]
        assert len(set(wired)) == len(wired)


def test_random_steps_give_no_address_twice_and_leak_none() -> None:
    async def body(node: PoolNode) -> None:
        run_ = Run(node, SEED)
        steps = 0
        while steps < STEPS:
            steps += await run_.step()
            run_.check()
        node.aws.ec2.faults.clear()
        for number in range(PODS):
            run_.held.pop(f"p{number}", None)
            await node.delete(f"p{number}")
        assert node.stored() == {} and node.netconf.pods == {}
        await harness.until(lambda: settled(node, run_.mode), lambda: f"{node.held()}\n{node.log()}", limit_s=120)
        assert run_.done["AddressesChanged"], "EC2 was watched"
        print(dict(run_.done))

    async def settled(node: PoolNode, prefixes: bool) -> bool:
        held = node.held()
        loose = [eni.id for eni in node.aws.enis() if eni.attachment is None]
        seen = await node.inspect()
        kept = held.prefixes == 1 and held.singles == 0 if prefixes else held.singles == 3 and held.prefixes == 0
        # What is left may be on a secondary ENI; one that holds nothing is left over.
        primary = node.aws.ec2.primary_eni(node.aws.node.id).id
        empty = [e.id for e in node.attached() if e.id != primary and not e.secondary_ips and not e.prefixes]
        return kept and not loose and not empty and seen.total == (16 if prefixes else 3)

    run(body, "m5.large", WARM_IP_TARGET="3")


def test_a_throttled_minute_loses_no_add_that_its_deadline_allows() -> None:
    """EC2 accepts one call in ten for a minute; a burst of pods comes at its start, and one every five seconds until its end."""

    async def body(node: PoolNode) -> None:
        await node.holds(Held(1, 2, 0))
        ec2 = node.aws.ec2
        ec2.faults.add({"kind": "throttle", "one_in": 10, "expires": ec2.world.now() + 60})
        adding = [asyncio.create_task(node.address(f"p{number}", 110)) for number in range(8)]
        for number in range(8, 20):
            await asyncio.sleep(5)
            adding.append(asyncio.create_task(node.address(f"p{number}", 110)))
        held = await asyncio.gather(*adding)
        assert len(set(held)) == 20
        assert ec2.calls.total(code="RequestLimitExceeded") > 0

    run(body, "m5.large", WARM_IP_TARGET="2", VPCCNI_ADD_WAIT="100")
