"""The contract's methods: message -> spec, use case on its thread, result -> message. No decisions."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.version import VERSION
from vpccni_kit import logs

from vpccni_netconf import convert
from vpccni_netconf.apply_eni import apply_eni
from vpccni_netconf.apply_host import apply_host
from vpccni_netconf.apply_pods import apply_pods
from vpccni_netconf.check_pod import check_pod
from vpccni_netconf.observe import observe_pods
from vpccni_netconf.remove_eni import remove_eni
from vpccni_netconf.setup_pod import setup_pod
from vpccni_netconf.teardown_pod import teardown_pod

if TYPE_CHECKING:
    import grpc

    from vpccni_netconf.service import Service

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")
_ANSWER_MARGIN_S: Final = 0.3
"""What is left of a call's time for its answer to arrive with the reason."""
_LOOK_AGAIN_S: Final = 1.0


class NetconfServicer(netconf_pb2_grpc.NetconfServicer):
    """One per process."""

    def __init__(self, service: Service, settings: Mapping[str, str], bad_settings: Mapping[str, str]) -> None:
        """``settings``: name -> value. ``bad_settings``: name -> what is wrong; ipam is told, and makes events of them."""
        self._service = service
        self._settings = settings
        self._bad_settings = bad_settings

    async def ApplyHost(self, request: pb.ApplyHostRequest, context: Context) -> pb.ApplyHostResponse:
        spec = convert.host_spec(request.host)
        service = self._service
        what = f"the primary ENI (MAC {spec.primary_mac})"
        applied = await self._until_link(
            context, what, lambda: service.kernel_thread.run(apply_host, service.kernel, service.desired, spec)
        )
        filtered = await service.apply_filter(spec, applied.primary_link, applied.prefixes)
        service.look_again()
        return pb.ApplyHostResponse(
            changes=applied.changes + len(filtered.changed),
            packet_filter_backend=str(filtered.backend),
            primary_link=applied.primary_link,
            bad_settings=self._bad_settings,
        )

    async def ApplyEni(self, request: pb.ApplyEniRequest, context: Context) -> pb.ApplyEniResponse:
        spec = convert.eni_spec(request.eni)
        service = self._service
        what = f"ENI {spec.eni_id} (MAC {spec.mac})"
        applied = await self._until_link(
            context, what, lambda: service.kernel_thread.run(apply_eni, service.kernel, service.desired, spec)
        )
        service.look_again()
        return pb.ApplyEniResponse(
            changes=applied.changes,
            link_name=applied.link_name,
            link_index=applied.link_index,
            route_table=applied.route_table,
        )

    async def _until_link(self, context: Context, what: str, attempt: Callable[[], Any]) -> Any:
        """A link of a fresh ENI appears seconds after EC2 says that it is attached."""
        deadline = time.monotonic() + (context.time_remaining() or 0) - _ANSWER_MARGIN_S
        while True:
            appeared = self._service.link_changed
            applied = await attempt()
            if applied is not None:
                return applied
            left = deadline - time.monotonic()
            if left <= 0:
                raise ReasonError(Reason.LINK_MISSING, f"no link of {what} appeared within the call's time")
            await appeared.wait(min(left, _LOOK_AGAIN_S))

    async def RemoveEni(self, request: pb.RemoveEniRequest, context: Context) -> pb.RemoveEniResponse:
        service = self._service
        primary_ip = convert.address("primary_ip", request.primary_ip) if request.primary_ip else ""
        changes = await service.kernel_thread.run(
            remove_eni, service.kernel, service.desired, request.eni_id, primary_ip
        )
        return pb.RemoveEniResponse(changes=changes)

    async def SetupPod(self, request: pb.SetupPodRequest, context: Context) -> pb.SetupPodResponse:
        service = self._service
        _describe(request.pod)
        spec = convert.pod_spec(request.pod, need_netns=True)
        done = await service.kernel_thread.run(setup_pod, service.kernel, service.desired, spec)
        return pb.SetupPodResponse(changes=done.changes, host_mac=done.host_mac, host_index=done.host_index)

    async def TeardownPod(self, request: pb.TeardownPodRequest, context: Context) -> pb.TeardownPodResponse:
        service = self._service
        _describe(request.pod)
        spec = convert.pod_spec(request.pod)
        service.leave_pod(spec.host_veth)
        changes = await service.kernel_thread.run(
            teardown_pod, service.kernel, service.desired, service.background, spec
        )
        return pb.TeardownPodResponse(changes=changes)

    async def CheckPod(self, request: pb.CheckPodRequest, context: Context) -> pb.CheckPodResponse:
        service = self._service
        _describe(request.pod)
        spec = convert.pod_spec(request.pod, need_netns=True)
        found = await service.kernel_thread.run(check_pod, service.kernel, service.desired, spec)
        return pb.CheckPodResponse(differences=found)

    async def ApplyPods(self, request: pb.ApplyPodsRequest, context: Context) -> pb.ApplyPodsResponse:
        service = self._service
        specs = [convert.pod_spec(pod) for pod in request.pods]
        done = await service.kernel_thread.run(apply_pods, service.kernel, service.desired, service.background, specs)
        return pb.ApplyPodsResponse(changes=done.changes, missing_links=done.missing_links, eni_ids=done.eni_ids)

    async def Observe(self, request: pb.ObserveRequest, context: Context) -> pb.ObserveResponse:
        service = self._service
        found = await service.kernel_thread.run(observe_pods, service.kernel, service.background, request.veth_prefix)
        return pb.ObserveResponse(
            pods=[
                pb.ObservedPod(
                    host_veth=pod.host_veth,
                    address=pod.address,
                    route_table=pod.route_table,
                    link=pod.link,
                    route=pod.route,
                    to_rule=pod.to_rule,
                    from_rule=pod.from_rule,
                )
                for pod in found.pods
            ],
            host_links=found.host_links,
            egress_addresses=found.egress_addresses,
        )

    async def WatchDrift(self, request: pb.WatchDriftRequest, context: Context) -> AsyncIterator[pb.DriftEvent]:
        queue = self._service.drift.subscribe()
        try:
            while (event := await queue.get()) is not None:
                yield pb.DriftEvent(
                    kind=event.kind,
                    object=event.object,
                    action=event.action,
                    message=event.message,
                    unix_ns=event.unix_ns,
                )
        finally:
            self._service.drift.unsubscribe(queue)

    async def Inspect(self, request: pb.InspectRequest, context: Context) -> pb.InspectResponse:
        service = self._service
        try:
            backend, problem = await service.look_at_filter()
        except ReasonError as error:
            backend, problem = None, str(error)
        pods, enis = await service.kernel_thread.run(lambda: (len(service.desired.pods), len(service.desired.enis)))
        return pb.InspectResponse(
            version=VERSION,
            packet_filter_backend=str(backend or ""),
            packet_filter_problem=problem,
            pods=pods,
            enis=enis,
            dependencies=[
                pb.DependencyView(name=name, ok=state.ok, reason=state.reason, message=state.message)
                for name, state in service.health.dependencies.items()
            ],
            settings=self._settings,
            bad_settings=self._bad_settings,
        )


def _describe(pod: pb.PodSpec) -> None:
    """What log lines of the call say of its subject."""
    logs.describe(pod=f"{pod.namespace}/{pod.name}", container=pod.container_id)
