"""Puts the parts of a network card together: its pool with a checkpoint of its own, and what keeps the pool."""

from __future__ import annotations

from collections.abc import Callable

from vpccni_api.reasons import ReasonError
from vpccni_kit.clock import Clock

from vpccni_ipam import settings as s
from vpccni_ipam.adapters.checkpoint_file import CheckpointFile, path_of_card
from vpccni_ipam.card import Card, CardSettings
from vpccni_ipam.domain.checkpoint import Ledger
from vpccni_ipam.domain.model import Assignment
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.kubernetes_edge import KubernetesEdge
from vpccni_ipam.load_settings import IpamSettings
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import EniManager, Netconf
from vpccni_ipam.tally import Tally


class MakeCard:
    """``on_store_state``: told when a checkpoint can no longer be written, and with None when all of them can again."""

    def __init__(
        self,
        config: IpamSettings,
        netconf: Netconf,
        manager: EniManager,
        edge: KubernetesEdge,
        clock: Clock,
        tally: Tally,
        on_store_state: Callable[[ReasonError | None], None],
    ) -> None:
        self._config = config
        self._netconf = netconf
        self._manager = manager
        self._edge = edge
        self._clock = clock
        self._tally = tally
        self._on_store_state = on_store_state
        self._failing: dict[int, ReasonError] = {}
        self.stores: dict[int, CheckpointFile] = {}

    def __call__(self, number: int) -> Card:
        config, values, ledger = self._config, self._config.values, Ledger()
        path = path_of_card(config.checkpoint, number)
        store = self.stores[number] = CheckpointFile(path, ledger.render, lambda error: self._state(number, error))
        pool = Pool(values[s.IP_COOLDOWN_PERIOD], prefixes_first=config.targets.prefixes, card=number)
        owner = PoolOwner(pool, store, ledger, self._clock, self._tally)
        settings = CardSettings(config.targets, config.frozen, values[s.ENI_MTU], values[s.SHRINK_PACE])
        card = Card(owner, self._netconf, self._manager, settings)
        owner.on_release = self._released
        card.grow.on_failed = self._edge.growth_failed
        if self._edge.eni_configs is not None:
            card.grow.profile = self._edge.eni_configs.profile
        return card

    def _released(self, item: Assignment) -> None:
        """The annotation with the pod's address is of its first interface."""
        if not item.wiring.index:
            self._edge.released(item)

    def _state(self, number: int, error: ReasonError | None) -> None:
        self._failing.pop(number, None)
        if error is not None:
            self._failing[number] = error
        self._on_store_state(next(iter(self._failing.values()), None))
