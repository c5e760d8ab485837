"""The plugin's service: messages to values, values to messages. No decisions."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.ipam.v1 import ipam_pb2_grpc
from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.version import VERSION, compatible
from vpccni_kit import logs, telemetry

from vpccni_ipam.add_pod import AddCall, Assignments
from vpccni_ipam.check_pod import CheckPod
from vpccni_ipam.convert import from_result, to_identity, to_key, to_mtu, to_pod_call, to_veth_prefix
from vpccni_ipam.del_pod import DelPod
from vpccni_ipam.domain.model import AddressState, Assignment, EniState, PodIdentity
from vpccni_ipam.domain.result import compose
from vpccni_ipam.figures import Figures
from vpccni_ipam.gc import Gc
from vpccni_ipam.inspect import AddressLine, CardOverview, EniLines, Inspect
from vpccni_ipam.owner import Growth
from vpccni_ipam.recent import RecentAdds
from vpccni_ipam.status import Status

_ANSWER_S: Final = 0.3
_ANSWER_SHARE: Final = 0.1
ADD_METHOD: Final = "/vpccni.ipam.v1.Ipam/AddPod"
T = TypeVar("T")


class IpamServicer(ipam_pb2_grpc.IpamServicer):
    """``counted(verb)`` is called for every ADD and DEL, ``add_refused`` for an ADD of a plugin too far from our version.

    ``bad_settings``: name -> what is wrong, and what is used instead.
    """

    def __init__(
        self,
        add_pod: Callable[[AddCall], Awaitable[Assignments]],
        del_pod: DelPod,
        check_pod: CheckPod,
        gc: Gc,
        status: Status,
        inspect: Inspect,
        *,
        veth_prefix: str,
        node_name: str,
        settings_text: Mapping[str, str],
        bad_settings: Mapping[str, str],
        counted: Callable[[str], None],
        add_refused: Callable[[PodIdentity, ReasonError], None],
        recent: RecentAdds,
        figures: Callable[[], Figures],
    ) -> None:
        self._add_pod = add_pod
        self._del_pod = del_pod
        self._check_pod = check_pod
        self._gc = gc
        self._status = status
        self._inspect = inspect
        self._veth_prefix = veth_prefix
        self._node_name = node_name
        self._settings_text = settings_text
        self._bad_settings = bad_settings
        self._counted = counted
        self._add_refused = add_refused
        self._recent = recent
        self._figures = figures

    async def AddPod(self, request: Any, context: Any) -> Any:
        self._counted("add")
        sent = {key: str(value) for key, value in context.invocation_metadata() or ()}
        with self._recent.noted(f"{request.pod.namespace}/{request.pod.name}", sent.get("traceparent", "")):
            return await _recorded("cni.add", request, context, self._add)

    async def _add(self, request: Any, deadline: float) -> Any:
        pod = to_identity(request.pod)
        try:
            _check_version(request.plugin_version)
        except ReasonError as error:
            self._add_refused(pod, error)
            raise
        call = AddCall(
            key=to_key(request.key),
            pod=pod,
            netns=_need_netns(request.netns),
            veth_prefix=to_veth_prefix(request.conf.veth_prefix, self._veth_prefix),
            mtu=to_mtu(request.conf.mtu),
            deadline=deadline,
            multi_nic=request.multi_nic,
        )
        return pb.AddPodResponse(result=from_result(compose(*await self._add_pod(call))))

    async def DelPod(self, request: Any, context: Any) -> Any:
        self._counted("del")
        return await _recorded("cni.del", request, context, self._del)

    async def _del(self, request: Any, deadline: float) -> Any:
        # Whatever the plugin's version: a pod that is going away is never held up.
        call = to_pod_call(request, self._veth_prefix)
        await self._del_pod(call, deadline)
        return pb.DelPodResponse()

    async def CheckPod(self, request: Any, context: Any) -> Any:
        return await _recorded("cni.check", request, context, self._check)

    async def _check(self, request: Any, deadline: float) -> Any:
        _check_version(request.plugin_version)
        await self._check_pod(to_pod_call(request, self._veth_prefix), deadline)
        return pb.CheckPodResponse()

    async def Gc(self, request: Any, context: Any) -> Any:
        _check_version(request.plugin_version)
        if not request.network_name:
            raise ReasonError(Reason.REQUEST_INVALID, "network_name is ''; allowed: not empty")
        valid = frozenset((item.container_id, item.ifname) for item in request.valid_attachments)
        return pb.GcResponse(released=await self._gc(request.network_name, valid, _deadline(context)))

    async def Status(self, request: Any, context: Any) -> Any:
        _check_version(request.plugin_version)
        self._status()
        return pb.StatusResponse()

    async def Inspect(self, request: Any, context: Any) -> Any:
        found, figures = self._inspect(), self._figures()
        supply = found.supply
        enis = [_eni_view(eni) for eni in found.enis]
        if found.homeless:
            cidrs = [_cidr_view("", False, 1, (line,)) for line in found.homeless]
            enis.append(pb.EniView(eni_id="", state="quarantined", cidrs=cidrs))
        enis += [_branch_view(item) for item in found.branches]
        return pb.InspectResponse(
            node=self._node_name,
            version=VERSION,
            enis=enis,
            total=supply.total,
            assigned=supply.assigned,
            cooling=supply.cooling,
            free=supply.free,
            quarantined=supply.quarantined,
            deficit=found.deficit,
            growth=_growth_view(found.growth, supply.waiting, found.refusal),
            cards=[_card_view(card) for card in found.cards],
            dependencies=[
                pb.DependencyView(name=name, ok=dep.ok, reason=dep.reason, message=dep.message)
                for name, dep in found.dependencies.items()
            ],
            settings=self._settings_text,
            bad_settings=self._bad_settings,
            drift=dict(figures.drift),
            adds=[
                pb.AddView(
                    at_unix_s=add.at_unix, pod=add.pod, seconds=add.seconds, reason=add.reason, trace_id=add.trace_id
                )
                for add in self._recent.records
            ],
            max_pods=figures.max_pods,
            kubelet_pods=figures.kubelet_pods,
            pending_dels=figures.pending_dels,
        )


def _check_version(theirs: str) -> None:
    if not compatible(VERSION, theirs):
        raise ReasonError(
            Reason.VERSION_SKEW, f"the plugin is {theirs}, ipam is {VERSION}; at most two minor versions apart"
        )


def _need_netns(path: str) -> str:
    if not path.startswith("/"):
        raise ReasonError(Reason.REQUEST_INVALID, f"netns is {path!r}; allowed: an absolute path")
    return path


def _deadline(context: Any) -> float:
    """Monotonic seconds, a little before the caller's own: an answer with a reason has to arrive in time. The kit's interceptor
    has refused calls without a deadline."""
    left = float(context.time_remaining())
    return time.monotonic() + left - min(_ANSWER_S, left * _ANSWER_SHARE)


def _describe(container_id: str, namespace: str, name: str) -> None:
    """What span and log lines of the call say of its subject."""
    logs.describe(pod=f"{namespace}/{name}", container=container_id)
    span = telemetry.current()
    if span is not None:
        span.set("vpccni.container", container_id)
        span.set("vpccni.pod", f"{namespace}/{name}")
        span.set("k8s.namespace.name", namespace)
        span.set("k8s.pod.name", name)


async def _recorded(name: str, request: Any, context: Any, verb: Callable[[Any, float], Awaitable[T]]) -> T:
    """Runs a verb and exports the plugin's own span for it: the plugin lives too briefly to export anything."""
    metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
    failed = ""
    _describe(request.key.container_id, request.pod.namespace, request.pod.name)
    try:
        return await verb(request, _deadline(context))
    except ReasonError as error:
        failed = str(error.reason)
        raise
    finally:
        own, now_ns = metadata.get("traceparent", ""), time.time_ns()
        if own:
            telemetry.record(
                name,
                own,
                parent=metadata.get("vpccni-parent", ""),
                start_ns=min(request.started_unix_ns or now_ns, now_ns),
                end_ns=now_ns,
                attributes={"vpccni.container": request.key.container_id, "vpccni.plugin": request.plugin_version},
                failed=failed,
            )


