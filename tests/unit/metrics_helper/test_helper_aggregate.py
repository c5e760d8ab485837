"""Adding up: sums, maxima, increases over restarts and nodes that come and go; what is sent and when."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vpccni_api.reasons import Reason, ReasonError
from vpccni_metrics_helper.adapters.kube import parse
from vpccni_metrics_helper.collect import Collect
from vpccni_metrics_helper.domain.aggregate import Pull, increase, totals
from vpccni_metrics_helper.domain.catalog import CATALOG, How, Kind, Wanted

GAUGE = Wanted("awscni_eni_max", "eniMaxAvailable", How.SUM, Kind.GAUGE)
COUNTER = Wanted("awscni_add_ip_req_count", "addReqCount", How.SUM, Kind.COUNTER)
LATENCY = Wanted("awscni_aws_api_latency_ms", "awsAPILatency", How.MAX, Kind.MEAN)


def pull(**nodes: str) -> Pull:
    return Pull({name.replace("_", "-"): parse(text + "\n") for name, text in nodes.items()}, {})


@pytest.mark.parametrize(
    ("before", "now", "expected"), [(None, 7.0, 0.0), (3.0, 7.0, 4.0), (7.0, 7.0, 0.0), (7.0, 2.0, 2.0)]
)
def test_increase_of_a_counter(before: float | None, now: float, expected: float) -> None:
    assert increase(before, now) == expected


@given(st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=1, max_size=5))
def test_increases_over_all_pulls_are_what_was_counted(steps: list[list[int]]) -> None:
    """Each node's counter only grows: the sum of what is reported is the last value less the first, however often one pulls."""
    values = [0, 0, 0]
    pulls = []
    for step in [[0, 0, 0], *steps]:
        values = [value + more for value, more in zip(values, step, strict=True)]
        pulls.append(pull(**{f"n{i}": f"awscni_add_ip_req_count {value}" for i, value in enumerate(values)}))
    reported = sum(totals([COUNTER], now, before)[COUNTER] for before, now in itertools.pairwise(pulls))
    assert reported == sum(values)


def test_gauges_of_all_nodes_and_labels_are_added() -> None:
    wanted = Wanted("awscni_assigned_ip_per_cidr", "x", How.SUM, Kind.GAUGE)
    now = pull(
        a='awscni_assigned_ip_per_cidr{cidr="10.0.0.1/32"} 1\nawscni_assigned_ip_per_cidr{cidr="10.0.0.2/32"} 1', b=""
    )
    assert totals([wanted, GAUGE], now, None) == {wanted: 2.0}


def test_only_samples_with_the_labels_count() -> None:
    free = Wanted("vpccni_pool_addresses", "", How.SUM, Kind.GAUGE, "free", (("state", "free"),))
    now = pull(a='vpccni_pool_addresses{state="free"} 3\nvpccni_pool_addresses{state="cooling"} 5')
    assert totals([free], now, None) == {free: 3.0}


def test_latency_is_the_slowest_action_s_mean_since_the_message_before() -> None:
    def text(slow_count: int, slow_sum: int) -> str:
        kind = "# TYPE awscni_aws_api_latency_ms summary\n"
        return kind + "".join(
            f'awscni_aws_api_latency_ms_{what}{{api="{api}"}} {value}\n'
            for api, what, value in (
                ("A", "count", slow_count),
                ("A", "sum", slow_sum),
                ("B", "count", 9),
                ("B", "sum", 9),
            )
        )

    before, now = pull(a=text(10, 100)), pull(a=text(12, 700))
    assert totals([LATENCY], now, before) == {LATENCY: 300.0}
    assert totals([LATENCY], now, now) == {LATENCY: 0.0}


def test_a_counter_keeps_its_name_when_its_type_says_counter() -> None:
    found = parse(
        "# HELP awscni_add_ip_req_count x\n# TYPE awscni_add_ip_req_count counter\nawscni_add_ip_req_count 3.0\n"
    )
    assert found == {("awscni_add_ip_req_count", ()): 3.0}


def test_what_is_no_scrape_is_refused() -> None:
    with pytest.raises(ReasonError) as caught:
        parse("<html>\n")
    assert caught.value.reason is Reason.INTERNAL


def test_the_names_in_cloudwatch_are_the_original_s_twenty() -> None:
    names = {item.cloudwatch for item in CATALOG} - {""}
    assert len(names) == 20
    assert {"assignIPAddresses", "totalAssignedIPv4sPerCidr", "forceRemoveENI", "ec2ApiErrCount"} <= names


class Cluster:
    """One node whose counter grows by one with each pull."""

    def __init__(self) -> None:
        self.count = 0

    def pull(self) -> Pull:
        self.count += 1
        return pull(a=f"awscni_add_ip_req_count {self.count}")


class CloudWatch:
    """Takes messages, or refuses them."""

    def __init__(self) -> None:
        self.sent: list[float] = []
        self.refuses = False

    def put(self, values: Mapping[str, float]) -> None:
        if self.refuses:
            raise ReasonError(Reason.IAM_DENIED, "PutMetricData")
        self.sent.append(values["addReqCount"])


def test_every_second_pull_is_sent_and_nothing_is_lost_when_one_is_refused() -> None:
    cloudwatch = CloudWatch()
    collect = Collect(Cluster(), cloudwatch)
    for _ in range(4):
        collect.once()
    assert cloudwatch.sent == [1.0, 2.0]
    cloudwatch.refuses = True
    collect.once()
    collect.once()
    assert collect.send_failures == 1
    cloudwatch.refuses = False
    collect.once()
    collect.once()
    assert cloudwatch.sent == [1.0, 2.0, 4.0]


def test_a_cluster_that_cannot_be_listed_leaves_the_last_numbers() -> None:
    class Away(Cluster):
        def pull(self) -> Pull:
            if self.count == 1:
                raise ReasonError(Reason.KUBERNETES_UNREACHABLE, "away")
            return super().pull()

    collect = Collect(Away(), None)
    collect.once()
    before = dict(collect.shown)
    collect.once()
    assert collect.shown == before != {}
