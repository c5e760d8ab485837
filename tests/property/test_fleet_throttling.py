"""A node's pacing under throttling: nothing that its deadline allows is lost, and nobody is flooded."""

from __future__ import annotations

import collections
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from vpccni_eni_manager.domain.ec2_errors import Ec2Error
from vpccni_lab.ec2.faults import Fault, Kind
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.fleet.cloud import Caller
from vpccni_lab.fleet.virtual import Process, Simulation

ADD_BOUND_S = 50.0


def one_node(seed: int) -> tuple[Simulation, Ec2, Caller, str]:
    sim = Simulation()
    ec2 = Ec2(clock=sim.clock, seed=seed)
    vpc = ec2.create_vpc(["10.0.0.0/16"])
    subnet = ec2.create_subnet(vpc.id, "10.0.0.0/20", "us-west-2a")
    instance = ec2.run_instance("m5.4xlarge", subnet.id, name="node")
    calls: collections.Counter[tuple[str, str]] = collections.Counter()
    return sim, ec2, Caller(sim, ec2, "node", random.Random(seed), calls), ec2.primary_eni(instance.id).id


@given(seed=st.integers(0, 10_000), skipped=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_one_call_in_ten_is_enough_for_an_add(seed: int, skipped: int) -> None:
    """EC2 accepts every tenth call. Whichever of the ten the first one is, an assign is through before its ADD fails."""
    sim, ec2, caller, eni = one_node(seed)
    ec2.faults.add(Fault(Kind.THROTTLE, one_in=10))
    for _ in range(skipped):  # another client of the account
        ec2.call("other", "DescribeVpcs", {})
    done: list[float] = []

    def assign() -> Process[None]:
        params = {"NetworkInterfaceId": eni, "SecondaryPrivateIpAddressCount": 1}
        yield from caller.call("AssignPrivateIpAddresses", params, sim.now + 120.0, repeatable=False)
        done.append(sim.now)

    sim.start(assign())
    sim.run(120.0)
    assert len(done) == 1
    assert done[0] < ADD_BOUND_S
    assert len(ec2.eni(eni).secondary_ips) == 1


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_an_hour_without_any_acceptance_is_met_with_few_calls(seed: int) -> None:
    """And the first accepted call afterwards comes within half a minute."""
    sim, ec2, caller, eni = one_node(seed)
    fault = ec2.faults.add(Fault(Kind.THROTTLE, rate=0.0, burst=1.0))
    ec2.call("other", "DescribeVpcs", {})
    done: list[float] = []

    def assign() -> Process[None]:
        params = {"NetworkInterfaceId": eni, "SecondaryPrivateIpAddressCount": 1}
        while not done:
            try:
                yield from caller.call("AssignPrivateIpAddresses", params, sim.now + 120.0, repeatable=False)
                done.append(sim.now)
            except Ec2Error:
                yield 20.0

    sim.start(assign())
    sim.run(3600.0)
    assert not done
    assert ec2.calls.total(caller="node") <= 3600 * 0.06
    ec2.faults.remove(fault)
    sim.run(3630.0)
    assert done
