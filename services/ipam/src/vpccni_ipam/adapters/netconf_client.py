"""netconf over its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from vpccni_api.netconf.v1 import netconf_pb2 as pb
from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.reasons import Reason
from vpccni_kit.channel import Channel

from vpccni_ipam.domain.egress import Egress
from vpccni_ipam.domain.model import Assignment, Branch, EniFacts, NodeFacts
from vpccni_ipam.domain.restore import ObservedPod
from vpccni_ipam.egress_links import egress_ip
from vpccni_ipam.ports import Drift, HostSpec, Observed, PodsApplied


def pod_spec(item: Assignment) -> pb.PodSpec:
    wiring = item.wiring
    return pb.PodSpec(
        container_id=item.key.container_id,
        ifname=item.ifname,
        netns=wiring.netns,
        host_veth=wiring.host_veth,
        address=item.address,
        route_table=item.route_table,
        mtu=wiring.mtu,
        index=wiring.index,
        namespace=item.pod.namespace,
        name=item.pod.name,
        branch=_branch(item.branch) if item.branch else None,
        egress=_egress(wiring.egress) if wiring.egress else None,
    )


def _egress(egress: Egress) -> pb.EgressSpec:
    return pb.EgressSpec(address=egress.address, host_veth=egress.host_veth, host_mac=egress.host_mac, mac=egress.mac)


def _branch(branch: Branch) -> pb.BranchSpec:
    return pb.BranchSpec(
        vlan_id=branch.vlan_id,
        mac=branch.mac,
        subnet_cidr=branch.subnet_cidr,
        gateway=branch.gateway,
        trunk_mac=branch.trunk_mac,
        strict=branch.strict,
    )


class NetconfClient:
    """ports.Netconf."""

    def __init__(self, socket_path: str) -> None:
        self._channel = Channel(socket_path, "netconf", Reason.NETCONF_UNREACHABLE)
        self._stub = netconf_pb2_grpc.NetconfStub(self._channel.grpc_channel)
        self.on_bad_settings: Callable[[Mapping[str, str]], None] = lambda found: None
        """Told netconf's own malformed settings (name -> what is wrong) whenever it says them."""

    async def close(self) -> None:
        await self._channel.close()

    async def apply_host(self, spec: HostSpec, facts: NodeFacts, vpc_cidrs: tuple[str, ...], timeout: float) -> None:
        host = pb.HostSpec(
            primary_mac=facts.primary_mac,
            primary_ip=facts.primary_ipv6 if spec.ipv6 else facts.primary_ip,
            vpc_cidrs=vpc_cidrs,
            node_port_support=spec.node_port_support,
            external_snat=spec.external_snat,
            randomize_snat=spec.randomize_snat,
            exclude_snat_cidrs=spec.exclude_snat_cidrs,
            external_service_cidrs=spec.external_service_cidrs,
            veth_prefix=spec.veth_prefix,
            connmark=spec.connmark,
            eni_mtu=spec.eni_mtu,
            configure_rp_filter=spec.configure_rp_filter,
            ipv6=spec.ipv6,
            pod_eni_strict=spec.pod_eni_strict,
            disable_tcp_early_demux=spec.disable_tcp_early_demux,
            v4_egress=spec.v4_egress,
            v6_egress=spec.v6_egress,
            egress_ip=egress_ip(spec, facts) if spec.v4_egress or spec.v6_egress or spec.ipv6 else "",
        )
        reply = await self._channel.call(self._stub.ApplyHost, pb.ApplyHostRequest(host=host), timeout)
        self.on_bad_settings(dict(reply.bad_settings))

    async def apply_eni(self, eni: EniFacts, route_table: int, mtu: int, timeout: float) -> int:
        spec = pb.EniSpec(
            eni_id=eni.eni_id,
            mac=eni.mac,
            primary_ip=eni.primary_ip,
            subnet_cidr=eni.subnet_cidr,
            device_number=eni.device_number,
            network_card=eni.network_card,
            route_table=route_table,
            mtu=mtu,
            is_trunk=eni.is_trunk,
        )
        reply = await self._channel.call(self._stub.ApplyEni, pb.ApplyEniRequest(eni=spec), timeout)
        return int(reply.route_table)

    async def remove_eni(self, eni_id: str, primary_ip: str, route_table: int, timeout: float) -> None:
        request = pb.RemoveEniRequest(eni_id=eni_id, primary_ip=primary_ip, route_table=route_table)
        await self._channel.call(self._stub.RemoveEni, request, timeout)

    async def setup_pod(self, item: Assignment, timeout: float) -> None:
        await self._channel.call(self._stub.SetupPod, pb.SetupPodRequest(pod=pod_spec(item)), timeout)

    async def teardown_pod(self, item: Assignment, timeout: float) -> None:
        await self._channel.call(self._stub.TeardownPod, pb.TeardownPodRequest(pod=pod_spec(item)), timeout)

    async def check_pod(self, item: Assignment, timeout: float) -> tuple[str, ...]:
        reply = await self._channel.call(self._stub.CheckPod, pb.CheckPodRequest(pod=pod_spec(item)), timeout)
        return tuple(reply.differences)

    async def apply_pods(self, items: Iterable[Assignment], timeout: float) -> PodsApplied:
        request = pb.ApplyPodsRequest(pods=[pod_spec(item) for item in items])
        reply = await self._channel.call(self._stub.ApplyPods, request, timeout)
        return PodsApplied(tuple(reply.missing_links), tuple(reply.eni_ids))

    async def observe(self, veth_prefix: str, timeout: float) -> Observed:
        reply = await self._channel.call(self._stub.Observe, pb.ObserveRequest(veth_prefix=veth_prefix), timeout)
        pods = tuple(ObservedPod(p.host_veth if p.link else "", p.address, p.route_table) for p in reply.pods)
        return Observed(pods, frozenset(reply.host_links), frozenset(reply.egress_addresses))

    async def watch_drift(self) -> AsyncIterator[Drift]:
        async for event in self._channel.stream(self._stub.WatchDrift, pb.WatchDriftRequest()):
            yield Drift(event.kind, event.object, event.action, event.message)
