"""What a lab is made of, read from YAML or flags: VPC, subnets, nodes, settings. Pure.

Every error is ReasonError CONFIG_INVALID naming the field, its value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from vpccni_api.reasons import Reason, ReasonError

LAB_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,11}")
HOST_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
RESERVED: Final = ("vpc", "igw", "internet", "peer")
"""Names of the fabric's own namespaces."""
CNIS: Final = ("vpccni", "later", "none")
"""What wires pods on a node: our three services; our services, but not started before ``vpclab service NODE all start``; or
nothing (a plain host, or a CNI that the user starts)."""

IPTABLES: Final = ("", "legacy", "nft")
"""Which of Debian's two iptables: as on this machine, or chosen by update-alternatives in the node."""

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True)
class SubnetSpec:
    """``name``: for ``NodeSpec.subnet``. ``cidr`` must lie in one of the VPC's CIDRs."""

    name: str
    cidr: str
    az: str = "us-west-2a"
    ipv6_cidr: str | None = None
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class NodeSpec:
    """One instance. ``cni``: one of :data:`CNIS`. ``env``: for the services of this node, over the lab's.

    ``sysctls``: names with slashes below net/. ``private_ip``: empty: EC2 chooses. ``iptables``: what ``iptables`` is in the
    node, one of :data:`IPTABLES`.
    """

    name: str
    subnet: str
    instance_type: str = "m5.large"
    public_ip: bool = True
    private_ip: str = ""
    ipv6: int = 0
    cni: str = "vpccni"
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sysctls: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    iptables: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class CniSpec:
    """The nodes' network configuration. ``conf``: further fields of the aws-cni entry. ``chained``: entries after it.

    ``binary``: the plugin program; empty: build/aws-cni of this repository. ``python``: run the plugin's source instead.
    """

    version: str = "1.0.0"
    mtu: str = "9001"
    veth_prefix: str = "eni"
    conf: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    chained: tuple[Mapping[str, Any], ...] = ()
    binary: str = ""
    python: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class LabSpec:
    """A whole lab. ``timings``: fields of vpccni_lab.ec2.timing.Timings, seconds. ``env``: for all services of all nodes.

    ``traces``: whether services export spans to the lab's collector.
    """

    name: str = "demo"
    cidrs: tuple[str, ...] = ("10.0.0.0/16", "10.1.0.0/16")
    ipv6_cidrs: tuple[str, ...] = ()
    subnets: tuple[SubnetSpec, ...] = (
        SubnetSpec("a", "10.0.1.0/24", "us-west-2a"),
        SubnetSpec("b", "10.0.2.0/24", "us-west-2b"),
        SubnetSpec("second", "10.1.1.0/24", "us-west-2a"),
    )
    nodes: tuple[NodeSpec, ...] = (
        NodeSpec("node-a", "a"),
        NodeSpec("node-b", "b"),
        NodeSpec("plain", "second", public_ip=False, cni="none"),
    )
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cni: CniSpec = CniSpec()
    timings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    seed: int = 0
    traces: bool = True

    def subnet(self, name: str) -> SubnetSpec:
        """Raises ReasonError CONFIG_INVALID for an unknown name."""
        for subnet in self.subnets:
            if subnet.name == name:
                return subnet
        raise invalid("subnet", name, f"one of {', '.join(subnet.name for subnet in self.subnets)}")


def invalid(field: str, value: object, allowed: str) -> ReasonError:
    """The error for a bad value."""
    return ReasonError(Reason.CONFIG_INVALID, f"{field} = {value!r}: {allowed}")


def from_dict(data: Mapping[str, Any]) -> LabSpec:
    """A lab from a YAML document's mapping; what is left out is as in the default lab. Raises CONFIG_INVALID."""
    values = dict(data)
    if "subnets" in values:
        values["subnets"] = tuple(_build(SubnetSpec, f"subnets[{i}]", item) for i, item in enumerate(values["subnets"]))
    if "nodes" in values:
        values["nodes"] = tuple(_build(NodeSpec, f"nodes[{i}]", item) for i, item in enumerate(values["nodes"]))
    if "cni" in values:
        cni = dict(values["cni"])
        cni["chained"] = tuple(cni.get("chained", ()))
        values["cni"] = _build(CniSpec, "cni", cni)
    for field in ("cidrs", "ipv6_cidrs", "faults"):
        if field in values:
            values[field] = tuple(values[field])
    return checked(_build(LabSpec, "lab", values))


