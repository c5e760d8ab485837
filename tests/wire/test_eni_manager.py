"""eni-manager as a real process over its socket, against the lab's EC2 and IMDS."""

from __future__ import annotations

import asyncio
import json
import pathlib
import urllib.request
from collections.abc import Awaitable, Callable

import grpc
import pytest
from eni_aws import Aws, Process, running, until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry

pytestmark = pytest.mark.wire
Body = Callable[[Aws, Process], Awaitable[None]]


def run(tmp_path: pathlib.Path, body: Body, aws: Aws | None = None, **environ: str) -> None:
    async def scenario() -> None:
        async with (aws or Aws()).serving() as served, running(served, tmp_path, **environ) as process:
            await body(served, process)

    asyncio.run(scenario())


async def refused(call: Awaitable[object], reason: Reason, says: str = "") -> str:
    with pytest.raises(ReasonError) as caught:
        await call
    assert caught.value.reason is reason, caught.value
    assert says in caught.value.message
    return caught.value.message


def test_describes_the_node_and_remembers_the_limits(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        told = await process.describe()
        assert (told.instance_id, told.instance_type, told.region) == (aws.node.id, "m5.large", "us-west-2")
        assert (told.primary_ip, told.subnet_id, told.vpc_id) == (aws.node.private_ip, aws.subnet.id, aws.vpc.id)
        assert list(told.vpc_ipv4_cidrs) == ["10.0.0.0/16"]
        assert (told.limits.max_enis, told.limits.ipv4_per_eni, told.limits.source) == (3, 10, "ec2")
        await process.kill()
        aws.mark()
        await process.start()
        assert (await process.describe()).limits.source == "cache"
        assert "DescribeInstanceTypes" not in aws.calls()

    run(tmp_path, body)


def test_starts_and_describes_without_ec2(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        told = await process.describe()
        assert (told.limits.max_enis, told.limits.source) == (3, "table")
        listed = await process.inventory(eni_pb2.IMDS)
        assert [eni.primary_ip for eni in listed.enis] == [aws.node.private_ip]
        await refused(process.ensure(3, timeout=3), Reason.EC2_UNREACHABLE)
        assert await health(process, "live") and await health(process, "ready") and not await health(process, "ec2")

    run(tmp_path, body, AWS_ENDPOINT_URL_EC2="http://127.0.0.1:9")


def test_starts_without_imds_and_is_not_ready(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await refused(process.describe(), Reason.IMDS_UNREACHABLE, "127.0.0.1:9")
        await refused(process.inventory(eni_pb2.IMDS), Reason.IMDS_UNREACHABLE)
        await refused(process.ensure(1), Reason.IMDS_UNREACHABLE)
        assert await health(process, "live") and await health(process, "startup")
        assert not await health(process, "ready") and not await health(process, "imds")

    run(tmp_path, body, AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9")


def test_malformed_settings_are_told_to_whoever_asks(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        told = dict((await process.describe()).bad_settings)
        assert told.keys() == {"HTTP_TIMEOUT", "ADDITIONAL_ENI_TAGS"}
        assert told["HTTP_TIMEOUT"] == "HTTP_TIMEOUT='soon': not an integer; allowed: 10 to 600; using 10"
        assert "node.k8s.amazonaws.com/mine" in told["ADDITIONAL_ENI_TAGS"]

    tags = json.dumps({"node.k8s.amazonaws.com/mine": "1", "team": "a"})
    run(tmp_path, body, HTTP_TIMEOUT="soon", ADDITIONAL_ENI_TAGS=tags)


async def health(process: Process, service: str) -> bool:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.health_port}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def test_fills_then_attaches_then_says_the_limit(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        first = await process.ensure(14)
        assert (first.action, len(first.addresses)) == ("assigned", 9)
        for index in (1, 2):
            step = await process.ensure(9, whole_eni=True)
            assert (step.action, len(step.addresses)) == ("attached", 9)
            added = next(eni for eni in step.inventory.enis if eni.eni_id == step.eni_id)
            assert (added.device_number, added.status, added.managed) == (index, "attached", True)
            assert added.subnet_cidr == "10.0.1.0/24" and added.attached_unix_s > 0
        await refused(process.ensure(1), Reason.ENI_LIMIT, "3 of 3 ENIs attached")
        held = {eni.id: sorted(eni.secondary_ips) for eni in aws.enis()}
        told = await process.inventory()
        assert {eni.eni_id: sorted(eni.secondary_ips) for eni in told.enis} == held
        for eni in aws.enis()[1:]:
            assert eni.attachment is not None and eni.attachment.delete_on_termination

    run(tmp_path, body)


def test_new_enis_carry_the_originals_marks(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        step = await process.ensure(2, excluded_enis=[aws.ec2.primary_eni(aws.node.id).id])
        made = aws.ec2.eni(step.eni_id)
        assert made.description == f"aws-K8S-{aws.node.id}"
        created = made.tags["node.k8s.amazonaws.com/createdAt"]
        assert dict(made.tags) == {
            "node.k8s.amazonaws.com/instance_id": aws.node.id,
            "node.k8s.amazonaws.com/createdAt": created,
            "cluster.k8s.amazonaws.com/name": "prod",
            "eks:eni:owner": "amazon-vpc-cni",
            "team": "net",
        }
        assert made.groups == aws.ec2.primary_eni(aws.node.id).groups
        await until(lambda: "team" in aws.ec2.primary_eni(aws.node.id).tags, what="tags of the primary ENI")

    run(tmp_path, body, CLUSTER_NAME="prod", ADDITIONAL_ENI_TAGS='{"team": "net", "k8s.amazonaws.com/x": "no"}')


def test_equal_wishes_at_the_same_time_are_one_call(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.inventory()
        await process.describe()
        aws.mark()
        aws.ec2.faults.add({"kind": "delay", "actions": ["Assign*"], "seconds": 1.0})
        steps = await asyncio.gather(*(process.ensure(9) for _ in range(14)))
        assert {step.eni_id for step in steps} == {aws.ec2.primary_eni(aws.node.id).id}
        assert aws.calls()["AssignPrivateIpAddresses"] == 1
        assert "DescribeNetworkInterfaces" not in aws.calls()

    run(tmp_path, body)


def test_releases_addresses_with_one_call_and_whole_enis(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        primary = aws.ec2.primary_eni(aws.node.id).id
        first = await process.ensure(9)
        second = await process.ensure(3)
        aws.mark()
        left = await process.release([(primary, first.addresses[:4])], [second.eni_id])
        assert [(eni.eni_id, len(eni.secondary_ips)) for eni in left.enis] == [(primary, 5)]
        assert [eni.id for eni in aws.enis()] == [primary]
        assert aws.calls()["UnassignPrivateIpAddresses"] == 1
        assert process.journal() == []
        again = await process.release([(primary, first.addresses[:4]), ("eni-gone", [])], [second.eni_id])
        assert [len(eni.secondary_ips) for eni in again.enis] == [5]

    run(tmp_path, body)


def test_what_must_stay_is_refused_and_nothing_is_done(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        primary = aws.ec2.primary_eni(aws.node.id)
        foreign = aws.ec2.call(
            "other",
            "CreateNetworkInterface",
            {
                "SubnetId": aws.subnet.id,
                "TagSpecifications": [{"ResourceType": "network-interface", "Tags": [NO_MANAGE]}],
            },
        ).value()["NetworkInterface"]["NetworkInterfaceId"]
        attach = {"NetworkInterfaceId": foreign, "InstanceId": aws.node.id, "DeviceIndex": 1}
        aws.ec2.call("other", "AttachNetworkInterface", attach).value()
        first = await process.ensure(2)
        await refused(process.release(eni_ids=[primary.id]), Reason.CAPACITY_IN_USE, "primary ENI")
        await refused(process.release(eni_ids=[foreign]), Reason.CAPACITY_IN_USE, "no_manage")
        await refused(
            process.release([(primary.id, [first.addresses[0], primary.private_ip])]), Reason.CAPACITY_IN_USE, "primary"
        )
        await refused(process.release([(primary.id, ["10.0.1"])]), Reason.REQUEST_INVALID, "10.0.1")
        assert sorted(aws.ec2.eni(primary.id).secondary_ips) == sorted(first.addresses)
        told = {eni.eni_id: (eni.managed, eni.unmanaged_why) for eni in (await process.inventory()).enis}
        assert told[foreign] == (False, "tag node.k8s.amazonaws.com/no_manage=true")
        # it is never filled, and its slot counts
        await process.ensure(9)
        assert (await process.ensure(1)).action == "attached"
        await process.ensure(9)
        await refused(process.ensure(1), Reason.ENI_LIMIT, "3 of 3")

    run(tmp_path, body)


NO_MANAGE = {"Key": "node.k8s.amazonaws.com/no_manage", "Value": "true"}


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ({"want": 0}, Reason.REQUEST_INVALID, "want=0"),
        ({"want": 1, "mode": 0}, Reason.REQUEST_INVALID, "mode=0"),
        ({"want": 1, "mode": 9}, Reason.REQUEST_INVALID, "mode=9"),
        ({"want": 1, "network_card": 7}, Reason.REQUEST_INVALID, "network_card=7"),
        ({"want": 1, "profile": eni_pb2.NetworkProfile(name="p")}, Reason.ENI_CONFIG_INVALID, "subnet_id is empty"),
        (
            {"want": 1, "profile": eni_pb2.NetworkProfile(name="p", subnet_id="subnet-0123456789abcdef0")},
            Reason.ENI_CONFIG_INVALID,
            "ENIConfig p: subnet",
        ),
    ],
)
def test_malformed_wishes(tmp_path: pathlib.Path, fields: dict[str, object], reason: Reason, says: str) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await refused(process.ensure(**fields), reason, says)  # type: ignore[arg-type]
        assert len(aws.enis()) == 1 and process.journal() == []

    run(tmp_path, body)


def test_profile_gives_subnet_and_groups(tmp_path: pathlib.Path) -> None:
    aws = Aws()
    other = aws.ec2.create_subnet(aws.vpc.id, "10.0.9.0/24", "us-west-2a")
    group = aws.ec2.create_security_group(aws.vpc.id, "pods")

    async def body(served: Aws, process: Process) -> None:
        profile = eni_pb2.NetworkProfile(name="az-a", subnet_id=other.id, security_groups=[group.id])
        step = await process.ensure(3, profile=profile)
        made = served.ec2.eni(step.eni_id)
        assert (step.action, made.subnet_id, made.groups) == ("attached", other.id, (group.id,))
        assert next(eni for eni in step.inventory.enis if eni.eni_id == made.id).subnet_cidr == "10.0.9.0/24"
        assert (await process.ensure(2, profile=profile)).eni_id == made.id

    run(tmp_path, body, aws, AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG="true")


def test_subnet_discovery_takes_the_tagged_subnet_with_most_room_and_tells_why_not_the_others(
    tmp_path: pathlib.Path,
) -> None:
    aws = Aws(subnet="10.0.1.0/28")
    big = aws.ec2.create_subnet(aws.vpc.id, "10.0.4.0/22", "us-west-2a", tags={"kubernetes.io/role/cni": "1"})
    untagged = aws.ec2.create_subnet(aws.vpc.id, "10.0.16.0/20", "us-west-2a")

    async def body(served: Aws, process: Process) -> None:
        primary = served.ec2.primary_eni(served.node.id).id
        step = await process.ensure(9, whole_eni=True, excluded_enis=[primary])
        assert served.ec2.eni(step.eni_id).subnet_id == big.id
        refusals = [line for line in step.candidates if untagged.id in line]
        assert len(refusals) == 1 and "refused: no tag kubernetes.io/role/cni" in refusals[0]
        # the primary subnet has 10 addresses left: 9 are asked for and given, then none; the next ENI is elsewhere
        assert (await process.ensure(9)).eni_id == primary

    run(tmp_path, body, aws)


def test_an_excluded_subnet_is_told_and_not_filled(tmp_path: pathlib.Path) -> None:
    aws = Aws()
    aws.ec2.call(
        "admin", "CreateTags", {"Resources": [aws.subnet.id], "Tags": [{"Key": "kubernetes.io/role/cni", "Value": "0"}]}
    ).value()
    usable = aws.ec2.create_subnet(aws.vpc.id, "10.0.2.0/24", "us-west-2a", tags={"kubernetes.io/role/cni": "1"})

    async def body(served: Aws, process: Process) -> None:
        (primary,) = (await process.inventory()).enis
        assert primary.excluded_why == "subnet tag kubernetes.io/role/cni=0"
        step = await process.ensure(2)
        assert (step.action, served.ec2.eni(step.eni_id).subnet_id) == ("attached", usable.id)

    run(tmp_path, body, aws)


def test_prefixes_and_ipv6(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        first = await process.ensure(2, mode=eni_pb2.PREFIX_IPV4)
        assert (first.action, len(first.prefixes)) == ("assigned", 2)
        assert all(prefix.endswith("/28") for prefix in first.prefixes)
        whole = await process.ensure(9, mode=eni_pb2.PREFIX_IPV4)
        assert len(whole.prefixes) == 7
        attached = await process.ensure(2, mode=eni_pb2.PREFIX_IPV4)
        assert (attached.action, len(attached.prefixes)) == ("attached", 2)
        left = await process.release([(first.eni_id, first.prefixes)])
        assert len(next(eni for eni in left.enis if eni.eni_id == first.eni_id).ipv4_prefixes) == 7
        six = await process.ensure(1, mode=eni_pb2.PREFIX_IPV6)
        assert (six.action, len(six.prefixes)) == ("assigned", 1) and six.prefixes[0].endswith("/80")
        other = await process.ensure(1, mode=eni_pb2.PREFIX_IPV6)
        assert other.eni_id != six.eni_id
        third = await process.ensure(1, mode=eni_pb2.PREFIX_IPV6)
        made = aws.ec2.eni(third.eni_id)
        assert third.action == "attached" and made.ipv6_prefixes == tuple(third.prefixes) and made.ipv6_addresses
        left = await process.release([(six.eni_id, six.prefixes)])
        assert not next(eni for eni in left.enis if eni.eni_id == six.eni_id).ipv6_prefixes

    run(tmp_path, body)


def test_xen_takes_no_prefixes(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await refused(process.ensure(1, mode=eni_pb2.PREFIX_IPV4), Reason.SUBNET_NO_PREFIX, "xen")

    run(tmp_path, body, Aws("m4.large"))


def test_other_network_cards_have_limits_of_their_own(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        told = await process.describe()
        assert [card.max_enis for card in told.limits.network_cards] == [15] * 4 and told.limits.max_enis == 15
        step = await process.ensure(3, network_card=1, max_enis=1)
        made = aws.ec2.eni(step.eni_id)
        assert made.attachment is not None and made.attachment.network_card == 1
        assert (await process.ensure(2, network_card=1, max_enis=1)).eni_id == made.id
        await process.ensure(99, network_card=1, max_enis=1)
        await refused(process.ensure(1, network_card=1, max_enis=1), Reason.ENI_LIMIT, "card 1: 1 of 1")

    run(tmp_path, body, Aws("p4d.24xlarge"))


def test_watch_sends_the_state_and_then_changes(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        seen: list[eni_pb2.InventoryResponse] = []

        async def watch() -> None:
            async for found in process.stub.WatchInventory(eni_pb2.WatchInventoryRequest()):
                seen.append(found)  # noqa: PERF401  # each as it comes

        watching = asyncio.create_task(watch())
        await process.inventory()
        await until(lambda: bool(seen), what="the first inventory")
        step = await process.ensure(4)
        await until(lambda: seen[-1].generation == step.inventory.generation, what="the change")
        assert sorted(seen[-1].enis[0].secondary_ips) == sorted(step.addresses)
        assert [one.generation for one in seen] == sorted({one.generation for one in seen})
        assert await process.terminate() == 0
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run(tmp_path, body)


@pytest.mark.parametrize("variable", ["DISABLE_NETWORK_RESOURCE_PROVISIONING", "ENABLE_IMDS_ONLY_MODE"])
def test_modes_that_change_nothing(tmp_path: pathlib.Path, variable: str) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.describe()
        listed = await process.inventory(eni_pb2.IMDS)
        assert listed.enis[0].managed
        await process.inventory(eni_pb2.EC2)
        await refused(process.ensure(1), Reason.NODE_NOT_GROWING)
        await refused(process.release(eni_ids=["eni-1"]), Reason.NODE_NOT_GROWING)
        changing = {name for name in aws.calls() if not name.startswith("Describe")}
        assert changing == set()
        if variable == "ENABLE_IMDS_ONLY_MODE":
            assert aws.calls() == {}

    run(tmp_path, body, **{variable: "true"})


def test_metrics_and_health(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.ensure(1)
        text = await asyncio.to_thread(scrape, process.metrics_port)
        assert 'awscni_ec2api_req_count{fn="AssignPrivateIpAddresses"} 1.0' in text
        assert 'awscni_aws_api_latency_ms_count{api="AssignPrivateIpAddresses",error="false",status="200"} 1.0' in text
        assert 'vpccni_ec2_bucket_level{api_class="address"}' in text
        assert [await health(process, name) for name in ("live", "startup", "ready", "imds", "ec2")] == [True] * 5

    run(tmp_path, body)


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_the_log_carries_the_callers_trace(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        with telemetry.span("pool.grow") as span:
            await process.ensure(9)
            await process.ensure(1)
        assert span.traceparent[3:35] in process.log()

    run(tmp_path, body)
