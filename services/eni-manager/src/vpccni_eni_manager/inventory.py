"""What the instance holds: IMDS and EC2 put together, kept up to date by our own calls, so that a step needs no describe."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Iterable

from vpccni_api.reasons import ReasonError
from vpccni_kit import telemetry

from vpccni_eni_manager.domain import managed, merge_imds_ec2, subnet_rules
from vpccni_eni_manager.domain.model import Eni, Inventory, Node, Source, Subnet
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.ports import Ec2, Imds

log = logging.getLogger(__name__)


class Inventories:
    """The one holder of the last known inventory. Changes are made on the event loop only, so it needs no lock."""

    def __init__(self, ec2: Ec2, imds: Imds, policy: Policy) -> None:
        self._ec2 = ec2
        self._imds = imds
        self._policy = policy
        self._node: Node | None = None
        self._subnets: dict[str, Subnet] = {}
        self._current: Inventory | None = None
        self._refresh: asyncio.Task[Inventory] | None = None
        self._changed = asyncio.Event()
        # Grows over restarts too: a client may compare it with one from the process before.
        self._generation = int(time.time() * 1000)
        self._told: dict[str, merge_imds_ec2.Told] = {}
        self._closed = False
        self._doubted = False
        self.asked_ec2_at = 0.0
        self.own_change_at = 0.0

    def close(self) -> None:
        """Ends every ``changes``."""
        self._closed = True
        self._changed.set()

    @property
    def current(self) -> Inventory | None:
        """The last known, whatever its source; None before the first read."""
        return self._current

    async def node(self, *, fresh: bool = False) -> Node:
        """Who we are. Identity never changes while the process lives; VPC CIDRs and security groups do: ``fresh``."""
        if self._node is None or fresh:
            self._node = await self._imds.node()
        return self._node

    async def get(self, deadline: float) -> Inventory:
        """The truth as far as we know it: EC2's, asked once and followed from there (IMDS's in IMDS-only mode)."""
        if self._policy.imds_only:
            return await self.from_imds()
        if self._current is not None and self._current.source is Source.EC2 and not self._doubted:
            return self._current
        return await self.from_ec2(deadline)

    def doubt(self, eni_id: str, addresses: Iterable[str]) -> None:
        """A call of ours may have taken these addresses and prefixes from the ENI: EC2 is asked before the next step."""
        self._doubted = True
        if told := self._told.get(eni_id):
            self._told[eni_id] = merge_imds_ec2.without_word_on(told, addresses)

    async def from_imds(self) -> Inventory:
        """IMDS's view now, with tags and types as EC2 told them last. Becomes the current one only where EC2 is never asked."""
        node, enis = await self.node(), await self._imds.enis()
        known = self._current.enis if self._current else ()
        judged = self._judged(merge_imds_ec2.enrich(enis, known), node)
        if self._policy.imds_only or self._current is None:
            self._adopt(judged, Source.IMDS, node)
        return Inventory(
            enis=judged, source=Source.IMDS, generation=self._generation, vpc_ipv4_cidrs=node.vpc_ipv4_cidrs
        )

    async def from_ec2(self, deadline: float) -> Inventory:
        """Asks EC2 now; callers at the same time share one call. Raises Ec2Error."""
        if self._policy.imds_only:
            return await self.from_imds()
        while True:
            mine = self._refresh is None or self._refresh.done()
            if self._refresh is None or mine:
                self._refresh = asyncio.create_task(self._ask_ec2(deadline), name="inventory refresh")
                self._refresh.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                return await asyncio.shield(self._refresh)
            except ReasonError:
                # Another caller's may have failed for its shorter deadline.
                if mine or time.monotonic() >= deadline:
                    raise

    async def _ask_ec2(self, deadline: float) -> Inventory:
        with telemetry.span("eni.Inventory.ec2"):
            started = self.own_change_at
            node = await self.node()
            from_ec2 = await self._ec2.enis_of(node.instance_id, deadline)
            from_imds = await self._imds_or_nothing()
            await self._learn_subnets({eni.subnet_id for eni in from_ec2}, from_imds, node, deadline)
            cidrs = {one.subnet_id: (one.cidr, one.ipv6_cidr) for one in self._subnets.values()}
            settled = merge_imds_ec2.settle(
                merge_imds_ec2.merge(from_ec2, from_imds, cidrs), self._told, time.monotonic()
            )
            merged = self._judged(settled, node)
            if self.own_change_at != started:
                # A call of ours changed something while EC2 was answering: its answer may be older than that.
                log.info("inventory changed while EC2 was asked; asking again")
                return await self._ask_ec2(deadline)
            self.asked_ec2_at = time.monotonic()
            self._doubted = False
            return self._adopt(merged, Source.EC2, node)

    async def _imds_or_nothing(self) -> tuple[Eni, ...]:
        """Only subnet CIDRs come from here, and EC2 has them too."""
        try:
            return await self._imds.enis()
        except ReasonError as error:
            log.warning("inventory without IMDS: %s", error)
            return ()

    async def _learn_subnets(self, needed: set[str], from_imds: Iterable[Eni], node: Node, deadline: float) -> None:
        """CIDRs for ENIs that IMDS does not show, and role tags when subnet discovery is on: one call, then remembered."""
        shown = {eni.subnet_id for eni in from_imds if eni.subnet_cidr}
        unknown = needed - self._subnets.keys() - {""}
        if not unknown or (not self._policy.subnet_discovery and unknown <= shown):
            return
        try:
            await self.refresh_subnets(deadline)
            for subnet_id in unknown - self._subnets.keys() - shown:
                if found := await self._ec2.subnet(subnet_id, deadline):
                    self._subnets[subnet_id] = found
        except ReasonError as error:
            # Without tags an ENI counts as usable: refusing addresses that exist would take pods down.
            log.warning("subnets not known: %s", error, extra={"reason": str(error.reason)})

    async def refresh_subnets(self, deadline: float) -> tuple[Subnet, ...]:
        """The subnets of our zone as they are now, free addresses included."""
        node = await self.node()
        found = await self._ec2.subnets(node.vpc_id, node.availability_zone, deadline)
        self._subnets |= {one.subnet_id: one for one in found}
        return found

    @property
    def known_subnets(self) -> tuple[Subnet, ...]:
        """As EC2 showed them last; none before it was asked."""
        return tuple(self._subnets.values())

    @property
    def known_node(self) -> Node | None:
        """Without asking IMDS."""
        return self._node

    def subnet(self, subnet_id: str) -> Subnet | None:
        return self._subnets.get(subnet_id)

    async def reread_node(self) -> Node:
        """Reads the node again; a change of the VPC's CIDRs is a change of the inventory."""
        node = await self.node(fresh=True)
        if self._current is not None:
            self._adopt(self._current.enis, self._current.source, node)
        return node

    def put(self, eni: Eni, *, added: Iterable[str] = (), removed: Iterable[str] = ()) -> Inventory:
        """After a call of ours: this ENI is so now. ``added``, ``removed``: addresses and prefixes that the call gave and took."""
        before = self._current
        assert before is not None and self._node is not None  # only called after a plan was made on it
        others = tuple(one for one in before.enis if one.eni_id != eni.eni_id)
        known = self._subnets.get(eni.subnet_id)
        near = next((one for one in others if one.subnet_id == eni.subnet_id), None)
        filled = dataclasses.replace(
            eni,
            subnet_cidr=eni.subnet_cidr or (known.cidr if known else near.subnet_cidr if near else ""),
            subnet_ipv6_cidr=eni.subnet_ipv6_cidr or (known.ipv6_cidr if known else ""),
        )
        self._told[eni.eni_id] = merge_imds_ec2.told_by_change(
            self._told.get(eni.eni_id),
            before.eni(eni.eni_id),
            filled,
            time.monotonic(),
            added=added,
            removed=removed,
        )
        return self._own_change((*others, filled), before)

    def drop(self, eni_id: str) -> Inventory | None:
        """After a call of ours: this ENI is gone."""
        before = self._current
        self._told[eni_id] = merge_imds_ec2.Told(time.monotonic(), None)
        if before is None or before.eni(eni_id) is None:
            return before
        return self._own_change((one for one in before.enis if one.eni_id != eni_id), before)

    def forget_told(self, eni_id: str) -> None:
        """What was put last is not so: the next describe decides alone."""
        self._told.pop(eni_id, None)

    def _own_change(self, enis: Iterable[Eni], before: Inventory) -> Inventory:
        assert self._node is not None
        now = self.own_change_at = time.monotonic()
        self._told = merge_imds_ec2.still_told(self._told, now)
        return self._adopt(self._judged(merge_imds_ec2.in_order(enis), self._node), before.source, self._node)

    def _judged(self, enis: Iterable[Eni], node: Node) -> tuple[Eni, ...]:
        with_managed = managed.with_managed(enis, node.instance_id, manage_untagged=self._policy.manage_untagged)
        if not self._policy.subnet_discovery:
            return with_managed
        return tuple(
            dataclasses.replace(eni, excluded_why=subnet_rules.excluded_why(known, self._policy.cluster))
            if (known := self._subnets.get(eni.subnet_id))
            else eni
            for eni in with_managed
        )

    def _adopt(self, enis: tuple[Eni, ...], source: Source, node: Node) -> Inventory:
        before = self._current
        if before and (before.enis, before.source, before.vpc_ipv4_cidrs) == (enis, source, node.vpc_ipv4_cidrs):
            return before
        self._generation += 1
        made = Inventory(enis=enis, source=source, generation=self._generation, vpc_ipv4_cidrs=node.vpc_ipv4_cidrs)
        self._current = made
        self._changed.set()
        self._changed = asyncio.Event()
        return made

    async def changes(self) -> AsyncIterator[Inventory]:
        """The current inventory, then every later one (the newest, if several came meanwhile)."""
        sent = -1
        while not self._closed:
            changed = self._changed
            if self._current is not None and self._current.generation != sent:
                sent = self._current.generation
                yield self._current
            else:
                await changed.wait()
