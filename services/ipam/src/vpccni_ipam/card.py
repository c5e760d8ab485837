"""One network card: its pool, and what keeps the pool at its targets."""

from __future__ import annotations

import dataclasses

from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.domain.model import Inventory, Source
from vpccni_ipam.domain.node_plan import CardPlan, efa_only_why
from vpccni_ipam.domain.targets import Targets
from vpccni_ipam.enis import Enis
from vpccni_ipam.grow import Grow
from vpccni_ipam.keeper import Keeper
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import EniManager, Netconf
from vpccni_ipam.reconcile import Reconcile
from vpccni_ipam.shrink import Shrink

NOT_ON_THIS_NODE = "the instance type has no such network card, or ENABLE_MULTI_NIC is false"


@dataclasses.dataclass(frozen=True, slots=True)
class CardSettings:
    """``frozen``: why the node never grows; empty: it does. ``eni_mtu`` in bytes, ``shrink_pace`` in seconds."""

    targets: Targets
    frozen: str
    eni_mtu: int
    shrink_pace: float


class Card:
    """``owner`` has the pool; one task runs ``keeper``."""

    def __init__(self, owner: PoolOwner, netconf: Netconf, manager: EniManager, settings: CardSettings) -> None:
        self.owner = owner
        self._frozen = settings.frozen
        self.enis = Enis(owner, netconf, settings.eni_mtu)
        self.grow = Grow(owner, self.enis, manager, settings.targets, frozen=settings.frozen)
        self.shrink = Shrink(owner, manager, netconf, settings.targets, settings.shrink_pace)
        reconcile = Reconcile(owner, self.enis, manager, netconf)
        self.keeper = Keeper(owner, self.enis, self.grow, self.shrink, reconcile)
        self._plan: CardPlan | None = None
        self._efa_only_why = ""
        self._judged_by: Source | None = None
        owner.triage = self.grow.triage
        if self.number:
            owner.left_out_why = NOT_ON_THIS_NODE

    @property
    def number(self) -> int:
        return self.owner.pool.card

    def plan(self, plan: CardPlan | None) -> None:
        """What the card may hold and aims at; None: pods that are on it stay, and nothing else happens."""
        self._plan = plan
        if plan is not None:
            self.grow.configured = self.shrink.configured = plan.targets
            self.owner.pool.set_mode(prefixes=plan.targets.prefixes)
        self._leave_out(NOT_ON_THIS_NODE if plan is None else self._efa_only_why)

    def look_at(self, inventory: Inventory) -> None:
        """Whether pods get addresses of the card. IMDS tells no types, and an ENI without addresses yet looks EFA-only there:
        once EC2 has been heard it counts alone."""
        if self.number and inventory.source in (Source.EC2, self._judged_by or inventory.source):
            self._judged_by = inventory.source
            self._efa_only_why = efa_only_why(self.number, inventory.enis)
            self.plan(self._plan)

    def _leave_out(self, why: str) -> None:
        """``why`` empty: new pods get addresses of the card. Else it neither grows nor gives anything back."""
        self.owner.left_out_why = why
        slots = self._plan.slots if self._plan is not None and not why else None
        self.grow.slots = slots
        self.shrink.slots = None if self._frozen else slots

    def push(self, inventory: Inventory) -> None:
        """What eni-manager sent on its own."""
        self.look_at(inventory)
        self.keeper.push(inventory)

    async def take_over(self, inventory: Inventory) -> None:
        """Start-up: everything that the inventory has of the card."""
        self.look_at(inventory)
        await self.enis.take_over(inventory)

    def hurry(self) -> None:
        """Something changed for the better."""
        self.grow.hurry()
        self.owner.wake()

    def stop(self, why: str) -> None:
        """ADDs that wait are told at once; EC2 is asked for nothing more."""
        self.grow.frozen = why
        self.owner.waiting.fail_beyond(0, ReasonError(Reason.DRAINING, why))
