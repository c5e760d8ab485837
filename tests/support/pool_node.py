"""A node as the pool sees it: the real ipam and eni-manager processes, the lab's EC2 and IMDS, and a kernel in a dictionary.

No packets and no namespaces, so that thousands of ADDs take seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable

from eni_aws import CALLER, Aws, Process
from vpccni_lab.ec2 import limits
from vpccni_lab.ec2.model import Ec2
from vpccni_lab.ec2.records import Eni
from vpccni_lab.ec2.timing import Timings
from wire_ipam import harness

FAST = {"IP_COOLDOWN_PERIOD": "0", "VPCCNI_SHRINK_PACE": "1"}
AGE_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Held:
    """What EC2 holds for the node: attached ENIs, single secondary addresses, prefixes of either family."""

    enis: int
    singles: int
    prefixes: int


class AgedAws(Aws):
    """Its clock is an hour slow: ENIs that EC2 attaches now look an hour old, and may be given back at once."""

    def __init__(self, instance_type: str, subnet: str, *, ipv6_address: bool = False) -> None:
        self.ec2 = Ec2(clock=lambda: time.time() - AGE_S, seed=7)
        self.ec2.timings = Timings()
        self.vpc = self.ec2.create_vpc(cidrs=["10.0.0.0/16"], ipv6_cidrs=["2001:db8:0:100::/56"])
        self.subnet = self.ec2.create_subnet(self.vpc.id, subnet, "us-west-2a", ipv6_cidr="2001:db8:0:101::/64")
        self.node = self.ec2.run_instance(instance_type, self.subnet.id, name=CALLER, ipv6_count=int(ipv6_address))
        self.ec2_url = self.imds_url = ""


class PoolNode(harness.World):  # type: ignore[misc, name-defined]
    """``aws`` is the model itself: what EC2 really holds. ``eni`` is the eni-manager process."""

    def __init__(self, path: pathlib.Path, aws: Aws, environ: dict[str, str]) -> None:
        super().__init__(path, environ)
        self.aws = aws
        (path / "run").mkdir(exist_ok=True)
        socket_path = str(path / "run/eni-manager.sock")
        self.eni = Process(aws, path, VPCCNI_ENI_MANAGER_SOCKET=socket_path, **environ)

    def attached(self) -> list[Eni]:
        node = self.aws.node.id
        return [e for e in self.aws.enis() if e.attachment is not None and e.attachment.instance_id == node]

    def held(self) -> Held:
        enis = self.attached()
        prefixes = sum(len(e.prefixes) + len(e.ipv6_prefixes) for e in enis)
        return Held(len(enis), sum(len(e.secondary_ips) for e in enis), prefixes)

    async def holds(self, expected: Held) -> None:
        """Waits until EC2 holds exactly this and ipam wants nothing else."""

        async def there() -> bool:
            if self.held() != expected:
                return False
            seen = await self.inspect()
            return (not seen.growth.active and seen.deficit <= 0) or self._full(expected)

        await harness.until(there, lambda: f"expected {expected}, EC2 has {self.held()}\n{self.log()}")

    def _full(self, expected: Held) -> bool:
        """At the limit of the instance the pool stays short of its target."""
        return expected.enis == limits.instance_type(self.aws.node.type).cards[0].max_interfaces

    def tag(self, resource: str, key: str, value: str) -> None:
        """As somebody else would."""
        self.aws.ec2.call(
            "admin", "CreateTags", {"Resources": [resource], "Tags": [{"Key": key, "Value": value}]}
        ).value()

    async def ended(self) -> int:
        """Waits for ipam to exit by itself."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, 30)

    async def add_all(self, names: list[str]) -> dict[str, str]:
        """name -> address; the ADDs come at once."""
        return dict(zip(names, await asyncio.gather(*(self.address(n) for n in names)), strict=True))


@contextlib.asynccontextmanager
async def pool_node(
    instance_type: str = "m5.large",
    *,
    subnet: str = "10.0.0.0/20",
    started: bool = True,
    ipv6_address: bool = False,
    **environ: str,
) -> AsyncIterator[PoolNode]:
    """A node with one ENI and nothing on it."""
    aws = AgedAws(instance_type, subnet, ipv6_address=ipv6_address)
    with tempfile.TemporaryDirectory(prefix="b1-") as directory:
        async with aws.serving():
            node = PoolNode(pathlib.Path(directory), aws, {**FAST, **environ})
            try:
                await node.netconf_leaf.start()
                await node.eni.start()
                if started:
                    await node.start()
                yield node
            finally:
                if node.process is not None and node.process.poll() is None:
                    await node.kill()
                await node.channel.close()
                await node.netconf_leaf.stop()
                await node.eni.close_channel()
                await node.eni.kill()


def run(body: Callable[[PoolNode], object], instance_type: str = "m5.large", **more: object) -> None:
    async def scenario() -> None:
        async with pool_node(instance_type, **more) as node:  # type: ignore[arg-type]
            await body(node)  # type: ignore[misc]

    asyncio.run(scenario())
