"""The adapters and background jobs of eni-manager, in this process, against the lab's EC2 and IMDS over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from eni_aws import CALLER, Aws
from vpccni_api.reasons import Reason, ReasonError
from vpccni_eni_manager import settings as own
from vpccni_eni_manager import watch_inventory
from vpccni_eni_manager.app import App, build
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure
from vpccni_eni_manager.domain.model import AddressMode, Growth, Source
from vpccni_eni_manager.domain.orphans import Verdict
from vpccni_eni_manager.domain.tags import CREATED_AT_TAG, rfc3339
from vpccni_eni_manager.ports import NewEni
from vpccni_kit import settings
from vpccni_kit.metrics import Metrics

Body = Callable[[Aws, App], Awaitable[None]]


@contextlib.asynccontextmanager
async def built(
    aws: Aws, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **environ: str
) -> AsyncIterator[App]:
    """The composition with its state in ``directory``; boto3 reads the process's environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    given = {"VPCCNI_ENI_MANAGER_STATE": str(directory), **environ}
    for name, value in {**aws.environ(), **given}.items():
        monkeypatch.setenv(name, value)
    values = settings.read(own.ALL, os.environ)
    app = build(values, os.environ, own.policy_of(values)[0], Metrics("eni-manager"))
    app.transport.model.set()
    try:
        yield app
    finally:
        app.close()


def run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, body: Body, aws: Aws | None = None, **environ: str
) -> None:
    async def scenario() -> None:
        async with (aws or Aws()).serving() as served, built(served, tmp_path, monkeypatch, **environ) as app:
            await body(served, app)

    asyncio.run(scenario())


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds


def new(aws: Aws, count: int = 1, token: str = "token-1", **fields: Any) -> NewEni:
    shared: dict[str, Any] = {
        "token": token,
        "subnet_id": aws.subnet.id,
        "security_groups": (),
        "description": f"aws-K8S-{aws.node.id}",
        "tags": {"node.k8s.amazonaws.com/instance_id": aws.node.id},
        "mode": AddressMode.SECONDARY_IP,
        "count": count,
    }
    return NewEni(**(shared | fields))


