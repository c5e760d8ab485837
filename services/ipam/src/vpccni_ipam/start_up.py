"""Start-up: from the checkpoint, the kernel and the inventory to a pool that serves (docs/pool.md, "Restart")."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.health import HealthBoard

from vpccni_ipam.card import Card
from vpccni_ipam.cards import Cards
from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.domain.checkpoint import Checkpoint, decode
from vpccni_ipam.domain.model import Inventory, NodeFacts, Source
from vpccni_ipam.domain.restore import rebuild, split_stale, with_wiring
from vpccni_ipam.egress_links import EgressLinks
from vpccni_ipam.kernel_sync import KernelSync
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import EniManager, Netconf, Observed

log = logging.getLogger(__name__)
T = TypeVar("T")
_RETRY_S: Final = 0.2
_LAST_RETRY_S: Final = 5.0
_TIMEOUT_S: Final = 20.0
_EC2_TIMEOUT_S: Final = 10.0


class StartUp:
    """One run per process. Keeps trying while a leaf is away; health and ``owner.not_started`` say what it waits for."""

    def __init__(
        self,
        cards: Cards,
        netconf: Netconf,
        manager: EniManager,
        sync: KernelSync,
        del_pod: DelPod,
        health: HealthBoard,
        veth_prefix: str,
        egress: EgressLinks,
        on_facts: Callable[[NodeFacts], None],
    ) -> None:
        self._cards = cards
        self._owner = cards.first.owner
        self._netconf = netconf
        self._manager = manager
        self._sync = sync
        self._del_pod = del_pod
        self._health = health
        self._veth_prefix = veth_prefix
        self._egress = egress
        self._on_facts = on_facts
        self._rebuild: list[Card] = []

    def read_checkpoint(self, card: Card, text: bytes | None, set_aside: Callable[[], str]) -> None:
        """Takes over what a card's checkpoint says, before anything else: from here on DEL can be served. In the order of the cards."""
        if text is None:
            return
        owner = card.owner
        try:
            found = decode(text, owner.now(), owner.pool.cooldown_s)
        except ReasonError as error:
            aside = set_aside()
            log.error(
                "%s; kept as %s, state is rebuilt from the kernel",
                error.message,
                aside,
                extra={"reason": str(error.reason), "card": card.number},
            )
            self._rebuild.append(card)
            return
        lower = self._cards.pools
        items = tuple(with_wiring(item, self._veth_prefix, len(lower.records(item.key))) for item in found.assignments)
        owner.restore(dataclasses.replace(found, assignments=items))
        if owner.held_back:
            card.shrink.ask_later()

    async def __call__(self) -> None:
        """Until the pool can serve."""
        facts, _ = await asyncio.gather(
            self._insist("eni-manager", lambda: self._manager.describe(_TIMEOUT_S)),
            self._insist("netconf", self._match_kernel),
        )
        self._egress.node_is(facts)
        self._on_facts(facts)
        await self._insist("netconf", lambda: self._sync.host(facts))
        inventory = await self._insist("eni-manager", self._inventory)
        await asyncio.gather(*(card.take_over(inventory) for card in self._cards))
        await self._del_pod.drain()
        await self._insist("netconf", self._sync.pods)
        await self._commit()
        self._owner.started.set()
        for card in self._cards:
            card.owner.serve()
        await self._health.started()
        supply = self._cards.supply()
        log.info(
            "ipam serves", extra={"assigned": supply.assigned, "free": supply.free, "quarantined": supply.quarantined}
        )

    async def _inventory(self) -> Inventory:
        """EC2 knows tags and is the authority; without it IMDS must do, and reconcile settles the rest later."""
        try:
            return await self._manager.inventory(Source.EC2, _EC2_TIMEOUT_S)
        except ReasonError as error:
            if error.reason is Reason.ENI_MANAGER_UNREACHABLE:
                raise
            log.warning("EC2 inventory: %s; starting with what IMDS says", error, extra={"reason": str(error.reason)})
            return await self._manager.inventory(Source.IMDS, _TIMEOUT_S)

    async def _match_kernel(self) -> None:
        """Drops records of pods that have no host link; without a checkpoint makes records of the links there are."""
        observed = await self._netconf.observe(self._veth_prefix, _TIMEOUT_S)
        self._egress.kernel_has(observed.egress_addresses)
        for card in self._cards:
            if card in self._rebuild:
                self._rebuild_from(observed, card)
            else:
                _drop_stale(observed, card.owner)

    def _rebuild_from(self, observed: Observed, card: Card) -> None:
        found = rebuild(observed.pods, card.owner.now(), card.number)
        items = tuple(item for item in found if self._cards.pools.holder(item.address) is None)
        card.owner.restore(Checkpoint(items))
        log.warning("rebuilt %d pods from the kernel", len(items), extra={"pods": len(items), "card": card.number})

    async def _commit(self) -> None:
        for card in self._cards:
            try:
                await card.owner.commit()
            except ReasonError as error:
                log.error("checkpoint: %s", error, extra={"reason": str(error.reason), "card": card.number})

    async def _insist(self, dependency: str, attempt: Callable[[], Awaitable[T]]) -> T:
        pause = _RETRY_S
        while True:
            try:
                result = await attempt()
            except ReasonError as error:
                self._owner.not_started = ReasonError(
                    error.reason, f"start-up waits: {error.message}", origin=error.origin
                )
                if self._health.dependencies[dependency].message != error.message:
                    log.warning("start-up waits for %s: %s", dependency, error, extra={"reason": str(error.reason)})
                await self._health.down(dependency, str(error.reason), error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LAST_RETRY_S)
                continue
            await self._health.up(dependency)
            return result


def _drop_stale(observed: Observed, owner: PoolOwner) -> None:
    _, stale = split_stale(owner.pool.assignments(), observed.host_links)
    for item in stale:
        owner.release(item.key)
        log.warning(
            "record without a host link dropped",
            extra={"ip": item.address, "pod": f"{item.pod.namespace}/{item.pod.name}"},
        )
