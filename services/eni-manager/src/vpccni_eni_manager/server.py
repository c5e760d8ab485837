"""The service as gRPC sees it: requests in, use cases, answers out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc
from vpccni_api.eni.v1 import eni_pb2, eni_pb2_grpc
from vpccni_kit.clock import Clock

from vpccni_eni_manager import convert
from vpccni_eni_manager.check_access import CheckAccess
from vpccni_eni_manager.describe import Describe
from vpccni_eni_manager.ensure_capacity import EnsureCapacity
from vpccni_eni_manager.inspect import Inspect
from vpccni_eni_manager.inventory import Inventories
from vpccni_eni_manager.release_capacity import ReleaseCapacity

REFUSED_WHILE_DRAINING: Final = ("/vpccni.eni.v1.EniManager/EnsureCapacity",)
# An answer has to travel back before the caller's deadline: calls to EC2 end this much earlier (seconds).
_MARGIN_S: Final = 0.1
Context = grpc.aio.ServicerContext[Any, Any]


class EniManager(eni_pb2_grpc.EniManagerServicer):
    """Thin: every method is one call of a use case."""

    def __init__(
        self,
        describe: Describe,
        inventories: Inventories,
        ensure: EnsureCapacity,
        release: ReleaseCapacity,
        inspect: Inspect,
        check_access: CheckAccess,
        clock: Clock,
        bad_settings: Mapping[str, str],
    ) -> None:
        self._describe = describe
        self._inventories = inventories
        self._ensure = ensure
        self._release = release
        self._inspect = inspect
        self._check_access = check_access
        self._clock = clock
        self._bad_settings = bad_settings

    def _deadline(self, context: Context) -> float:
        return self._clock.monotonic() + (context.time_remaining() or 0.0) - _MARGIN_S

    async def Describe(self, request: eni_pb2.DescribeRequest, context: Context) -> eni_pb2.DescribeResponse:
        return convert.described(*await self._describe(self._deadline(context)), self._bad_settings)

    async def Inventory(self, request: eni_pb2.InventoryRequest, context: Context) -> eni_pb2.InventoryResponse:
        if request.source == eni_pb2.EC2:
            return convert.inventory(await self._inventories.from_ec2(self._deadline(context)))
        return convert.inventory(await self._inventories.from_imds())

    async def EnsureCapacity(
        self, request: eni_pb2.EnsureCapacityRequest, context: Context
    ) -> eni_pb2.EnsureCapacityResponse:
        return convert.grown(await self._ensure(convert.growth_of(request), self._deadline(context)))

    async def ReleaseCapacity(
        self, request: eni_pb2.ReleaseCapacityRequest, context: Context
    ) -> eni_pb2.ReleaseCapacityResponse:
        surplus, eni_ids = convert.surplus_of(request)
        found = await self._release(surplus, eni_ids, self._deadline(context))
        return eni_pb2.ReleaseCapacityResponse(inventory=convert.inventory(found))

    async def WatchInventory(
        self, request: eni_pb2.WatchInventoryRequest, context: Context
    ) -> AsyncIterator[eni_pb2.InventoryResponse]:
        async for found in self._inventories.changes():
            yield convert.inventory(found)

    async def Inspect(self, request: eni_pb2.InspectRequest, context: Context) -> eni_pb2.InspectResponse:
        return convert.overview(self._inspect())

    async def CheckAccess(self, request: eni_pb2.CheckAccessRequest, context: Context) -> eni_pb2.CheckAccessResponse:
        return convert.access(await self._check_access(self._deadline(context)))
