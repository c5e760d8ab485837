"""Any sequence of calls: no address given twice, counts add up, limits hold, and events alone tell what is on the wire."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from vpccni_lab.ec2 import events
from vpccni_lab.ec2.errors import Ec2Error
from vpccni_lab.ec2.limits import instance_type
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni, Subnet
from vpccni_lab.ec2.timing import Timings

COUNT = st.integers(1, 12)
WISHES = st.sampled_from(["SecondaryPrivateIpAddressCount", "Ipv4PrefixCount"])
SIX = st.sampled_from(["Ipv6AddressCount", "Ipv6PrefixCount"])
# What EC2 may answer here; anything else is a defect of the model.
REFUSALS = {
    "AttachmentLimitExceeded",
    "IncorrectState",
    "InsufficientCidrBlocks",
    "InsufficientFreeAddressesInSubnet",
    "InvalidAttachmentID.NotFound",
    "InvalidInstanceID.NotFound",
    "InvalidNetworkInterface.InUse",
    "InvalidNetworkInterfaceID.NotFound",
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "OperationNotPermitted",
    "PrivateIpAddressLimitExceeded",
}


class Accounting(RuleBasedStateMachine):
    enis: Bundle[str] = Bundle("enis")
    nodes: Bundle[str] = Bundle("nodes")

    @initialize(choice=st.sampled_from(["random", "sequential"]), delay=st.sampled_from([0.0, 3.0]))
    def start(self, choice: str, delay: float) -> None:
        self.now = 0.0
        self.ec2 = Ec2(clock=lambda: self.now, seed=1, address_choice=choice)
        vpc = self.ec2.create_vpc(["10.0.0.0/16"], ["2001:db8::/56"])
        self.subnets = [
            self.ec2.create_subnet(vpc.id, "10.0.1.0/25", "us-west-2a", "2001:db8:0:1::/64"),
            self.ec2.create_subnet(vpc.id, "10.0.2.0/27", "us-west-2a", "2001:db8:0:2::/64"),
        ]
        self.ec2.create_reservation(self.subnets[0].id, "10.0.1.64/27", "prefix")
        self.ec2.timings = Timings(attach=delay, detach=delay, terminate=delay)
        self.wire: dict[str, Eni] = {}
        self.ec2.subscribe(self.on_event)

    def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.EniAttached):
            assert event.eni.id not in self.wire
            self.wire[event.eni.id] = event.eni
        elif isinstance(event, events.EniDetached):
            del self.wire[event.eni.id]
        elif isinstance(event, events.AddressesChanged):
            assert event.eni.id in self.wire
            self.wire[event.eni.id] = event.eni

    def call(self, action: str, **params: Any) -> dict[str, Any] | None:
        reply = self.ec2.call("machine", action, params)
        if reply.error:
            assert reply.error.code in REFUSALS, reply.error
            return None
        return reply.result

    @rule(target=nodes, subnet=st.integers(0, 1), kind=st.sampled_from(["t3.small", "m5.large", "m4.large"]))
    def run_instance(self, subnet: int, kind: str) -> Any:
        try:
            return self.ec2.run_instance(kind, self.subnets[subnet].id).id
        except Ec2Error as error:
            assert error.code == "InsufficientFreeAddressesInSubnet"
            return multiple()

    @rule(node=nodes)
    def terminate(self, node: str) -> None:
        self.call("TerminateInstances", InstanceIds=[node])

    @rule(target=enis, subnet=st.integers(0, 1), wish=WISHES, count=COUNT, six=SIX, six_count=st.integers(0, 3))
    def create(self, subnet: int, wish: str, count: int, six: str, six_count: int) -> Any:
        made = self.call("CreateNetworkInterface", SubnetId=self.subnets[subnet].id, **{wish: count, six: six_count})
        return made["NetworkInterface"]["NetworkInterfaceId"] if made else multiple()

    @rule(target=enis, node=nodes)
    def name_primary(self, node: str) -> Any:
        held = self.ec2.enis_of(node)
        return held[0].id if held else multiple()

    @rule(eni=enis, node=nodes, index=st.integers(0, 3))
    def attach(self, eni: str, node: str, index: int) -> None:
        self.call("AttachNetworkInterface", NetworkInterfaceId=eni, InstanceId=node, DeviceIndex=index)

    @rule(eni=enis, force=st.booleans())
    def detach(self, eni: str, force: bool) -> None:
        held = self._find(eni)
        if held and held.attachment:
            self.call("DetachNetworkInterface", AttachmentId=held.attachment.id, Force=force)

    @rule(eni=enis)
    def delete(self, eni: str) -> None:
        self.call("DeleteNetworkInterface", NetworkInterfaceId=eni)

    @rule(eni=enis, wish=WISHES, count=COUNT)
    def assign(self, eni: str, wish: str, count: int) -> None:
        before = self._find(eni)
        answer = self.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni, **{wish: count})
        if answer and before:
            assert len(answer["AssignedPrivateIpAddresses"]) + len(answer["AssignedIpv4Prefixes"]) == count
            old = set(before.private_ips) | set(before.prefixes)
            new = {a["PrivateIpAddress"] for a in answer["AssignedPrivateIpAddresses"]}
            new |= {p["Ipv4Prefix"] for p in answer["AssignedIpv4Prefixes"]}
            assert not old & new
        else:
            assert self._find(eni) == before

    @rule(eni=enis, six=SIX, count=st.integers(1, 4))
    def assign_ipv6(self, eni: str, six: str, count: int) -> None:
        self.call("AssignIpv6Addresses", NetworkInterfaceId=eni, **{six: count})

    @rule(eni=enis, data=st.data())
    def unassign(self, eni: str, data: st.DataObject) -> None:
        held = self._find(eni)
        if held is None:
            return
        some = [*held.secondary_ips, *held.prefixes, *held.ipv6_addresses, *held.ipv6_prefixes]
        if not some:
            return
        chosen = data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=5, unique=True))
        four = [c for c in chosen if ":" not in c]
        sixes = [c for c in chosen if ":" in c]
        if four:
            names = {
                "PrivateIpAddresses": [c for c in four if "/" not in c],
                "Ipv4Prefixes": [c for c in four if "/" in c],
            }
            assert self.call("UnassignPrivateIpAddresses", NetworkInterfaceId=eni, **names) is not None
        if sixes:
            names = {
                "Ipv6Addresses": [c for c in sixes if "/" not in c],
                "Ipv6Prefixes": [c for c in sixes if "/" in c],
            }
            assert self.call("UnassignIpv6Addresses", NetworkInterfaceId=eni, **names) is not None

    @rule(seconds=st.sampled_from([1.0, 3.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.ec2.advance()

    def _find(self, eni_id: str) -> Eni | None:
        return next((eni for eni in self.ec2.enis() if eni.id == eni_id), None)

    @invariant()
    def no_address_twice_and_counts_add_up(self) -> None:
        for subnet in self.subnets:
            held = [eni for eni in self.ec2.enis() if eni.subnet_id == subnet.id]
            self._check_ipv4(subnet, held)
            self._check_ipv6(subnet, held)
        macs = Counter(eni.mac for eni in self.ec2.enis())
        assert not [mac for mac, number in macs.items() if number > 1]

    def _check_ipv4(self, subnet: Subnet, held: list[Eni]) -> None:
        used = [int(ipaddress.IPv4Address(a)) for eni in held for a in eni.private_ips]
        for eni in held:
            for prefix in eni.prefixes:
                assert prefix.endswith("/28")
                base = int(ipaddress.IPv4Address(prefix.removesuffix("/28")))
                used += range(base, base + 16)
        assert len(set(used)) == len(used)
        low, high = int(subnet.cidr[0]), int(subnet.cidr[-1])
        assert all(low + 4 <= address < high for address in used)
        assert self.ec2.free_addresses(subnet.id) == subnet.cidr.num_addresses - 5 - len(used)

    def _check_ipv6(self, subnet: Subnet, held: list[Eni]) -> None:
        assert subnet.ipv6_cidr is not None
        addresses = [ipaddress.IPv6Address(a) for eni in held for a in eni.ipv6_addresses]
        prefixes = [ipaddress.IPv6Network(p) for eni in held for p in eni.ipv6_prefixes]
        assert len(set(addresses)) == len(addresses)
        assert len(set(prefixes)) == len(prefixes)
        assert all(p.prefixlen == 80 and p.subnet_of(subnet.ipv6_cidr) for p in prefixes)
        assert all(a in subnet.ipv6_cidr and not any(a in p for p in prefixes) for a in addresses)

    @invariant()
    def limits_hold(self) -> None:
        for instance in self.ec2.instances():
            kind = instance_type(instance.type)
            held = self.ec2.enis_of(instance.id)
            assert len(held) <= kind.max_interfaces
            slots = [(e.attachment.network_card, e.attachment.device_index) for e in held if e.attachment]
            assert len(set(slots)) == len(slots) == len(held)
            for eni in held:
                assert eni.ipv4_slots <= kind.ipv4_per_eni
                assert eni.ipv6_slots <= kind.ipv6_per_eni
                assert kind.prefixes or not (eni.prefixes or eni.ipv6_prefixes)

    @invariant()
    def events_tell_what_is_on_the_wire(self) -> None:
        real = {eni.id: eni for eni in self.ec2.enis() if eni.on_wire}
        assert set(real) == set(self.wire)
        for eni_id, eni in real.items():
            seen = self.wire[eni_id]
            assert (seen.private_ips, seen.prefixes) == (eni.private_ips, eni.prefixes)
            assert (seen.ipv6_addresses, seen.ipv6_prefixes) == (eni.ipv6_addresses, eni.ipv6_prefixes)


Accounting.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestAccounting = Accounting.TestCase
