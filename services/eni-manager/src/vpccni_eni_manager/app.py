"""The parts of the process and how they are put together."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import SystemClock
from vpccni_kit.health import HealthBoard
from vpccni_kit.keyed_lock import KeyedLock
from vpccni_kit.metrics import Metrics
from vpccni_kit.settings import Values

from vpccni_eni_manager import settings as own
from vpccni_eni_manager.adapters import imds as imds_adapter
from vpccni_eni_manager.adapters.ec2 import Ec2Api
from vpccni_eni_manager.adapters.ec2_call import Ec2Caller
from vpccni_eni_manager.adapters.ec2_client import BotoTransport, ClientSettings
from vpccni_eni_manager.adapters.ec2_dry_run import DryRuns
from vpccni_eni_manager.adapters.imds_hops import ImdsHops
from vpccni_eni_manager.adapters.imds_read import read_region
from vpccni_eni_manager.adapters.journal import FileJournal
from vpccni_eni_manager.adapters.limits_cache import FileLimitsCache
from vpccni_eni_manager.adapters.metrics import AwsMetrics
from vpccni_eni_manager.attach_eni import AttachEni
from vpccni_eni_manager.check_access import CheckAccess
from vpccni_eni_manager.create_eni import CreateInSubnet
from vpccni_eni_manager.describe import Describe
from vpccni_eni_manager.ensure_capacity import EnsureCapacity
from vpccni_eni_manager.inspect import Inspect
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.release_capacity import ReleaseCapacity
from vpccni_eni_manager.remove_eni import RemoveEni
from vpccni_eni_manager.repair_journal import RepairJournal
from vpccni_eni_manager.subnet_choice import SubnetChoice
from vpccni_eni_manager.sweep_orphans import SweepOrphans
from vpccni_eni_manager.upkeep import Upkeep
from vpccni_eni_manager.watch_inventory import WatchInventory

_EC2_THREADS: Final = 4


class Health:
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


def _transport(values: Values, environ: Mapping[str, str], imds_client: imds_adapter.ImdsClient) -> BotoTransport:
    def region() -> str:
        given = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        return given or read_region(imds_client.get)

    return BotoTransport(
        ClientSettings(
            region=region,
            endpoint=own.endpoint_of(values, environ),
            timeout_s=values[own.HTTP_TIMEOUT],
            user_agent=f"amazon-vpc-cni-k8s/{values[own.VPC_CNI_VERSION]}",
            connections=_EC2_THREADS,
        )
    )


@dataclasses.dataclass(frozen=True, slots=True)
class App:
    """Everything that serves calls or runs in the background. Nothing runs before somebody awaits it."""

    policy: Policy
    health: Health
    clock: SystemClock
    transport: BotoTransport
    imds_client: imds_adapter.ImdsClient
    threads: tuple[ThreadPoolExecutor, ...]
    ec2: Ec2Api
    inventories: Inventories
    describe: Describe
    ensure: EnsureCapacity
    release: ReleaseCapacity
    inspect: Inspect
    check_access: CheckAccess
    watch: WatchInventory
    repair: RepairJournal
    sweep: SweepOrphans

    def close(self) -> None:
        """Closes connections and ends the threads."""
        self.transport.close()
        self.imds_client.close()
        for pool in self.threads:
            pool.shutdown(wait=False)


def build(values: Values, environ: Mapping[str, str], policy: Policy, metrics: Metrics) -> App:
    """``environ``: for the endpoint variables that are the SDKs' own. Raises ReasonError(CONFIG_INVALID)."""
    clock, health, locks, repaired = SystemClock(), Health(), KeyedLock(), asyncio.Event()
    state = pathlib.Path(values[own.STATE])
    threads = ThreadPoolExecutor(_EC2_THREADS, "ec2"), ThreadPoolExecutor(1, "imds")
    imds_client = imds_adapter.ImdsClient(imds_adapter.endpoint_from(environ))
    imds = imds_adapter.Imds(imds_client, threads[1], health.imds)
    transport = _transport(values, environ, imds_client)
    counts = AwsMetrics(metrics)
    caller = Ec2Caller(transport, threads[0], clock, counts, health.ec2)
    ec2 = Ec2Api(caller)
    journal = FileJournal(state / "journal.json")
    inventories = Inventories(ec2, imds, policy)
    describe = Describe(ec2, FileLimitsCache(state / "instance-limits"), inventories, policy, clock)
    choice = SubnetChoice(ec2, inventories, policy, clock)
    remove = RemoveEni(ec2, imds, journal, clock)
    create = CreateInSubnet(ec2, inventories, choice, journal, policy, clock)
    attach = AttachEni(ec2, imds, inventories, create, remove, journal, counts, clock)
    return App(
        policy=policy,
        health=health,
        clock=clock,
        transport=transport,
        imds_client=imds_client,
        threads=threads,
        ec2=ec2,
        inventories=inventories,
        describe=describe,
        ensure=EnsureCapacity(ec2, inventories, describe, choice, attach, policy, clock, locks, repaired),
        release=ReleaseCapacity(ec2, inventories, remove, choice, policy, counts, clock, locks),
        inspect=Inspect(caller, inventories, health.board, policy, values.as_text()),
        check_access=CheckAccess(
            DryRuns(caller),
            ImdsHops(imds_adapter.endpoint_from(environ), threads[1]),
            inventories,
            policy,
            clock,
        ),
        watch=WatchInventory(inventories, Upkeep(ec2, inventories, policy, clock), policy, counts, clock),
        repair=RepairJournal(ec2, inventories, remove, journal, clock, repaired),
        sweep=SweepOrphans(ec2, inventories, journal, policy, counts, clock),
    )
