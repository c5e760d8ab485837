"""What is added up: metrics of the nodes, their names in CloudWatch (the original helper's twenty) and for Prometheus."""

from __future__ import annotations

import dataclasses
import enum
from typing import Final


class How(enum.Enum):
    """How the values of all nodes and label sets become one."""

    SUM = "sum"
    MAX = "max"


class Kind(enum.Enum):
    """GAUGE: the value as it is. COUNTER: its increase since the pull before. MEAN: increase of _sum by increase of _count."""

    GAUGE = "gauge"
    COUNTER = "counter"
    MEAN = "mean"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """``source``: the nodes' metric. ``cloudwatch``: its name there; empty: not sent. ``prometheus``: its name in our own
    /metrics; empty: not shown. ``labels``: only samples that have these values."""

    source: str
    cloudwatch: str
    how: How
    kind: Kind
    prometheus: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    help: str = ""


def _gauge(source: str, cloudwatch: str, text: str, **labels: str) -> Wanted:
    state = "".join(f"_{value}" for value in labels.values())
    shown = (
        f"{source}{state}" if source.startswith("awscni_") else source.replace("vpccni_", "vpccni_cluster_", 1) + state
    )
    return Wanted(source, cloudwatch, How.SUM, Kind.GAUGE, shown, tuple(sorted(labels.items())), text)


def _counter(source: str, cloudwatch: str) -> Wanted:
    return Wanted(source, cloudwatch, How.SUM, Kind.COUNTER)


CATALOG: Final = (
    _gauge("awscni_eni_allocated", "eniAllocated", "ENIs in the pools of all nodes"),
    _gauge("awscni_eni_max", "eniMaxAvailable", "ENIs that all nodes may have attached"),
    _gauge("awscni_ip_max", "maxIPAddresses", "Addresses that all nodes may hold"),
    _gauge("awscni_total_ip_addresses", "totalIPAddresses", "Addresses in the pools of all nodes"),
    _gauge("awscni_assigned_ip_addresses", "assignIPAddresses", "Addresses that pods hold"),
    _gauge("awscni_total_ipv4_prefixes", "totalIPv4Prefixes", "Prefixes in the pools of all nodes"),
    Wanted("awscni_assigned_ip_per_cidr", "totalAssignedIPv4sPerCidr", How.SUM, Kind.GAUGE),
    Wanted("awscni_ipamd_action_inprogress", "ipamdActionInProgress", How.SUM, Kind.GAUGE),
    Wanted("awscni_aws_api_latency_ms", "awsAPILatency", How.MAX, Kind.MEAN),
    _counter("awscni_add_ip_req_count", "addReqCount"),
    _counter("awscni_del_ip_req_count", "delReqCount"),
    _counter("awscni_aws_api_error_count", "awsAPIErr"),
    _counter("awscni_aws_utils_error_count", "awsUtilErr"),
    _counter("awscni_ipamd_error_count", "ipamdErr"),
    _counter("awscni_pod_eni_error_count", "podENIErr"),
    _counter("awscni_reconcile_count", "reconcileCount"),
    _counter("awscni_force_removed_enis", "forceRemoveENI"),
    _counter("awscni_force_removed_ips", "forceRemoveIPs"),
    _counter("awscni_ec2api_req_count", "ec2ApiReqCount"),
    _counter("awscni_ec2api_error_count", "ec2ApiErrCount"),
    _gauge("vpccni_pool_addresses", "", "Free addresses of all nodes", state="free"),
    _gauge("vpccni_pool_addresses", "", "Addresses that cool down", state="cooling"),
    _gauge("vpccni_pool_addresses", "", "Addresses in quarantine", state="quarantined"),
    _gauge("vpccni_waiting_adds", "", "ADDs that wait for an address"),
    _gauge("vpccni_growth_blocked", "", "Nodes whose pool is low and cannot grow"),
)
