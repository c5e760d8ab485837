"""The stores of the model and what every verb needs: look-ups with EC2's errors, ids, time, events."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Final

from vpccni_lab.ec2 import errors, events
from vpccni_lab.ec2.faults import FaultTable, Kind, Scope
from vpccni_lab.ec2.history import History
from vpccni_lab.ec2.pools import Ipv4Pool, Ipv6Pool
from vpccni_lab.ec2.records import (
    CidrReservation,
    Eni,
    Instance,
    PublicAddress,
    SecurityGroup,
    Subnet,
    Vpc,
)
from vpccni_lab.ec2.timing import Timeline, Timings

_HORIZON: Final = 900.0  # seconds of past kept for stale views
_HEX: Final = "0123456789abcdef"


class World:
    """Everything that exists. One thread only."""

    def __init__(self, clock: Callable[[], float], seed: int, address_choice: str) -> None:
        if address_choice not in ("random", "sequential"):
            raise ValueError(f"address_choice = {address_choice!r}: random or sequential is allowed")
        self.clock = clock
        self.rng = random.Random(seed)
        self.address_choice = address_choice
        self.timings = Timings()
        self.timeline = Timeline()
        self.faults = FaultTable()
        self.vpcs: dict[str, Vpc] = {}
        self.subnets: dict[str, Subnet] = {}
        self.reservations: dict[str, CidrReservation] = {}
        self.groups: dict[str, SecurityGroup] = {}
        self.public: dict[str, PublicAddress] = {}  # by public IP
        self.ipv4: dict[str, Ipv4Pool] = {}
        self.ipv6: dict[str, Ipv6Pool] = {}
        self.instances: History[Instance] = History(self.horizon)
        self.enis: History[Eni] = History(self.horizon)
        self.attached: dict[str, dict[str, None]] = {}  # instance id -> ENI ids, in order of attaching
        self.by_attachment: dict[str, str] = {}  # attachment id -> ENI id
        self.macs: set[str] = set()
        self.client_tokens: dict[str, tuple[str, str]] = {}  # token -> (fingerprint, ENI id), oldest first
        self._names: dict[str, str] = {}  # name of a live instance -> its id
        self._caller = ""
        self._action = ""
        self._subscribers: list[Callable[[events.Event], None]] = []

    def horizon(self) -> float:
        return _HORIZON

    def now(self) -> float:
        return self.clock()

    # ids

    def new_id(self, kind: str) -> str:
        """E.g. eni-0 and 16 hex digits, as EC2's long ids."""
        return f"{kind}-0{''.join(self.rng.choices(_HEX, k=16))}"

    def new_mac(self) -> str:
        while True:
            mac = "06:" + ":".join(f"{self.rng.randrange(256):02x}" for _ in range(5))
            if mac not in self.macs:
                self.macs.add(mac)
                return mac

    # events

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Returns a function that ends the subscription."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def emit(self, event: events.Event) -> None:
        for callback in list(self._subscribers):
            callback(event)

    # who asks for what (faults are scoped by it)

    @contextlib.contextmanager
    def during(self, caller: str, action: str) -> Iterator[None]:
        before = (self._caller, self._action)
        self._caller, self._action = caller, action
        try:
            yield
        finally:
            self._caller, self._action = before

    def fault(self, kind: Kind, *, subnet: str = "") -> bool:
        """Whether a fault of this kind hits the call under way."""
        return len(self.faults) > 0 and self.faults.find(kind, self.scope(subnet=subnet), self.now()) is not None

    def scope(self, *, action: str = "", subnet: str = "", instance: str = "") -> Scope:
        """Of the call under way, or of ``action`` on ``instance`` where the model acts by itself."""
        names = [self._caller] if self._caller else []
        for identity in (self._caller, instance):
            found = self.find_instance(identity)
            if found:
                names += [found.id, found.name]
        return Scope(tuple(dict.fromkeys(names)), action or self._action, subnet)

    def find_instance(self, identity: str) -> Instance | None:
        """By id, or by the name of a live one."""
        return self.instances.get(identity) or self.instances.get(self._names.get(identity, ""))

    def put_instance(self, instance: Instance) -> Instance:
        self.instances.put(instance.id, instance, self.now())
        if instance.alive:
            self._names[instance.name] = instance.id
        elif self._names.get(instance.name) == instance.id:
            del self._names[instance.name]
        return instance

    # look-ups that raise EC2's errors

    def vpc(self, vpc_id: str) -> Vpc:
        if vpc_id not in self.vpcs:
            raise errors.not_found("InvalidVpcID.NotFound", "vpc ID", [vpc_id])
        return self.vpcs[vpc_id]

    def subnet(self, subnet_id: str) -> Subnet:
        if subnet_id not in self.subnets:
            raise errors.not_found("InvalidSubnetID.NotFound", "subnet ID", [subnet_id])
        return self.subnets[subnet_id]

    def group(self, group_id: str) -> SecurityGroup:
        if group_id not in self.groups:
            raise errors.not_found("InvalidGroup.NotFound", "security group", [group_id])
        return self.groups[group_id]

    def instance(self, instance_id: str) -> Instance:
        found = self.instances.get(instance_id)
        if found is None:
            raise errors.not_found("InvalidInstanceID.NotFound", "instance ID", [instance_id])
        return found

    def eni(self, eni_id: str) -> Eni:
        found = self.enis.get(eni_id)
        if found is None or not self._old_enough(eni_id):
            raise errors.eni_not_found([eni_id])
        return found

    def _old_enough(self, eni_id: str) -> bool:
        lag = self.timings.reference_lag
        return not lag or self.enis.as_of(eni_id, self.now() - lag) is not None

    def put_eni(self, eni: Eni) -> Eni:
        self.enis.put(eni.id, eni, self.now())
        return eni

    def enis_of(self, instance_id: str) -> list[Eni]:
        """Attached or attaching or detaching, in order of attaching."""
        return [self.enis[eni_id] for eni_id in self.attached.get(instance_id, {})]

    # views

    def describe_age(self) -> float:
        """Seconds by which what describe calls show of ENIs is old."""
        fault = self.faults.find(Kind.DESCRIBE_STALE, self.scope(), self.now()) if len(self.faults) else None
        return max(self.timings.describe_lag, fault.seconds if fault else 0.0)

    def described_enis(self) -> list[Eni]:
        """All ENIs as describe calls show them."""
        age = self.describe_age()
        return self.enis.all_as_of(self.now() - age) if age else list(self.enis.values())

    def described_eni(self, eni_id: str) -> Eni | None:
        age = self.describe_age()
        return self.enis.as_of(eni_id, self.now() - age) if age else self.enis.get(eni_id)

    def described_enis_of(self, instance_id: str) -> list[Eni]:
        age = self.describe_age()
        if not age:
            return self.enis_of(instance_id)
        return [eni for eni in self.enis.all_as_of(self.now() - age) if eni.instance_id == instance_id]
