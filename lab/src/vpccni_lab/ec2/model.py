"""The model's front: what the rest of the lab calls. Rules live in the verbs; this only names them and keeps time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vpccni_lab.ec2 import events, instances, network
from vpccni_lab.ec2.api import dispatch
from vpccni_lab.ec2.api.dispatch import Reply
from vpccni_lab.ec2.api.params import Params
from vpccni_lab.ec2.calls import CallLog
from vpccni_lab.ec2.faults import FaultTable
from vpccni_lab.ec2.granting import Wish
from vpccni_lab.ec2.instances import NewInstance
from vpccni_lab.ec2.records import NO_TAGS, CidrReservation, Eni, Instance, SecurityGroup, Subnet, Tags, Vpc
from vpccni_lab.ec2.timing import Timings
from vpccni_lab.ec2.world import World


class Ec2:
    """``clock``: seconds, never going back (time.time, or a simulation's). ``seed``: of ids, MACs and address choice.

    ``address_choice``: "random" as EC2 does, or "sequential" (lowest free address). Not thread safe.
    """

    def __init__(self, clock: Callable[[], float], seed: int = 0, address_choice: str = "random") -> None:
        self.world = World(clock, seed, address_choice)
        self.calls = CallLog()
        self.imds_calls = CallLog()

    # time and events

    @property
    def timings(self) -> Timings:
        return self.world.timings

    @timings.setter
    def timings(self, value: Timings) -> None:
        self.world.timings = value

    @property
    def faults(self) -> FaultTable:
        return self.world.faults

    def advance(self) -> None:
        """Do what is due by the clock, in order, emitting events."""
        self.world.timeline.run(self.world.now())

    def next_due(self) -> float | None:
        """Clock time of the next thing to do, None if nothing waits."""
        return self.world.timeline.next_due()

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Events from now on; the returned function ends it."""
        return self.world.subscribe(callback)

    def call(self, caller: str, action: str, params: Params) -> Reply:
        """An API call without HTTP (tests, simulations): same rules, faults and log. See Reply for delays."""
        return dispatch.call(self.world, self.calls, caller, action, params)

    # building

    def create_vpc(self, cidrs: Sequence[str], ipv6_cidrs: Sequence[str] = (), tags: Tags = NO_TAGS) -> Vpc:
        return network.create_vpc(self.world, cidrs, ipv6_cidrs, tags)

    def create_subnet(
        self, vpc_id: str, cidr: str, az: str = "", ipv6_cidr: str | None = None, tags: Tags = NO_TAGS
    ) -> Subnet:
        return network.create_subnet(self.world, vpc_id, cidr, az, ipv6_cidr, tags)

    def create_reservation(self, subnet_id: str, cidr: str, kind: str = "prefix") -> CidrReservation:
        return network.create_reservation(self.world, subnet_id, cidr, kind)

    def create_security_group(self, vpc_id: str, name: str, description: str = "") -> SecurityGroup:
        return network.create_security_group(self.world, vpc_id, name, description)

    def run_instance(
        self,
        instance_type: str,
        subnet_id: str,
        *,
        private_ip: str | None = None,
        public_ip: str | None = None,
        ipv6_count: int = 0,
        groups: Sequence[str] = (),
        tags: Tags = NO_TAGS,
        name: str = "",
    ) -> Instance:
        """Running at once with its primary ENI attached. ``public_ip``: None, "auto" or an address."""
        self.advance()
        new = NewInstance(
            type=instance_type,
            subnet_id=subnet_id,
            private_ip=private_ip or "",
            groups=tuple(groups),
            ipv6=Wish(count=ipv6_count),
            public_ip=public_ip or "",
            tags=tags,
            name=name,
        )
        return instances.run(self.world, new)

    def terminate_instance(self, instance_id: str) -> None:
        self.advance()
        instances.terminate(self.world, instance_id)

    # looking

    def vpc(self, vpc_id: str) -> Vpc:
        return self.world.vpc(vpc_id)

    def subnet(self, subnet_id: str) -> Subnet:
        return self.world.subnet(subnet_id)

    def instance(self, instance_id: str) -> Instance:
        return self.world.instance(instance_id)

    def eni(self, eni_id: str) -> Eni:
        return self.world.eni(eni_id)

    def vpcs(self) -> list[Vpc]:
        return list(self.world.vpcs.values())

    def subnets(self) -> list[Subnet]:
        return list(self.world.subnets.values())

    def instances(self) -> list[Instance]:
        return list(self.world.instances.values())

    def enis(self) -> list[Eni]:
        return list(self.world.enis.values())

    def enis_of(self, instance_id: str) -> list[Eni]:
        """ENIs attached, attaching or detaching; the primary first."""
        return self.world.enis_of(instance_id)

    def primary_eni(self, instance_id: str) -> Eni:
        return self.world.enis_of(self.world.instance(instance_id).id)[0]

    def security_groups(self) -> list[SecurityGroup]:
        return list(self.world.groups.values())

    def free_addresses(self, subnet_id: str) -> int:
        """As AvailableIpAddressCount: free IPv4 addresses, a prefix counting as 16."""
        self.world.subnet(subnet_id)
        return self.world.ipv4[subnet_id].free
