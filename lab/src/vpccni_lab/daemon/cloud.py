"""EC2's model joined to the fabric: what changes in the one is wired in the other before the API call is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from vpccni_api.reasons import ReasonError

from vpccni_lab.ec2 import controller, events, interfaces, network
from vpccni_lab.ec2.faults import Fault
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Instance, Rule, SecurityGroup, Subnet, Vpc
from vpccni_lab.ec2.timing import Timings
from vpccni_lab.fabric.network import Counters, Fabric
from vpccni_lab.spec import LabSpec, NodeSpec

_T = TypeVar("_T")
_TICK: Final = 0.02
"""Seconds between looks at what is due in EC2 (the end of an attach delay)."""


class Cloud:
    """One VPC. Methods are for the event loop's thread; the fabric has a thread of its own, which they wait for (a few ms)."""

    def __init__(self, spec: LabSpec, on_problem: Callable[[str], None]) -> None:
        self.ec2 = Ec2(clock=time.time, seed=spec.seed)
        self.ec2.timings = Timings(**spec.timings)
        for fault in spec.faults:
            self.ec2.faults.add(Fault.from_dict(fault))
        self.fabric = Fabric(spec.name)
        self.vpc: Vpc | None = None
        self.subnets: dict[str, Subnet] = {}
        self.nodes_group = ""
        self._spec = spec
        self._on_problem = on_problem
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fabric")
        self._ticker: asyncio.Task[None] | None = None

    def build(self) -> None:
        """VPC, subnets and the fabric's fixed part. Raises OSError, ReasonError, Ec2Error."""
        self._in_fabric(self.fabric.build)
        self.ec2.subscribe(self._on_event)
        self.vpc = self.ec2.create_vpc(self._spec.cidrs, self._spec.ipv6_cidrs)
        self._set_cidrs(self.vpc)
        self.nodes_group = self._open_group(self.vpc).id
        for subnet in self._spec.subnets:
            self.subnets[subnet.name] = self.ec2.create_subnet(
                self.vpc.id, subnet.cidr, subnet.az, ipv6_cidr=subnet.ipv6_cidr, tags=dict(subnet.tags)
            )
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    def launch(self, node: NodeSpec, netns: Path) -> Instance:
        """Runs an instance whose links appear in ``netns``. Raises Ec2Error, OSError."""
        instance = self.ec2.run_instance(
            node.instance_type,
            self.subnets[node.subnet].id,
            private_ip=node.private_ip or None,
            public_ip="auto" if node.public_ip else None,
            ipv6_count=node.ipv6,
            tags={"Name": node.name, **node.tags},
            name=node.name,
            groups=(self.nodes_group,),
        )
        self._in_fabric(lambda: self.fabric.add_host(instance.id, netns))
        self._sync()
        return instance

    def counters(self) -> Counters:
        """Packets that the fabric dropped."""
        return self._in_fabric(self.fabric.counters)

    def link_in_host(self, eni_id: str) -> str | None:
        """Name of the ENI's link in its node."""
        return self._in_fabric(lambda: self.fabric.link_in_host(eni_id))

    def public_of(self) -> dict[str, str]:
        """Private address -> public address, of everything attached."""
        return {
            public.private_ip: public.public_ip
            for eni in self.ec2.enis()
            if eni.on_wire
            for public in eni.public
            if public.private_ip
        }

    def enis(self, instance_id: str) -> list[dict[str, Any]]:
        """What ``vpclab ps`` and ``status`` show of an instance's ENIs."""
        return [
            {
                "id": eni.id,
                "mac": eni.mac,
                "device_index": eni.attachment.device_index if eni.attachment else None,
                "status": eni.attachment.status if eni.attachment else "",
                "link": self.link_in_host(eni.id),
                "subnet": eni.subnet_id,
                "private_ip": eni.private_ip,
                "secondary_ips": list(eni.secondary_ips),
                "prefixes": list(eni.prefixes),
                "ipv6_addresses": list(eni.ipv6_addresses),
                "ipv6_prefixes": list(eni.ipv6_prefixes),
            }
            for eni in self.ec2.enis_of(instance_id)
        ]

    def branch(self, instance_id: str, groups: Sequence[str], subnet_id: str) -> dict[str, Any]:
        """A branch ENI for a pod of the instance, as the VPC resource controller makes one: the annotation's entry.

        The instance gets a trunk ENI if it has none. ``groups``, ``subnet_id`` empty: the nodes' group, the trunk's subnet.
        Raises ReasonError KERNEL_REFUSED, Ec2Error.
        """
        self._in_fabric(self.fabric.require_vlans)
        eni = controller.branch(self.ec2.world, instance_id, groups or (self.nodes_group,), subnet_id)
        return controller.annotation(self.ec2.world, eni)

    def drop_branch(self, eni_id: str) -> None:
        """Deletes a branch ENI. Raises Ec2Error."""
        interfaces.delete(self.ec2.world, eni_id)

    def _open_group(self, vpc: Vpc) -> SecurityGroup:
        # what installers of clusters set up for nodes, more or less: everything may come in
        group = self.ec2.create_security_group(vpc.id, "nodes", "nodes of the lab")
        allow = [Rule(False, "-1", -1, -1, cidr) for cidr in ("0.0.0.0/0", "::/0")]
        return network.change_rules(self.ec2.world, group.id, add=allow)

    async def close(self) -> None:
        """Removes the fabric. Idempotent."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        self._in_fabric(self.fabric.close)
        self._thread.shutdown()

    def _in_fabric(self, function: Callable[[], _T]) -> _T:
        return self._thread.submit(function).result()

    def _set_cidrs(self, vpc: Vpc) -> None:
        self._in_fabric(lambda: self.fabric.set_vpc_cidrs([*vpc.cidrs, *vpc.ipv6_cidrs]))

    def _on_event(self, event: events.Event) -> None:
        try:
            match event:
                case events.SubnetCreated(subnet):
                    self._in_fabric(lambda: self.fabric.add_subnet(str(subnet.cidr)))
                case events.VpcChanged(vpc):
                    self._set_cidrs(vpc)
                case events.InstanceTerminated(instance):
                    self._in_fabric(lambda: self.fabric.remove_host(instance.id))
                    self._sync()
                case events.InstanceLaunched():
                    pass
                case _:
                    self._sync()
        except (OSError, ReasonError) as exc:
            # EC2's state stands; the fabric tries again at the next event
            self._on_problem(f"fabric: {exc}")

    def _sync(self) -> None:
        enis, public, groups = self.ec2.enis(), self.public_of(), self.ec2.security_groups()

        def sync() -> None:
            self.fabric.sync(enis, groups)
            self.fabric.set_public(public)

        self._in_fabric(sync)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            due = self.ec2.next_due()
            if due is not None and due <= time.time():
                self.ec2.advance()


def fault_from(data: Mapping[str, Any], now: float) -> Fault:
    """A fault as the CLI sends it: ``for_seconds`` stands for an expiry from now. Raises ValueError."""
    values = dict(data)
    lasting = values.pop("for_seconds", None)
    if lasting is not None:
        values["expires"] = now + float(lasting)
    return Fault.from_dict(values)
