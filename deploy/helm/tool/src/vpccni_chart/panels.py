"""The Grafana dashboards of the chart: what each panel asks (dashboards.py makes the JSON).

Queries use the labels that the chart's PodMonitor gives: ``node``, ``pod``, ``container``. Every query is run on a real
Prometheus by tests/observe.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

_RATE: Final = "[$__rate_interval]"


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """``queries``: (PromQL, legend). ``kind``: timeseries, stat or table. ``unit``: Grafana's name. ``width`` of 24."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    exemplars: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Dashboard:
    """``uid`` is also the file's name."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    one_node: bool = False


def _quantiles(metric: str, labels: str, by: str = "le") -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{{{labels}}}{_RATE})))", f"p{round(q * 100)}")
        for q in (0.5, 0.9, 0.99)
    )


def _latency(title: str, about: str, container: str, method: str, width: int = 8) -> Panel:
    labels = f'container="{container}",method="{method}",node=~"$node"'
    queries = _quantiles("vpccni_rpc_duration_seconds", labels)
    return Panel(title, about, queries, "s", width=width, exemplars=True)


def _plain(title: str, about: str, query: str, legend: str = "", **more: Any) -> Panel:
    return Panel(title, about, ((query, legend),), **more)


FLEET: Final = Dashboard(
    "vpccni-fleet",
    "VPC CNI / Fleet",
    (
        _plain(
            "Nodes ready", "ipam answers that it is ready.", 'sum(vpccni_ready{container="ipam"})', kind="stat", width=4
        ),
        _plain("Nodes", "Nodes whose ipam is scraped.", 'count(vpccni_ready{container="ipam"})', kind="stat", width=4),
        _plain("Pods", "Addresses that pods hold.", "sum(awscni_assigned_ip_addresses)", kind="stat", width=4),
        _plain(
            "Free addresses",
            "Ready for the next ADD.",
            'sum(vpccni_pool_addresses{state="free"})',
            kind="stat",
            width=4,
        ),
        _plain("ADDs that wait", "For an address, now.", "sum(vpccni_waiting_adds)", kind="stat", width=4),
        _plain(
            "Nodes short of addresses",
            "Pool below its target.",
            "count(vpccni_pool_deficit > 0) or vector(0)",
            kind="stat",
            width=4,
        ),
        _plain(
            "Addresses by state",
            "Cooling addresses were released less than the cooldown ago; quarantined ones belong to an ENI that is not usable now.",
            "sum by (state) (vpccni_pool_addresses)",
            "{{state}}",
            stacked=True,
        ),
        Panel(
            "ENIs",
            "Attached, and how many the instance types and MAX_ENI allow.",
            (("sum(awscni_eni_allocated)", "attached"), ("sum(awscni_eni_max)", "allowed")),
        ),
        _plain(
            "Fullest nodes",
            "Pods, of what the node could ever hold.",
            "topk(10, sum by (node) (awscni_assigned_ip_addresses) / sum by (node) (awscni_ip_max))",
            "{{node}}",
            unit="percentunit",
        ),
        _plain(
            "ADDs by outcome",
            "`ok`, or the reason as docs/reasons.md names it.",
            f'sum by (reason) (rate(vpccni_rpc_duration_seconds_count{{container="ipam",method="AddPod"}}{_RATE}))',
            "{{reason}}",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "ADD latency",
            "As ipam sees it, waiting included.",
            _quantiles("vpccni_rpc_duration_seconds", 'container="ipam",method="AddPod"'),
            "s",
            exemplars=True,
        ),
        _plain(
            "Growth that is blocked",
            "Nodes whose pool is low and cannot grow, by reason.",
            "sum by (reason) (vpccni_growth_blocked)",
            "{{reason}}",
        ),
        _plain(
            "Drift repaired",
            "Rules, routes, chains and links that somebody else changed, per hour.",
            "sum by (kind) (increase(vpccni_netconf_repairs_total[1h]))",
            "{{kind}}",
        ),
        _plain(
            "Dependencies that are down",
            "Number of nodes.",
            "sum by (container, dependency) (1 - vpccni_dependency_up)",
            "{{container}}: {{dependency}}",
        ),
        _plain(
            "Versions",
            "More than one only while an upgrade rolls.",
            "count by (version) (awscni_build_info)",
            "{{version}}",
        ),
    ),
)

NODE: Final = Dashboard(
    "vpccni-node",
    "VPC CNI / Node",
    (
        _plain(
            "Addresses by state", "", 'sum by (state) (vpccni_pool_addresses{node=~"$node"})', "{{state}}", stacked=True
        ),
        Panel(
            "Short of the target, waiting",
            "Deficit above 0: growth is due. Negative: the surplus that is given back.",
            (
                ('sum(vpccni_pool_deficit{node=~"$node"})', "deficit"),
                ('sum(vpccni_waiting_adds{node=~"$node"})', "ADDs that wait"),
                ('sum(vpccni_queued_dels{node=~"$node"})', "DELs on disk"),
            ),
        ),
        Panel(
            "ENIs and prefixes",
            "",
            (
                ('sum(awscni_eni_allocated{node=~"$node"})', "ENIs"),
                ('sum(awscni_eni_max{node=~"$node"})', "ENIs allowed"),
                ('sum(awscni_total_ipv4_prefixes{node=~"$node"})', "prefixes"),
            ),
        ),
        _latency("ADD", "ipam's part; exemplars lead to the trace.", "ipam", "AddPod"),
        _latency("DEL", "ipam's part.", "ipam", "DelPod"),
        _latency("Wiring of a pod", "netconf's part of an ADD.", "netconf", "SetupPod"),
        _latency("One step of growth", "eni-manager's part: every EC2 call of it.", "eni-manager", "EnsureCapacity"),
        Panel(
            "Wait for an address",
            "Only ADDs that found no free one.",
            _quantiles("vpccni_add_wait_seconds", 'node=~"$node"'),
            "s",
        ),
        _plain(
            "Calls that failed",
            "All services, by method and reason.",
            f'sum by (method, reason) (rate(vpccni_rpc_duration_seconds_count{{reason!="ok",node=~"$node"}}{_RATE}))',
            "{{method}} {{reason}}",
            unit="reqps",
        ),
        _plain("Pods per ENI", "", 'sum by (eni) (awscni_assigned_ip_per_eni{node=~"$node"})', "{{eni}}", stacked=True),
        _plain(
            "Drift repaired",
            "By kind of kernel object, per hour.",
            'sum by (kind) (increase(vpccni_netconf_repairs_total{node=~"$node"}[1h]))',
            "{{kind}}",
        ),
        _plain(
            "Growth that failed",
            "By reason.",
            'sum by (reason) (increase(vpccni_growth_failures_total{node=~"$node"}[15m]))',
            "{{reason}}",
        ),
        _plain(
            "Dependencies",
            "1: answers.",
            'min by (container, dependency) (vpccni_dependency_up{node=~"$node"})',
            "{{container}}: {{dependency}}",
        ),
        _plain(
            "Start-up",
            "Process start to the first address usable.",
            'sum(awscni_ipamd_startup_duration_seconds_sum{node=~"$node"}) / sum(awscni_ipamd_startup_duration_seconds_count{node=~"$node"})',
            unit="s",
            kind="stat",
        ),
        _plain(
            "Packet filter",
            "The backend in use.",
            'sum by (backend) (awscni_connmark_backend{node=~"$node"})',
            "{{backend}}",
        ),
    ),
    one_node=True,
)

SUBNETS: Final = Dashboard(
    "vpccni-subnets-ec2",
    "VPC CNI / Subnets and EC2 budget",
    (
        _plain(
            "Free addresses by subnet",
            "When a node asked EC2 last; the newest nodes know best.",
            "min by (subnet, zone) (vpccni_subnet_free_addresses)",
            "{{subnet}} {{zone}}",
            width=12,
        ),
        _plain(
            "EC2 calls by action",
            "",
            f"sum by (fn) (rate(awscni_ec2api_req_count{_RATE}))",
            "{{fn}}",
            unit="reqps",
            width=12,
            stacked=True,
        ),
        _plain(
            "EC2 calls per node and hour",
            "At rest at most 2.",
            "sum(increase(awscni_ec2api_req_count[1h])) / count(vpccni_ready{container='ipam'})",
            kind="stat",
            width=6,
        ),
        _plain(
            "Throttle replies",
            "RequestLimitExceeded and its like, by action.",
            f"sum by (api) (rate(vpccni_ec2_throttled_total{_RATE}))",
            "{{api}}",
            unit="reqps",
            width=6,
        ),
        _plain(
            "Errors by code",
            "EC2's own codes.",
            f"sum by (api, error) (rate(awscni_aws_api_error_count{_RATE}))",
            "{{api}} {{error}}",
            unit="reqps",
            width=12,
        ),
        _plain(
            "Calls that may go out at once",
            "Level of the fullest to emptiest bucket: 0 means that calls wait.",
            "min by (api_class) (vpccni_ec2_bucket_level)",
            "{{api_class}}",
        ),
        _plain(
            "Calls per second that nodes allow themselves",
            "Halved by each throttle reply, grows back.",
            "sum by (api_class) (vpccni_ec2_bucket_rate)",
            "{{api_class}}",
            unit="reqps",
        ),
        _plain(
            "EC2 latency, mean",
            "",
            f"sum by (api) (rate(awscni_aws_api_latency_ms_sum{_RATE})) / sum by (api) (rate(awscni_aws_api_latency_ms_count{_RATE}))",
            "{{api}}",
            unit="ms",
        ),
        _plain(
            "Idle addresses",
            "Free, in no pod's use: what warm targets cost.",
            'sum(vpccni_pool_addresses{state="free"}) / sum(awscni_total_ip_addresses)',
            unit="percentunit",
        ),
        _plain(
            "ADDs that had to wait",
            "Share of all: what warm targets save.",
            "(sum(increase(awscni_no_available_ip_addresses[1h])) or vector(0)) / sum(increase(awscni_add_ip_req_count[1h]))",
            unit="percentunit",
        ),
        _plain(
            "Leaked ENIs",
            "Found by nodes and deleted.",
            "sum by (action) (increase(vpccni_leaked_enis_total[1h])) or vector(0)",
            "{{action}}",
        ),
    ),
)

_GOOD: Final = 'vpccni_rpc_duration_seconds_bucket{container="ipam",method="AddPod",reason="ok",le="1.0"}'
_ALL_ADDS: Final = 'vpccni_rpc_duration_seconds_count{container="ipam",method="AddPod"}'

SLO: Final = Dashboard(
    "vpccni-pod-start",
    "VPC CNI / Pod start SLO",
    (
        _plain(
            "ADDs within a second, one hour",
            "Goal: 99.5 % succeed within one second.",
            f"sum(rate({_GOOD}[1h])) / sum(rate({_ALL_ADDS}[1h]))",
            unit="percentunit",
            kind="stat",
            width=6,
        ),
        _plain(
            "Error budget used up per hour",
            "1: exactly as fast as the goal allows.",
            f"(1 - sum(rate({_GOOD}[1h])) / sum(rate({_ALL_ADDS}[1h]))) / 0.005",
            kind="stat",
            width=6,
        ),
        _plain(
            "ADDs that failed, one hour",
            "Retries of one pod count each.",
            'sum(increase(vpccni_rpc_duration_seconds_count{container="ipam",method="AddPod",reason!="ok"}[1h])) or vector(0)',
            kind="stat",
            width=6,
        ),
        _plain(
            "DELs that failed, one hour",
            "A DEL fails only for a malformed request or a state file that cannot be written.",
            'sum(increase(vpccni_rpc_duration_seconds_count{container="ipam",method="DelPod",reason!="ok"}[1h])) or vector(0)',
            kind="stat",
            width=6,
        ),
        Panel(
            "ADD latency",
            "Exemplars lead to the trace.",
            _quantiles("vpccni_rpc_duration_seconds", 'container="ipam",method="AddPod"'),
            "s",
            width=12,
            exemplars=True,
        ),
        _plain(
            "Why ADDs fail",
            "docs/reasons.md has the cure of each.",
            'sum by (reason) (increase(vpccni_rpc_duration_seconds_count{container="ipam",method="AddPod",reason!="ok"}[5m]))',
            "{{reason}}",
            width=12,
            stacked=True,
        ),
        Panel(
            "Wait for an address",
            "Part of an ADD that EC2 is the cause of.",
            _quantiles("vpccni_add_wait_seconds", ""),
            "s",
            width=12,
        ),
        _plain(
            "Slowest nodes",
            "p99 of ADD.",
            f'topk(10, histogram_quantile(0.99, sum by (le, node) (rate(vpccni_rpc_duration_seconds_bucket{{container="ipam",method="AddPod"}}{_RATE}))))',
            "{{node}}",
            unit="s",
            width=12,
        ),
    ),
)

ALL: Final = (FLEET, NODE, SUBNETS, SLO)