def test_an_enis_life_through_the_typed_calls(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        ec2 = app.ec2
        made = await ec2.create(new(aws, 3), soon())
        assert (made.status, len(made.secondary_ips), made.subnet_id) == ("available", 3, aws.subnet.id)
        again = await ec2.create(new(aws, 3), soon())
        assert again.eni_id == made.eni_id and len(aws.enis()) == 2
        attachment = await ec2.attach(made.eni_id, aws.node.id, 1, 0, soon())
        await ec2.delete_on_termination(made.eni_id, attachment, soon())
        held = await ec2.eni(made.eni_id, soon())
        assert held is not None
        assert (held.attached_to, held.device_number, held.status) == (aws.node.id, 1, "attached")
        assert held.delete_on_termination and not held.is_primary and held.attached_unix_s > 1e9
        added = await ec2.assign(made.eni_id, AddressMode.SECONDARY_IP, 2, soon())
        blocks = await ec2.assign(made.eni_id, AddressMode.PREFIX_IPV4, 2, soon())
        six = await ec2.assign(made.eni_id, AddressMode.PREFIX_IPV6, 1, soon())
        assert (len(added.ips), len(blocks.prefixes), len(six.prefixes)) == (2, 2, 1)
        await ec2.tag(made.eni_id, {"a": "b"}, soon())
        mine = {eni.eni_id: eni for eni in await ec2.enis_of(aws.node.id, soon())}
        assert set(mine) == {eni.id for eni in aws.enis()}
        assert mine[made.eni_id].tags["a"] == "b"
        assert set(mine[made.eni_id].ipv4_prefixes) == set(blocks.prefixes)
        assert mine[made.eni_id].ipv6_prefixes == six.prefixes
        await ec2.unassign_ipv4(made.eni_id, added.ips, (), soon())
        await ec2.unassign_ipv4(made.eni_id, (), blocks.prefixes, soon())
        await ec2.unassign_ipv6_prefixes(made.eni_id, six.prefixes, soon())
        await ec2.detach(attachment, soon())
        await ec2.delete(made.eni_id, soon())
        assert await ec2.eni(made.eni_id, soon()) is None

    run(tmp_path, monkeypatch, body)


def test_subnets_and_limits(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws()
    aws.ec2.create_subnet(aws.vpc.id, "10.0.7.0/24", "us-west-2b")
    tagged = aws.ec2.create_subnet(aws.vpc.id, "10.0.8.0/24", "us-west-2a", tags={"kubernetes.io/role/cni": "1"})

    async def body(served: Aws, app: App) -> None:
        found = {one.subnet_id: one for one in await app.ec2.subnets(served.vpc.id, "us-west-2a", soon())}
        assert set(found) == {served.subnet.id, tagged.id}
        assert found[tagged.id].tags == {"kubernetes.io/role/cni": "1"} and found[tagged.id].available_ips == 251
        assert found[served.subnet.id].ipv6_cidr == "2001:db8:0:101::/64"
        assert await app.ec2.subnet("subnet-0123456789abcdef0", soon()) is None
        limits = await app.ec2.instance_limits("p4d.24xlarge", soon())
        assert limits is not None and (limits.max_enis, len(limits.cards)) == (15, 4)

    run(tmp_path, monkeypatch, body, aws)


def test_listings_are_paged(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpccni_eni_manager.adapters.ec2._PAGE", 5)

    async def body(aws: Aws, app: App) -> None:
        for number in range(12):
            await app.ec2.create(new(aws, 0, token=f"t-{number}"), soon())
        aws.mark()
        assert len(await app.ec2.unattached(aws.vpc.id, "", soon())) == 12
        assert aws.calls() == {"DescribeNetworkInterfaces": 3}
        assert await app.ec2.unattached(aws.vpc.id, "elsewhere", soon()) == ()

    run(tmp_path, monkeypatch, body)


@pytest.mark.parametrize(
    ("fault", "code", "failure", "reason"),
    [
        ({"kind": "deny"}, "UnauthorizedOperation", Failure.REFUSED, Reason.IAM_DENIED),
        ({"kind": "reset"}, "ConnectionClosed", Failure.UNCERTAIN, Reason.EC2_UNREACHABLE),
        ({"kind": "error"}, "InternalError", Failure.UNCERTAIN, Reason.EC2_UNREACHABLE),
        ({"kind": "throttle", "rate": 0.0}, "RequestLimitExceeded", Failure.THROTTLED, Reason.EC2_THROTTLED),
    ],
)
def test_failures_keep_ec2s_code_and_get_a_reason(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    code: str,
    failure: Failure,
    reason: Reason,
) -> None:
    async def body(aws: Aws, app: App) -> None:
        aws.ec2.faults.add({"actions": ["DescribeNetworkInterfaces"], **fault})
        with pytest.raises(Ec2Error) as caught:
            while True:  # a throttle's first token is granted
                await app.ec2.enis_of(aws.node.id, soon(2.0))
        assert (caught.value.code, caught.value.failure, caught.value.reason) == (code, failure, reason)
        assert not app.health.board.dependencies["ec2"].ok
        aws.ec2.faults.clear()
        await app.ec2.enis_of(aws.node.id, soon())
        assert app.health.board.dependencies["ec2"].ok

    run(tmp_path, monkeypatch, body)


def test_the_sdk_does_not_retry(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        aws.ec2.faults.add({"kind": "error", "actions": ["AssignPrivateIpAddresses"]})
        primary = aws.ec2.primary_eni(aws.node.id).id
        with pytest.raises(Ec2Error):
            await app.ec2.assign(primary, AddressMode.SECONDARY_IP, 1, soon())
        assert aws.calls()["AssignPrivateIpAddresses"] == 1

    run(tmp_path, monkeypatch, body)


def test_no_credentials_is_a_denial(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        aws.ec2.faults.add({"kind": "imds-error", "actions": ["*iam*", "*security-credentials*"], "status": 404})
        with pytest.raises(Ec2Error) as caught:
            await app.ec2.enis_of(aws.node.id, soon())
        assert (caught.value.code, caught.value.reason) == ("NoCredentials", Reason.IAM_DENIED)

    run(tmp_path, monkeypatch, body)


def test_an_ec2_that_is_not_there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        with pytest.raises(Ec2Error) as caught:
            await app.ec2.enis_of(aws.node.id, soon())
        assert (caught.value.failure, caught.value.reason) == (Failure.NOT_SENT, Reason.EC2_UNREACHABLE)

    run(tmp_path, monkeypatch, body, AWS_ENDPOINT_URL_EC2="http://127.0.0.1:9")


def test_watch_asks_ec2_once_about_what_imds_shows_and_nothing_at_rest(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_inventory, "SETTLE_S", 0.0)

    async def body(aws: Aws, app: App) -> None:
        await app.watch.once()
        first = app.inventories.current
        assert first is not None and first.source is Source.EC2
        aws.mark()
        for _ in range(3):
            await app.watch.once()
        assert aws.calls() == {}
        request = {"NetworkInterfaceId": first.enis[0].eni_id, "SecondaryPrivateIpAddressCount": 2}
        aws.ec2.call("other", "AssignPrivateIpAddresses", request).value()
        aws.mark()
        for _ in range(3):
            await app.watch.once()
        assert aws.calls() == {"DescribeNetworkInterfaces": 1}
        now = app.inventories.current
        assert now is not None and len(now.enis[0].secondary_ips) == 2 and now.generation > first.generation

    run(tmp_path, monkeypatch, body)


def test_what_imds_forgets_is_not_believed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IMDS goes back to the past: EC2 is asked once, and the addresses stay."""
    monkeypatch.setattr(watch_inventory, "SETTLE_S", 0.0)

    async def body(aws: Aws, app: App) -> None:
        await asyncio.sleep(1.5)
        await app.watch.once()
        app.repair._repaired.set()
        grown = await app.ensure(Growth(want=4), soon())
        aws.ec2.faults.add({"kind": "imds-stale", "seconds": 1.2})
        await app.watch.once()
        now = app.inventories.current
        assert now is not None and set(now.enis[0].secondary_ips) == set(grown.added.ips)

    run(tmp_path, monkeypatch, body)


def test_a_tag_that_takes_an_eni_out_of_management_is_seen_with_the_next_refresh(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(aws: Aws, app: App) -> None:
        await app.watch.once()
        app.repair._repaired.set()
        primary = aws.ec2.primary_eni(aws.node.id).id
        step = await app.ensure(Growth(want=1, excluded_enis=frozenset({primary})), soon())
        tag = {"Key": "node.k8s.amazonaws.com/no_manage", "Value": "true"}
        aws.ec2.call("admin", "CreateTags", {"Resources": [step.eni_id], "Tags": [tag]}).value()
        monkeypatch.setattr(watch_inventory, "EC2_REFRESH_S", -1.0)
        await app.watch.once()
        now = app.inventories.current
        assert now is not None
        (left,) = [eni for eni in now.enis if not eni.managed]
        assert (left.eni_id, left.unmanaged_why) == (step.eni_id, "tag node.k8s.amazonaws.com/no_manage=true")

    run(tmp_path, monkeypatch, body)


def test_vpc_cidrs_that_change_are_a_change(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        await app.watch.once()
        aws.ec2.call("admin", "AssociateVpcCidrBlock", {"VpcId": aws.vpc.id, "CidrBlock": "10.1.0.0/16"}).value()
        aws.mark()
        await app.watch.once()
        now = app.inventories.current
        assert now is not None and set(now.vpc_ipv4_cidrs) == {"10.0.0.0/16", "10.1.0.0/16"}
        assert aws.calls() == {}

    run(tmp_path, monkeypatch, body)


def test_security_groups_and_tags_are_written_only_where_they_differ(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(aws: Aws, app: App) -> None:
        await app.watch.once()
        app.repair._repaired.set()
        primary = aws.ec2.primary_eni(aws.node.id).id
        step = await app.ensure(Growth(want=1, excluded_enis=frozenset({primary})), soon())
        aws.mark()
        await app.watch.once()
        assert not [name for name in aws.calls() if not name.startswith("Describe")]
        group = aws.ec2.create_security_group(aws.vpc.id, "new")
        change = {"NetworkInterfaceId": primary, "Groups": [group.id]}
        aws.ec2.call("admin", "ModifyNetworkInterfaceAttribute", change).value()
        aws.mark()
        await app.watch.once()
        await app.watch.once()
        assert aws.ec2.eni(step.eni_id).groups == (group.id,)
        assert aws.ec2.calls.total(caller=CALLER, action="ModifyNetworkInterfaceAttribute") == 1

    run(tmp_path, monkeypatch, body)


def test_upkeep_that_is_denied_is_not_repeated_with_every_look(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(aws: Aws, app: App) -> None:
        aws.ec2.faults.add({"kind": "deny", "actions": ["CreateTags"]})
        for _ in range(3):
            await app.watch.once()
        assert aws.calls()["CreateTags"] == 1

    run(tmp_path, monkeypatch, body)


def test_sweep_deletes_old_leaks_and_nothing_else(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        instance = {"node.k8s.amazonaws.com/instance_id": "i-gone"}
        old = {CREATED_AT_TAG: rfc3339(time.time() - 400)}
        fresh = {CREATED_AT_TAG: rfc3339(time.time() - 10)}
        made = {
            name: (await app.ec2.create(new(aws, 0, token=name, **fields), soon())).eni_id
            for name, fields in {
                "leak": {"tags": instance | old},
                "young": {"tags": instance | fresh},
                "unstamped": {"tags": instance},
                "foreign": {"tags": instance | old, "description": "mine"},
                "untagged": {"tags": {"x": "y"} | old},
            }.items()
        }
        names = {eni_id: name for name, eni_id in made.items()}
        judged = {names[one.eni.eni_id]: one.verdict for one in await app.sweep.once()}
        assert judged == {
            "leak": Verdict.DELETE,
            "young": Verdict.KEEP,
            "unstamped": Verdict.STAMP,
            "foreign": Verdict.KEEP,
        }
        assert {names[eni.id] for eni in aws.enis() if eni.id in names} == {"young", "unstamped", "foreign", "untagged"}
        assert CREATED_AT_TAG in aws.ec2.eni(made["unstamped"]).tags
        again = {names[one.eni.eni_id]: one.verdict for one in await app.sweep.once()}
        assert again["unstamped"] is Verdict.KEEP

    run(tmp_path, monkeypatch, body)


def test_two_nodes_sweep_at_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        tags = {"node.k8s.amazonaws.com/instance_id": "i-gone", CREATED_AT_TAG: rfc3339(time.time() - 400)}
        for number in range(4):
            await app.ec2.create(new(aws, 0, token=f"t-{number}", tags=tags), soon())
        await asyncio.gather(app.sweep.once(), app.sweep.once())
        assert len(aws.enis()) == 1

    run(tmp_path, monkeypatch, body)


def test_limits_from_the_table_are_asked_of_ec2_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        aws.ec2.faults.add({"kind": "deny", "actions": ["DescribeInstanceTypes"]})
        node = await app.inventories.node()
        assert (await app.describe.limits(node.instance_type, soon())).source == "table"
        assert (await app.describe.limits("z9.huge", soon())).source == "table"  # asked for once, per process
        aws.ec2.faults.clear()
        monkeypatch.setattr(app.describe, "_ask_after", 0.0)
        assert (await app.describe.limits(node.instance_type, soon())).source == "ec2"

    run(tmp_path, monkeypatch, body)


def test_an_unknown_type_is_not_fatal(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(aws: Aws, app: App) -> None:
        found = await app.describe.limits("z9.huge", soon())
        assert (found.source, found.ipv4_slots) == ("default", 3)

    run(tmp_path, monkeypatch, body)


def test_imds_token_is_renewed_and_lost_connections_are_made_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(aws: Aws, app: App) -> None:
        assert (await app.inventories.node()).instance_id == aws.node.id
        app.imds_client._token = "stale"
        assert (await app.inventories.node(fresh=True)).instance_id == aws.node.id
        aws.ec2.faults.add({"kind": "imds-error", "status": 503, "count": 2})
        assert (await app.inventories.node(fresh=True)).instance_id == aws.node.id
        aws.ec2.faults.add({"kind": "imds-error", "status": 503})
        with pytest.raises(ReasonError) as caught:
            await app.inventories.node(fresh=True)
        assert caught.value.reason is Reason.IMDS_UNREACHABLE and "503" in caught.value.message
        assert not app.health.board.dependencies["imds"].ok

    run(tmp_path, monkeypatch, body)
