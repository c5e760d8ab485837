"""CheckAccess and Inspect of the real eni-manager: what a doctor asks, against the lab's EC2 and IMDS."""

from __future__ import annotations

import pathlib

import pytest
from eni_aws import Aws, Process, fault, run
from vpccni_api.eni.v1 import eni_pb2
from vpccni_eni_manager.domain import access

pytestmark = pytest.mark.wire


def verdicts(reply: eni_pb2.CheckAccessResponse) -> dict[str, str]:
    return {one.action: one.verdict for one in reply.actions}


@pytest.mark.parametrize("ipv6", ["false", "true"])
def test_a_role_with_the_whole_policy_is_allowed_everything_and_nothing_changes(
    tmp_path: pathlib.Path, ipv6: str
) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.describe()
        before = aws.enis()
        said = await process.check_access()
        wanted = access.needed(imds_only=False, provisioning=True, ipv6=ipv6 == "true")
        assert verdicts(said) == dict.fromkeys(wanted, "allowed")
        assert (said.imds_error, said.subnets_error, said.imds_hop_limit) == ("", "", 2)
        assert [(s.subnet_id, s.is_primary, s.refused_why) for s in said.subnets] == [(aws.subnet.id, True, "")]
        assert [(e.id, e.private_ips, e.prefixes) for e in aws.enis()] == [
            (e.id, e.private_ips, e.prefixes) for e in before
        ]

    run(tmp_path, body, ENABLE_IPv6=ipv6)


def test_a_denied_action_is_named_and_the_others_are_not(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        fault(aws, "deny", "AttachNetworkInterface", "AssignPrivateIpAddresses")
        said = await process.check_access()
        denied = {one.action: one.message for one in said.actions if one.verdict == "denied"}
        assert set(denied) == {"AttachNetworkInterface", "AssignPrivateIpAddresses"}
        assert all("not authorized to perform" in message for message in denied.values())
        states = {item.name: item.ok for item in (await process.inspect()).dependencies}
        assert states["ec2"], "a question is no outage"

    run(tmp_path, body)


def test_a_throttled_answer_is_unknown_and_slows_the_node_down(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        await process.describe()
        fault(aws, "throttle", "Detach*", one_in=100)
        assert verdicts(await process.check_access())["DetachNetworkInterface"] == "unknown"
        seen = await process.inspect()
        (count,) = [one for one in seen.apis if one.api == "DetachNetworkInterface"]
        assert (count.calls, count.errors, count.throttled) == (1, 0, 1)
        (eni,) = [one for one in seen.classes if one.api_class == "eni"]
        assert eni.rate < eni.ceiling and eni.level < eni.burst

    run(tmp_path, body)


def test_subnets_are_told_with_why_they_are_not_used(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        other = aws.ec2.create_subnet(aws.vpc.id, "10.0.8.0/24", "us-west-2a")
        said = {one.subnet_id: one for one in (await process.check_access()).subnets}
        assert said[other.id].refused_why == "no tag kubernetes.io/role/cni" and said[other.id].free == 251
        known = {one.subnet_id for one in (await process.inspect()).subnets}
        assert known == {aws.subnet.id, other.id}
        fault(aws, "deny", "DescribeSubnets")
        assert (await process.check_access()).subnets_error.startswith("IAM_DENIED: ec2:DescribeSubnets")

    run(tmp_path, body)


def test_missing_tags_are_told(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        fault(aws, "deny", "CreateTags")
        (missing,) = (await process.check_access()).missing_tags
        assert missing.eni_id == aws.enis()[0].id
        assert "cluster.k8s.amazonaws.com/name" in missing.keys  # a field of the message

    run(tmp_path, body, CLUSTER_NAME="prod")


def test_no_ec2_call_where_the_settings_allow_none(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        said = await process.check_access()
        assert (list(said.actions), said.subnets_error, aws.calls()) == ([], "", {})

    run(tmp_path, body, ENABLE_IMDS_ONLY_MODE="true")


def test_instance_metadata_that_does_not_answer_is_told(tmp_path: pathlib.Path) -> None:
    async def body(aws: Aws, process: Process) -> None:
        said = await process.check_access()
        assert said.imds_error.startswith("IMDS_UNREACHABLE: ") and not said.actions

    run(tmp_path, body, AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9")
