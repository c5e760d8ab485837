"""Composition root: settings, adapters, use cases, server."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Final

from vpccni_api.ipam.v1 import ipam_pb2_grpc
from vpccni_api.reasons import ReasonError
from vpccni_api.version import VERSION
from vpccni_kit import lifecycle, logs, telemetry
from vpccni_kit.clock import Clock, SystemClock
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server
from vpccni_kit.settings import read

from vpccni_ipam import settings as s
from vpccni_ipam.adapters.branch_files import BranchFiles
from vpccni_ipam.adapters.checkpoint_file import cards_on_disk
from vpccni_ipam.adapters.eni_client import EniClient
from vpccni_ipam.adapters.metrics import PoolCollector, StartUpTimes
from vpccni_ipam.adapters.netconf_client import NetconfClient
from vpccni_ipam.adapters.pending_dels import PendingDelDirectory
from vpccni_ipam.add_pod import AddCall, AddPod, Assignments
from vpccni_ipam.cards import Cards
from vpccni_ipam.check_pod import CheckPod
from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.domain.model import NodeFacts
from vpccni_ipam.domain.node_plan import NodeWishes, lacks_prefixes, plan_cards
from vpccni_ipam.egress_links import EgressLinks
from vpccni_ipam.figures import Figures
from vpccni_ipam.gc import Gc
from vpccni_ipam.inspect import Inspect
from vpccni_ipam.keeper import NodeChores
from vpccni_ipam.kernel_sync import KernelSync
from vpccni_ipam.kubernetes_edge import KubernetesEdge
from vpccni_ipam.leaf_connections import EniManagerConnection, NetconfConnection
from vpccni_ipam.load_settings import IpamSettings, load
from vpccni_ipam.make_card import MakeCard
from vpccni_ipam.pages import Pages
from vpccni_ipam.pod_eni import Add, OwnPods, PodEni
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import Drift
from vpccni_ipam.recent import RecentAdds
from vpccni_ipam.server import ADD_METHOD, IpamServicer
from vpccni_ipam.start_up import StartUp
from vpccni_ipam.status import Status
from vpccni_ipam.tally import Tally
from vpccni_ipam.wiring_gate import WiringGate

log = logging.getLogger("vpccni_ipam")
_DRAIN_S: Final = 8.0
_STARTED: Final = time.monotonic()


class Ipam:
    """The process's parts, made once and joined here."""

    def __init__(self, config: IpamSettings, life: lifecycle.Lifecycle) -> None:
        values, clock = config.values, SystemClock()
        self.config, self.values, self.life = config, values, life
        self.metrics, self.tally = Metrics("ipam"), Tally()
        self.facts: NodeFacts | None = None
        optional = ("apiserver",) if values[s.KUBERNETES] != "off" else ()
        self.health = HealthBoard(required=("netconf", "eni-manager", "store", "pool"), optional=optional)
        self.edge = KubernetesEdge(values, clock, self.health, self._node_changed)
        self.netconf = NetconfClient(values[s.NETCONF_SOCKET])
        self.manager = EniClient(
            values[s.ENI_MANAGER_SOCKET], ipv6=config.targets.ipv6, without_primary=values[s.CUSTOM_NETWORK_CFG]
        )
        self.netconf.on_bad_settings = self.manager.on_bad_settings = self.edge.bad_settings
        self.pending = PendingDelDirectory(values[s.PENDING_DEL_DIR], values[s.VETHPREFIX])
        locks, gate = PodLocks(), WiringGate()
        make_card = MakeCard(config, self.netconf, self.manager, self.edge, clock, self.tally, self._store_state)
        self.stores = make_card.stores
        self.cards = Cards(make_card)
        self.owner, pools = self.cards.first.owner, self.cards.pools
        self.del_pod = DelPod(pools, self.tally, self.netconf, self.pending, locks, gate, clock)
        self.egress = EgressLinks(config.host, self.del_pod.assignments)
        self.sync = KernelSync(
            pools, self.netconf, lambda: [card.enis for card in self.cards], gate, config.host, self.egress
        )
        self.edge.refusal = lambda: pools.refusal() if self.owner.started.is_set() else None
        self.cards.first.keeper.chores = NodeChores(
            self.owner, self.health, self.sync.vpc_cidrs, self.pending, self.del_pod.drain
        )
        self.inspect = Inspect(self.cards, self.health)
        self.add_pod: Add = AddPod(
            pools,
            self.netconf,
            self.pending,
            locks,
            gate,
            clock,
            values[s.ADD_WAIT],
            self.egress,
            multi_nic=values[s.ENABLE_MULTI_NIC],
        )
        if self.edge.pods is not None:
            self._with_pod_enis(self.edge.pods, locks, gate, clock)
        self.recent = RecentAdds()
        self.servicer = IpamServicer(
            self._add,
            self.del_pod,
            CheckPod(pools, self.netconf, locks, gate, clock, self.del_pod.branch),
            Gc(self.del_pod, locks, clock, values[s.VETHPREFIX]),
            Status(pools, self.health),
            self.inspect,
            veth_prefix=values[s.VETHPREFIX],
            node_name=values[s.MY_NODE_NAME],
            settings_text=values.as_text(),
            bad_settings={bad.name: str(bad) for bad in config.bad},
            counted=self.tally.asked,
            add_refused=self.edge.add_failed,
            recent=self.recent,
            figures=self._figures,
        )

    def _with_pod_enis(self, pods: OwnPods, locks: PodLocks, gate: WiringGate, clock: Clock) -> None:
        values = self.values
        branches = PodEni(
            self.owner,
            self.netconf,
            locks,
            gate,
            clock,
            BranchFiles(os.path.join(os.path.dirname(self.config.checkpoint), "branch-pods")),
            pods,
            self.add_pod,
            self.egress,
            strict=values[s.SG_ENFORCING_MODE] == "strict",
            ipv6=values[s.ENABLE_IPV6],
        )
        self.add_pod = branches
        self.del_pod.branches = branches
        self.sync.branches = self.inspect.branches = branches.assignments
        self.edge.has_trunk = lambda: bool(branches.trunk_mac)
        self.edge.may_have_trunk = self._may_have_trunk

    def _may_have_trunk(self) -> bool:
        """Whether the instance type can have a trunk ENI, and an ENI more."""
        first = self.cards.first
        if self.facts is None or first.grow.slots is None or not self.facts.limits.trunking_compatible:
            return False
        return len(self.owner.pool.enis) + first.enis.unmanaged < first.grow.slots.max_enis

    async def start(self) -> None:
        """Serves DEL at once and ADD when start-up is through. Raises ReasonError."""
        self._tell_bad_settings()
        start_up = StartUp(
            self.cards,
            self.netconf,
            self.manager,
            self.sync,
            self.del_pod,
            self.health,
            self.values[s.VETHPREFIX],
            self.egress,
            self._facts,
        )
        for number in (0, *cards_on_disk(self.config.checkpoint)):
            card, store = self.cards.need(number), self.stores[number]
            start_up.read_checkpoint(card, store.load(), store.set_aside)
        await self.health.up("store")
        server = Server(CallInterceptor("ipam", self.metrics, (ADD_METHOD,), opens_traces=True), self.health)
        await server.start(
            self.values[s.IPAM_SOCKET],
            lambda made: ipam_pb2_grpc.add_IpamServicer_to_server(self.servicer, made),
            self.values[s.HEALTH_PORT],
        )
        self.life.on_drain(self._stop)
        self.life.on_drain(lambda: server.drain(_DRAIN_S))
        self.life.on_drain(self.netconf.close)
        self.life.on_drain(self.manager.close)
        await self._show()
        self.edge.start(self.life.spawn)
        self.life.spawn(self._run(start_up), "keeper")
        connections = (
            NetconfConnection(self.owner, self.netconf, self.sync, self.del_pod, self.health, self._drift),
            EniManagerConnection(self.owner, self.manager, self.health, self.cards.push, self._manager_is_back),
        )
        for connection in connections:
            self.life.spawn(connection.run(), type(connection).__name__)

    async def _run(self, start_up: StartUp) -> None:
        times = StartUpTimes(self.metrics)
        with self.tally.doing("nodeInit"), telemetry.span("ipam.start_up"):
            await self.edge.settle()
            await start_up()
        times.served(time.monotonic() - _STARTED, with_api_server=self.edge.wanted)
        self.cards.run(self.life.spawn)

    async def _add(self, call: AddCall) -> Assignments:
        """Raises ReasonError, and then the pod has an event with the reason."""
        try:
            items = await self.add_pod(call)
        except ReasonError as error:
            self.edge.add_failed(call.pod, error)
            raise
        self.edge.added(items[0])
        return items

    def _node_changed(self) -> None:
        """Kubernetes says something new of the node, or of its ENIConfig."""
        manage_always = self.values[s.MANAGE_NON_SCHEDULABLE]
        self.cards.cordon("" if manage_always else self.edge.node.why_unschedulable)
        if self.facts is not None:
            self._facts(self.facts)
        self.cards.hurry()

    def _facts(self, facts: NodeFacts) -> None:
        """What eni-manager says of the instance, at start-up and whenever it has restarted."""
        self.facts, values = facts, self.values
        if lacks_prefixes(self.config.targets, facts):
            log.warning("%s has no prefixes; using secondary addresses", facts.instance_type)
        wishes = NodeWishes(
            self.config.targets,
            max_eni=values[s.MAX_ENI],
            max_pods=values[s.MAX_PODS] or self.edge.pod_capacity,
            trunk=self.edge.pods is not None,
            without_primary=values[s.CUSTOM_NETWORK_CFG],
            multi_nic=values[s.ENABLE_MULTI_NIC],
        )
        self.cards.plan(plan_cards(wishes, facts.limits))

    def _tell_bad_settings(self) -> None:
        for bad in self.config.bad:
            self.metrics.bad_settings.labels(bad.name).inc()
            log.warning("setting: %s", bad, extra={"reason": "CONFIG_INVALID", "setting": bad.name})
            self.edge.bad_settings({bad.name: str(bad)})
        for setting in s.NOT_YET:
            if self.values[setting]:
                log.warning("setting %s has no effect in this version", setting.name, extra={"setting": setting.name})

    async def _show(self) -> None:
        """Metrics and introspection."""
        pages = Pages(
            self.values,
            self.inspect,
            self.recent,
            self.tally,
            self._figures,
            self.manager.figures,
            self._eni_config,
        )
        collector = PoolCollector(self.cards, self.tally, self.pending.count)
        pages.serve_metrics(self.metrics, self.health, collector)
        if (close := await pages.serve_introspection()) is not None:
            self.life.on_drain(close)

    def _figures(self) -> Figures:
        return Figures(
            drift=self.tally.drift(),
            max_pods=self.cards.first.grow.targets.max_pods,
            kubelet_pods=self.edge.pod_capacity,
            pending_dels=self.pending.count(),
        )

    def _eni_config(self) -> str:
        return self.edge.eni_configs.name if self.edge.eni_configs else "default"

    async def _stop(self) -> None:
        """ADDs that wait are told at once; those that are being wired are finished; EC2 is asked for nothing more."""
        self.cards.stop("ipam is shutting down")

    def _manager_is_back(self, facts: NodeFacts) -> None:
        for card in self.cards:
            card.enis.generation = 0
        self._facts(facts)
        self.cards.hurry()

    def _drift(self, event: Drift) -> None:
        self.tally.drifted(event.kind)
        log.warning("drift %s: %s %s", event.action, event.kind, event.object, extra={"detail": event.message})

    def _store_state(self, error: ReasonError | None) -> None:
        change = (
            self.health.up("store") if error is None else self.health.down("store", str(error.reason), error.message)
        )
        self.life.spawn(change, "health of the store")


async def start(life: lifecycle.Lifecycle) -> None:
    config = load(os.environ)
    await Ipam(config, life).start()


def main() -> int:
    values = read(s.SETTINGS, os.environ)
    logs.setup("ipam", values[s.LOGLEVEL], values[s.LOG_FILE], values[s.MY_NODE_NAME])
    telemetry.setup("ipam", {"service.version": VERSION, "k8s.node.name": values[s.MY_NODE_NAME]})
    return lifecycle.main("ipam", start)


if __name__ == "__main__":
    sys.exit(main())
