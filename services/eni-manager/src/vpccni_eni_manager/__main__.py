"""Composition root: ``python -m vpccni_eni_manager``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from vpccni_api.eni.v1 import eni_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.version import VERSION
from vpccni_kit import lifecycle, logs, settings, telemetry
from vpccni_kit.clock import SystemClock
from vpccni_kit.health import HealthBoard
from vpccni_kit.keyed_lock import KeyedLock
from vpccni_kit.lifecycle import Lifecycle
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server

from vpccni_eni_manager import settings as own
from vpccni_eni_manager.adapters import imds as imds_adapter
from vpccni_eni_manager.adapters.ec2 import Ec2Api
from vpccni_eni_manager.adapters.ec2_call import Ec2Caller
from vpccni_eni_manager.adapters.ec2_client import BotoTransport, ClientSettings, provide_model
from vpccni_eni_manager.adapters.imds_read import read_region
from vpccni_eni_manager.adapters.journal import FileJournal
from vpccni_eni_manager.adapters.limits_cache import FileLimitsCache
from vpccni_eni_manager.adapters.metrics import AwsMetrics
from vpccni_eni_manager.attach_eni import AttachEni
from vpccni_eni_manager.create_eni import CreateInSubnet
from vpccni_eni_manager.describe import Describe
from vpccni_eni_manager.ensure_capacity import EnsureCapacity
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.release_capacity import ReleaseCapacity
from vpccni_eni_manager.remove_eni import RemoveEni
from vpccni_eni_manager.repair_journal import RepairJournal
from vpccni_eni_manager.server import REFUSED_WHILE_DRAINING, EniManager
from vpccni_eni_manager.subnet_choice import SubnetChoice
from vpccni_eni_manager.sweep_orphans import SweepOrphans
from vpccni_eni_manager.upkeep import Upkeep
from vpccni_eni_manager.watch_inventory import WatchInventory

SERVICE: Final = "eni-manager"
log = logging.getLogger(SERVICE)
_EC2_THREADS: Final = 4
_DRAIN_S: Final = 4.0


class _Health:
    """Keeps the board's two dependencies. ``imds`` is required for ready; ``ec2`` is shown.

    EC2 counts as up until a call fails: at rest it is not asked. A pool that is settled serves pods without EC2, so its
    absence must not take the node out of service; ipam sees it by the reasons of failed growth.
    """

    def __init__(self) -> None:
        self.board = HealthBoard(required=("imds",), optional=("ec2",))

    async def imds(self, error: ReasonError | None) -> None:
        await self._set("imds", error)

    async def ec2(self, error: ReasonError | None) -> None:
        """An answered refusal (subnet full) is a sign of life; being denied, throttled or cut off is not."""
        down = error is not None and error.reason in (
            Reason.EC2_UNREACHABLE,
            Reason.EC2_THROTTLED,
            Reason.IAM_DENIED,
        )
        await self._set("ec2", error if down else None)

    async def _set(self, name: str, error: ReasonError | None) -> None:
        if error is None:
            await self.board.up(name)
        else:
            await self.board.down(name, str(error.reason), error.message)


def _transport(values: settings.Values, imds_client: imds_adapter.ImdsClient) -> BotoTransport:
    def region() -> str:
        given = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return given or read_region(imds_client.get)

    return BotoTransport(
        ClientSettings(
            region=region,
            endpoint=own.endpoint_of(values, os.environ),
            timeout_s=values[own.HTTP_TIMEOUT],
            user_agent=f"amazon-vpc-cni-k8s/{values[own.VPC_CNI_VERSION]}",
            connections=_EC2_THREADS,
        )
    )


async def start(life: Lifecycle) -> None:
    """Builds everything and serves. EC2 need not answer, nor IMDS: the health service says so."""
    values = settings.read(own.ALL, os.environ)
    logs.setup(SERVICE, values[own.LOG_LEVEL], values[own.LOG_FILE])
    telemetry.setup(SERVICE, {"service.version": VERSION, "k8s.node.name": values[own.MY_NODE_NAME]})
    metrics = Metrics(SERVICE)
    policy, refused = own.policy_of(values)
    for bad in values.bad:
        log.warning("setting: %s", bad)
        metrics.bad_settings.labels(bad.name).inc()
    for key in refused:
        log.warning("setting: ADDITIONAL_ENI_TAGS: key %r is reserved, skipped", key)
        metrics.bad_settings.labels(own.ADDITIONAL_ENI_TAGS.name).inc()

    clock, health, locks, repaired = SystemClock(), _Health(), KeyedLock(), asyncio.Event()
    state = pathlib.Path(values[own.STATE])
    imds_client = imds_adapter.ImdsClient(imds_adapter.endpoint_from(os.environ))
    imds = imds_adapter.Imds(imds_client, ThreadPoolExecutor(1, "imds"), health.imds)
    transport = _transport(values, imds_client)
    ec2 = Ec2Api(Ec2Caller(transport, ThreadPoolExecutor(_EC2_THREADS, "ec2"), clock, AwsMetrics(metrics), health.ec2))
    journal = FileJournal(state / "journal.json")
    inventories = Inventories(ec2, imds, policy)
    describe = Describe(ec2, FileLimitsCache(state / "instance-limits"), inventories, policy, clock)
    choice = SubnetChoice(ec2, inventories, policy, clock)
    remove = RemoveEni(ec2, journal, clock)
    create = CreateInSubnet(ec2, inventories, choice, journal, policy, clock)
    attach = AttachEni(ec2, imds, inventories, create, remove, journal, clock)
    ensure = EnsureCapacity(ec2, inventories, describe, choice, attach, policy, clock, locks, repaired)
    release = ReleaseCapacity(ec2, inventories, remove, choice, policy, clock, locks)
    watch = WatchInventory(inventories, Upkeep(ec2, inventories, policy, clock), policy, clock)

    servicer = EniManager(describe, inventories, ensure, release, clock)
    interceptor = CallInterceptor(SERVICE, metrics, REFUSED_WHILE_DRAINING)
    server = Server(interceptor, health.board)
    await health.board.up("ec2")
    await server.start(
        values[own.SOCKET],
        lambda grpc_server: eni_pb2_grpc.add_EniManagerServicer_to_server(servicer, grpc_server),
        values[own.HEALTH_PORT],
    )
    if not values[own.DISABLE_METRICS]:
        metrics.serve(values[own.METRICS_PORT])

    async def drain() -> None:
        inventories.close()
        await server.drain(_DRAIN_S)
        # What is not finished by now is in the journal.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(ensure.drained(), release.drained()), _DRAIN_S)

    life.on_drain(drain)
    if not policy.imds_only:
        models = (os.path.join(sys.prefix, "share/vpccni/ec2-model"), str(state / "ec2-model"))
        life.spawn(provide_model(transport, models), "EC2 model")
    if policy.provisioning:
        life.spawn(RepairJournal(ec2, inventories, remove, journal, clock, repaired).run(), "journal repair")
    life.spawn(watch.run(), "inventory watch")
    if policy.leaked_eni_cleanup:
        life.spawn(SweepOrphans(ec2, inventories, journal, policy, clock).run(), "leaked-ENI sweep")
    await health.board.started()
    log.info("serving on %s", values[own.SOCKET])


if __name__ == "__main__":
    sys.exit(lifecycle.main(SERVICE, start))
