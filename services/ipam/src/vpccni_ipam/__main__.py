"""Composition root: settings, adapters, use cases, server."""

from __future__ import annotations

import logging
import os
import sys

from vpccni_api.ipam.v1 import ipam_pb2_grpc
from vpccni_api.reasons import ReasonError
from vpccni_api.version import VERSION
from vpccni_kit import lifecycle, logs, telemetry
from vpccni_kit.clock import SystemClock
from vpccni_kit.health import HealthBoard
from vpccni_kit.keyed_lock import KeyedLock
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server
from vpccni_kit.settings import read

from vpccni_ipam import settings as s
from vpccni_ipam.adapters.checkpoint_file import CheckpointFile
from vpccni_ipam.adapters.eni_client import EniClient
from vpccni_ipam.adapters.netconf_client import NetconfClient
from vpccni_ipam.adapters.pending_dels import PendingDelDirectory
from vpccni_ipam.add_pod import AddPod
from vpccni_ipam.check_pod import CheckPod
from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.domain.checkpoint import Ledger
from vpccni_ipam.domain.growth import Slots
from vpccni_ipam.domain.model import NodeFacts
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.enis import Enis
from vpccni_ipam.gc import Gc
from vpccni_ipam.grow import Grow
from vpccni_ipam.inspect import Inspect
from vpccni_ipam.keeper import Keeper
from vpccni_ipam.kernel_sync import KernelSync
from vpccni_ipam.links import EniManagerLink, NetconfLink
from vpccni_ipam.owner import PoolOwner
from vpccni_ipam.ports import Drift
from vpccni_ipam.reconcile import Reconcile
from vpccni_ipam.server import ADD_METHOD, IpamServicer
from vpccni_ipam.shrink import Shrink
from vpccni_ipam.start_up import StartUp
from vpccni_ipam.status import Status
from vpccni_ipam.wiring_gate import WiringGate

log = logging.getLogger("vpccni_ipam")
_DRAIN_S = 8.0


async def start(life: lifecycle.Lifecycle) -> None:
    config = s.load(os.environ)
    values = config.values
    clock = SystemClock()
    metrics = Metrics("ipam")
    health = HealthBoard(required=("netconf", "eni-manager", "store", "pool"), optional=("apiserver",))
    for bad in config.bad:
        metrics.bad_settings.labels(bad.name).inc()
        log.warning("setting: %s", bad, extra={"reason": "CONFIG_INVALID", "setting": bad.name})

    ledger = Ledger()
    pool = Pool(values[s.IP_COOLDOWN_PERIOD], prefixes_first=config.targets.prefixes)

    def store_state(error: ReasonError | None) -> None:
        change = health.up("store") if error is None else health.down("store", str(error.reason), error.message)
        life.spawn(change, "health.store")

    store = CheckpointFile(config.checkpoint, ledger.render, store_state)
    owner = PoolOwner(pool, store, ledger, clock)
    netconf = NetconfClient(values[s.NETCONF_SOCKET])
    manager = EniClient(values[s.ENI_MANAGER_SOCKET])
    pending = PendingDelDirectory(values[s.PENDING_DEL_DIR], values[s.VETHPREFIX])
    locks, gate = KeyedLock(), WiringGate()

    enis = Enis(owner, netconf, values[s.ENI_MTU])
    sync = KernelSync(owner, netconf, enis, gate, config.host)
    add_pod = AddPod(owner, netconf, locks, gate, clock, values[s.ADD_WAIT])
    del_pod = DelPod(owner, netconf, pending, locks, gate, clock)
    grow = Grow(owner, enis, manager, config.targets, frozen=config.frozen)
    shrink = Shrink(owner, manager, netconf, config.targets, values[s.SHRINK_PACE])
    reconcile = Reconcile(owner, enis, manager, netconf)
    keeper = Keeper(owner, enis, grow, shrink, reconcile, sync.vpc_cidrs)

    def on_facts(facts: NodeFacts) -> Slots:
        most = min(values[s.MAX_ENI] or facts.limits.max_enis, facts.limits.max_enis)
        slots = Slots(facts.limits, most)
        grow.slots = slots
        shrink.slots = None if config.frozen else slots
        return slots

    def on_drift(event: Drift) -> None:
        log.warning("drift %s: %s %s", event.action, event.kind, event.object, extra={"detail": event.message})

    async def eni_manager_is_back() -> None:
        grow.hurry()
        owner.changed.set()

    start_up = StartUp(owner, netconf, manager, enis, sync, del_pod, health, values[s.VETHPREFIX], on_facts)
    servicer = IpamServicer(
        add_pod,
        del_pod,
        CheckPod(owner, netconf, locks, gate, clock),
        Gc(owner, del_pod, locks, clock, values[s.VETHPREFIX]),
        Status(owner, health),
        Inspect(owner, grow, health),
        veth_prefix=values[s.VETHPREFIX],
        node_name=values[s.MY_NODE_NAME],
        settings_text=values.as_text(),
        counted=lambda verb: None,
    )
    start_up.read_checkpoint(store.load(), store.set_aside)
    await health.up("store")
    await health.up("pool")
    server = Server(CallInterceptor("ipam", metrics, (ADD_METHOD,)), health)
    await server.start(
        values[s.IPAM_SOCKET],
        lambda grpc_server: ipam_pb2_grpc.add_IpamServicer_to_server(servicer, grpc_server),
        values[s.HEALTH_PORT],
    )
    life.on_drain(lambda: server.drain(_DRAIN_S))
    life.on_drain(netconf.close)
    life.on_drain(manager.close)

    async def run() -> None:
        await start_up()
        await keeper.run()

    netconf_link = NetconfLink(owner, netconf, sync, del_pod, health, on_drift)
    eni_link = EniManagerLink(owner, manager, health, keeper.push, eni_manager_is_back)
    life.spawn(run(), "keeper")
    life.spawn(netconf_link.run(), "netconf link")
    life.spawn(eni_link.run(), "eni-manager link")


def main() -> int:
    values = read(s.SETTINGS, os.environ)
    logs.setup("ipam", values[s.LOGLEVEL], values[s.LOG_FILE])
    telemetry.setup("ipam", {"service.version": VERSION, "host.name": values[s.MY_NODE_NAME]})
    return lifecycle.main("ipam", start)


if __name__ == "__main__":
    sys.exit(main())
