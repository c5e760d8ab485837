"""/metrics: the original's awscni_* names and types, and ours, read from the pool when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric
from vpccni_api.version import VERSION
from vpccni_kit.metrics import Metrics, counter_as_named

from vpccni_ipam.card import Card
from vpccni_ipam.cards import Cards
from vpccni_ipam.domain.targets import PREFIX_SIZE, deficit
from vpccni_ipam.grow import Grow
from vpccni_ipam.tally import Tally

# name -> (label, meaning, label values that are shown with 0 from the start)
COUNTERS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "awscni_add_ip_req_count": ("", "ADD requests", ("",)),
    "awscni_del_ip_req_count": ("reason", "DEL requests", ("PodDeleted",)),
    "awscni_no_available_ip_addresses": ("", "ADDs that found no free address", ("",)),
    "awscni_ipamd_error_count": ("fn", "Failures by function", ()),
    "awscni_reconcile_count": ("fn", "Differences found by reconcile", ()),
    "awscni_pod_eni_error_count": ("fn", "Failures with branch ENIs", ()),
    "awscni_force_removed_enis": ("", "ENIs set aside although pods use them", ("",)),
    "awscni_force_removed_ips": ("", "Addresses that EC2 took back although pods use them", ("",)),
    "vpccni_growth_failures_total": ("reason", "Growth steps that failed", ()),
    "vpccni_pending_dels_total": ("", "DELs that were queued because netconf was away", ("",)),
    "vpccni_drift_total": ("kind", "Repairs reported by netconf", ()),
}
# name -> (labels, meaning)
GAUGES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "awscni_ipamd_action_inprogress": (("fn",), "Actions under way"),
    "awscni_eni_allocated": ((), "ENIs in the pool"),
    "awscni_eni_max": ((), "ENIs that may be attached"),
    "awscni_ip_max": ((), "Addresses that the instance may hold"),
    "awscni_total_ip_addresses": ((), "Addresses in the pool"),
    "awscni_assigned_ip_addresses": ((), "Addresses that pods hold"),
    "awscni_total_ipv4_prefixes": ((), "Prefixes in the pool"),
    "awscni_assigned_ip_per_eni": (("eni",), "Pods per ENI"),
    "awscni_assigned_ip_per_cidr": (("cidr",), "Pods per CIDR"),
    "awscni_build_info": (("version", "goversion"), "Always 1"),
    "vpccni_pool_addresses": (("state",), "Addresses that are free, assigned, cooling or quarantined"),
    "vpccni_pool_deficit": ((), "Addresses short of the target; negative: over it"),
    "vpccni_waiting_adds": ((), "ADDs that wait for an address"),
    "vpccni_queued_dels": ((), "DELs that wait on disk until ipam or netconf can do them"),
    "vpccni_growth_blocked": (("reason",), "1 while the pool is low and cannot grow"),
}


def _metric(name: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    made = Metric(name, text, "gauge")
    for labels, value in samples:
        made.add_sample(name, labels, value)
    return made


def _gauge(name: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    return _metric(name, GAUGES[name][1], samples)


class PoolCollector:
    """Collected on the metrics thread: reads, never changes."""

    def __init__(self, cards: Cards, tally: Tally, queued_dels: Callable[[], int]) -> None:
        self._cards = cards
        self._tally = tally
        self._queued_dels = queued_dels

    def describe(self) -> list[Metric]:
        """Nothing is known before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._gauges()
        yield from self._per_eni()

    def _counters(self) -> Iterator[Metric]:
        counts = dict(self._tally.counts)
        for name, (label, text, known) in COUNTERS.items():
            values = dict.fromkeys(known, 0) | {v: n for (metric, v), n in counts.items() if metric == name}
            yield counter_as_named(_metric(name, text, [({label: v} if label else {}, n) for v, n in values.items()]))
        doing = dict(self._tally.in_progress)
        yield _gauge("awscni_ipamd_action_inprogress", [({"fn": f}, n) for f, n in doing.items()])

    def _gauges(self) -> Iterator[Metric]:
        cards = list(self._cards)
        supply = self._cards.supply()
        most = sum(_eni_max(card) for card in cards)
        plain = (
            ("awscni_eni_allocated", sum(len(card.owner.pool.enis) for card in cards)),
            ("awscni_eni_max", most),
            ("awscni_ip_max", most * _per_eni(cards[0].grow)),
            ("awscni_total_ip_addresses", supply.total),
            ("awscni_assigned_ip_addresses", supply.assigned),
            ("awscni_total_ipv4_prefixes", supply.prefixes),
            ("vpccni_pool_deficit", sum(_deficit(card) for card in cards)),
            ("vpccni_waiting_adds", supply.waiting),
            ("vpccni_queued_dels", self._queued_dels()),
        )
        for name, value in plain:
            yield _gauge(name, [({}, value)])
        states = {
            "free": supply.free,
            "assigned": supply.assigned,
            "cooling": supply.cooling,
            "quarantined": supply.quarantined,
        }
        yield _gauge("vpccni_pool_addresses", [({"state": s}, n) for s, n in states.items()])
        errors = [card.owner.growth.error or card.owner.growth.limit for card in cards]
        blocked = sorted({str(error.reason) for error in errors if error})
        yield _gauge("vpccni_growth_blocked", [({"reason": reason}, 1.0) for reason in blocked])
        yield _gauge("awscni_build_info", [({"version": VERSION, "goversion": ""}, 1)])

    def _per_eni(self) -> Iterator[Metric]:
        enis = [found for card in self._cards for found in list(card.owner.pool.enis.items())]
        yield _gauge("awscni_assigned_ip_per_eni", [({"eni": eni_id}, eni.used) for eni_id, eni in enis])
        assigned = self._cards.pools.assignments()
        per_cidr: list[tuple[dict[str, str], float]] = [
            ({"cidr": f"{item.address}/32"}, 1) for item in assigned if ":" not in item.address
        ]
        if self._cards.first.grow.targets.prefixes:
            per_cidr = [
                ({"cidr": block.cidr}, block.used)
                for _, eni in enis
                for block in list(eni.blocks.values())
                if block.cidr
            ]
        yield _gauge("awscni_assigned_ip_per_cidr", per_cidr)


def _eni_max(card: Card) -> int:
    return card.grow.slots.max_enis - card.enis.unmanaged if card.grow.slots else 0


def _per_eni(grow: Grow) -> int:
    return (grow.slots.limits.slots_per_eni if grow.slots else 0) * (PREFIX_SIZE if grow.targets.prefixes else 1)


def _deficit(card: Card) -> int:
    slots = card.grow.slots
    return deficit(card.grow.targets, card.owner.supply(), slots.limits) if slots else 0


def install(metrics: Metrics, collector: PoolCollector, tally: Tally) -> None:
    """Adds the collector and the histograms to the process's registry."""
    metrics.registry.register(collector)
    wait = metrics.histogram("vpccni_add_wait_seconds", "How long ADDs waited for an address")
    tally.observe_wait = wait.observe


class StartUpTimes:
    """The original's two start-up histograms, in seconds."""

    def __init__(self, metrics: Metrics) -> None:
        self._start = metrics.histogram(
            "awscni_ipamd_startup_duration_seconds",
            "Process start to serving",
            ("success", "with_api_server", "failure_reason"),
        )
        self._init = metrics.histogram(
            "awscni_ipamd_node_initialization_duration_seconds", "Node initialisation", ("success",)
        )

    def served(self, seconds: float, *, with_api_server: bool) -> None:
        self._start.labels("true", str(with_api_server).lower(), "").observe(seconds)
        self._init.labels("true").observe(seconds)
