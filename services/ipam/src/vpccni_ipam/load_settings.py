"""What ipam makes of its environment variables (settings.py), and which combinations of them cannot work."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.settings import BadValue, Values, bad_cidrs, read

from vpccni_ipam import settings as s
from vpccni_ipam.domain.targets import Targets
from vpccni_ipam.ports import HostSpec


@dataclasses.dataclass(frozen=True, slots=True)
class IpamSettings:
    """The values, and what is made of them. ``bad``: what was malformed and fell back to its default."""

    values: Values
    bad: tuple[BadValue, ...]
    targets: Targets
    host: HostSpec
    checkpoint: str
    frozen: str
    """Why the node never grows; empty: it does."""


def load(environ: Mapping[str, str]) -> IpamSettings:
    """Raises ReasonError(CONFIG_INVALID) naming every combination that cannot work."""
    values = read(s.SETTINGS, environ)
    bad = (
        *values.bad,
        *bad_cidrs(s.EXCLUDE_SNAT_CIDRS.name, environ),
        *bad_cidrs(s.EXTERNAL_SERVICE_CIDRS.name, environ),
    )
    problems = _impossible(values)
    if problems:
        raise ReasonError(Reason.CONFIG_INVALID, "; ".join(problems))
    frozen = next(
        (f"{setting.name} is set" for setting in (s.DISABLE_PROVISIONING, s.IMDS_ONLY) if values[setting]), ""
    )
    targets = Targets(
        warm_eni=values[s.WARM_ENI_TARGET],
        warm_ip=values[s.WARM_IP_TARGET],
        minimum_ip=values[s.MINIMUM_IP_TARGET],
        warm_prefix=values[s.WARM_PREFIX_TARGET],
        prefixes=values[s.ENABLE_PREFIX_DELEGATION],
        max_pods=values[s.MAX_PODS],
        ipv6=values[s.ENABLE_IPV6],
    )
    return IpamSettings(
        values, bad, targets, _host_spec(values), values[s.CHECKPOINT] or values[s.BACKING_STORE], frozen
    )


def _impossible(values: Values) -> list[str]:
    v4, v6, prefixes = values[s.ENABLE_IPV4], values[s.ENABLE_IPV6], values[s.ENABLE_PREFIX_DELEGATION]
    problems: list[str] = []
    if v4 and v6:
        problems.append("ENABLE_IPv4=true and ENABLE_IPv6=true: dual stack is not supported, set one of them to false")
    if not v4 and not v6:
        problems.append("ENABLE_IPv4=false and ENABLE_IPv6=false: set one of them to true")
    if v6 and not prefixes:
        problems.append("ENABLE_IPv6=true and ENABLE_PREFIX_DELEGATION=false: IPv6 needs prefix delegation")
    if v6 and values[s.CUSTOM_NETWORK_CFG]:
        problems.append("ENABLE_IPv6=true and AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true: not supported together")
    if values[s.CUSTOM_NETWORK_CFG] and values[s.KUBERNETES] == "off" and not values[s.ENI_CONFIG_DIR]:
        problems.append(
            "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true and VPCCNI_KUBERNETES=off: set VPCCNI_ENI_CONFIG_DIR to a directory"
        )
    none_warm = not (values[s.WARM_IP_TARGET] or values[s.MINIMUM_IP_TARGET] or values[s.WARM_PREFIX_TARGET])
    if prefixes and not v6 and none_warm:
        problems.append(
            "ENABLE_PREFIX_DELEGATION=true and WARM_PREFIX_TARGET, WARM_IP_TARGET and MINIMUM_IP_TARGET all 0: "
            "set one of them to 1 or more"
        )
    return problems


def _host_spec(values: Values) -> HostSpec:
    return HostSpec(
        node_port_support=values[s.NODE_PORT_SUPPORT],
        external_snat=values[s.EXTERNALSNAT],
        randomize_snat=values[s.RANDOMIZESNAT],
        exclude_snat_cidrs=values[s.EXCLUDE_SNAT_CIDRS],
        external_service_cidrs=values[s.EXTERNAL_SERVICE_CIDRS],
        veth_prefix=values[s.VETHPREFIX],
        connmark=values[s.CONNMARK],
        eni_mtu=values[s.ENI_MTU],
        configure_rp_filter=values[s.CONFIGURE_RPFILTER],
        ipv6=values[s.ENABLE_IPV6],
        pod_eni_strict=values[s.ENABLE_POD_ENI] and values[s.SG_ENFORCING_MODE] == "strict",
        disable_tcp_early_demux=values[s.DISABLE_TCP_EARLY_DEMUX],
        v4_egress=values[s.ENABLE_IPV6] and values[s.ENABLE_V4_EGRESS],
        v6_egress=values[s.ENABLE_IPV4] and values[s.ENABLE_V6_EGRESS],
    )