def to_dict(spec: LabSpec) -> dict[str, Any]:
    """Ready for JSON; ``from_dict`` gives the same lab back."""
    return dataclasses.asdict(spec)


def _build(kind: type[_T], where: str, data: Any) -> _T:
    if not isinstance(data, Mapping):
        raise invalid(where, data, "a mapping")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # only dataclasses are passed
    unknown = sorted(set(data) - known)
    if unknown:
        raise invalid(f"{where}.{unknown[0]}", data[unknown[0]], f"unknown field; known: {', '.join(sorted(known))}")
    try:
        return kind(**{key: _strings(key, value) for key, value in data.items()})
    except TypeError as exc:
        raise invalid(where, dict(data), f"{exc}") from exc


def _strings(key: str, value: Any) -> Any:
    # YAML makes numbers and booleans of environment values; the services read text
    if key in ("env", "sysctls", "tags") and isinstance(value, Mapping):
        return {str(name): str(item).lower() if isinstance(item, bool) else str(item) for name, item in value.items()}
    return value


def checked(spec: LabSpec) -> LabSpec:
    """``spec`` itself when it makes sense; raises CONFIG_INVALID otherwise."""
    if not LAB_NAME.fullmatch(spec.name):
        raise invalid("name", spec.name, "1 to 12 lower case letters and digits, a letter first")
    networks = [_network("cidrs", cidr) for cidr in spec.cidrs]
    for subnet in spec.subnets:
        inner = _network(f"subnet {subnet.name}: cidr", subnet.cidr)
        if not any(inner.version == outer.version and _within(inner, outer) for outer in networks):
            raise invalid(f"subnet {subnet.name}: cidr", subnet.cidr, f"must lie in one of {', '.join(spec.cidrs)}")
    seen: set[str] = set()
    for node in spec.nodes:
        if not HOST_NAME.fullmatch(node.name) or node.name in RESERVED or node.name in seen:
            raise invalid(
                "node name",
                node.name,
                f"lower case letters, digits, '-', at most 31; once only; not {', '.join(RESERVED)}",
            )
        seen.add(node.name)
        spec.subnet(node.subnet)
        if node.cni not in CNIS:
            raise invalid(f"node {node.name}: cni", node.cni, f"one of {', '.join(CNIS)}")
        if node.iptables not in IPTABLES:
            raise invalid(f"node {node.name}: iptables", node.iptables, "legacy, nft, or empty")
    if len(spec.cni.veth_prefix) > 4:
        raise invalid("cni.veth_prefix", spec.cni.veth_prefix, "at most 4 characters")
    return spec


def _network(field: str, value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError as exc:
        raise invalid(field, value, f"a CIDR ({exc})") from exc


def _within(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network, outer: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return int(outer.network_address) <= int(inner.network_address) and int(inner.broadcast_address) <= int(
        outer.broadcast_address
    )


def conflist(spec: CniSpec) -> dict[str, Any]:
    """The node's /etc/cni/net.d/10-aws.conflist (field names and order as the original's template)."""
    plugin = {
        "name": "aws-cni",
        "type": "aws-cni",
        "vethPrefix": spec.veth_prefix,
        "mtu": spec.mtu,
        "podSGEnforcingMode": "strict",
        "pluginLogFile": "/var/log/aws-routed-eni/plugin.log",
        "pluginLogLevel": "INFO",
        "capabilities": {"io.kubernetes.cri.pod-annotations": True},
        **spec.conf,
    }
    return {"cniVersion": spec.version, "name": "aws-cni", "plugins": [plugin, *spec.chained]}