def _growth_view(growth: Growth, waiting: int, refusal: ReasonError | None) -> pb.GrowthView:
    return pb.GrowthView(
        active=growth.active,
        since_unix_s=growth.since_unix,
        last_reason=str(growth.error.reason) if growth.error else "",
        last_message=growth.error.message if growth.error else "",
        waiting_adds=waiting,
        candidates=growth.candidates,
        add_reason=str(refusal.reason) if refusal else "",
        add_message=refusal.message if refusal else "",
    )


def _card_view(card: CardOverview) -> pb.CardView:
    supply = card.supply
    return pb.CardView(
        index=card.number,
        total=supply.total,
        assigned=supply.assigned,
        cooling=supply.cooling,
        free=supply.free,
        quarantined=supply.quarantined,
        deficit=card.deficit,
        growth=_growth_view(card.growth, supply.waiting, card.refusal),
        left_out_why=card.left_out_why,
    )


def _address_view(line: AddressLine) -> pb.AddressView:
    key, pod = line.key, line.pod
    return pb.AddressView(
        address=line.address,
        state=str(line.state),
        key=pb.PodInterface(network_name=key.network_name, container_id=key.container_id, ifname=key.ifname)
        if key
        else None,
        pod=pb.PodIdentity(namespace=pod.namespace, name=pod.name, uid=pod.uid) if pod else None,
        since_unix_s=line.since_unix,
    )


def _cidr_view(cidr: str, is_prefix: bool, size: int, lines: tuple[AddressLine, ...]) -> pb.CidrView:
    return pb.CidrView(cidr=cidr, is_prefix=is_prefix, size=size, addresses=[_address_view(line) for line in lines])


def _branch_view(item: Assignment) -> pb.EniView:
    assert item.branch is not None
    since = item.assigned_unix_ns / 1e9
    line = AddressLine(item.address, AddressState.ASSIGNED, "", item.eni_id, since, item.key, item.pod)
    whole = f"{item.address}/{ipaddress.ip_address(item.address).max_prefixlen}"
    return pb.EniView(
        eni_id=item.eni_id,
        mac=item.branch.mac,
        state=str(EniState.USABLE),
        branch_vlan=item.branch.vlan_id,
        cidrs=[_cidr_view(whole, False, 1, (line,))],
    )


def _eni_view(lines: EniLines) -> pb.EniView:
    facts = lines.eni.facts
    return pb.EniView(
        eni_id=facts.eni_id,
        mac=facts.mac,
        device_number=facts.device_number,
        network_card=facts.network_card,
        subnet_id=facts.subnet_id,
        primary_ip=facts.primary_ip,
        is_primary=facts.is_primary,
        is_trunk=facts.is_trunk,
        is_efa=facts.is_efa,
        route_table=lines.eni.route_table,
        state=str(lines.state),
        cidrs=[_cidr_view(c.cidr, c.is_prefix, c.size, c.addresses) for c in lines.cidrs],
    )
